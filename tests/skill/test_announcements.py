"""Announcements to many: spread, a customer's devices together, and never in the way of one that was renamed just now."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from devices import catalogue, registry
from devices.catalogue import Description
from devices.models import Device, Marketplace
from devices.signals import endpoint_changed
from skill import linking, outbox
from skill.alexa import discovery
from skill.models import Endpoint
from tests.devices.products import BEANS, CREMA, SHOPS
from tests.skill.deeds import deliver_all

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_model_published_to_many_is_spread(
    machine: Any, linked: Any, crema: Any, alice: Any, settings: Any
) -> None:
    """A quarter of the gateway's rate for announcements; a customer's devices stay together; one device alone goes at once."""
    for number in range(3):
        registered = registry.register(f"CRM20-100{number}", crema)
        registry.claim(alice, registered.device.serial_number, registered.claim_code)
    far = Now() + timedelta(days=1)
    Endpoint.objects.update(due_at=far, not_before=None)
    settings.GATEWAY_RATE = 100
    ids = sorted(Device.objects.values_list("pk", flat=True))
    endpoint_changed.send(sender=Device, device_ids=ids, what="description", among=100_000)
    due = set(Endpoint.objects.values_list("due_at", flat=True))
    assert len(due) == 1
    assert timezone.now() < due.pop() < timezone.now() + timedelta(seconds=4000)
    assert {"description"} <= set(Endpoint.objects.first().changed)
    Endpoint.objects.update(due_at=far)
    registry.rename(machine, "Kitchen espresso")
    assert Endpoint.objects.get(device=machine).due_at <= timezone.now()


def test_what_is_published_is_announced_to_whoever_has_one(linked: Any, machine: Any, crema: Any, amazon: Any) -> None:
    """A switch, another slot, and the replenishment ID that Amazon gave at last: one AddOrUpdateReport with all of it."""
    for code, locale in SHOPS.items():
        Marketplace.objects.get_or_create(code=code, defaults={"name": code, "locale": locale})
    filters = replace(
        BEANS, slot_id="filter", instance="Filter.Water", test_replenishment_id="arn:test:filter",
        live_replenishment_id="", products=BEANS.products[:1],
    )  # fmt: skip
    draft = catalogue.open_draft(crema)
    seen = Description.from_json(draft.snapshot).digest()
    whole = replace(CREMA, capabilities=("PowerController",), slots=(BEANS, filters))
    catalogue.publish(catalogue.save_draft(draft, whole, seen), "The second sensor, and a switch.")
    deliver_all()
    (report,) = amazon.named("AddOrUpdateReport")
    (described,) = report["event"]["payload"]["endpoints"]
    ids = {
        each.get("instance", each["interface"]): each.get("configuration", {}).get("replenishment", {}).get("value")
        for each in described["capabilities"]
    }
    assert ids == {
        "Alexa": None,
        "Alexa.EndpointHealth": None,
        "Alexa.PowerController": None,
        "Beans.Hopper": "arn:test:beans",
        "Filter.Water": "arn:test:filter",
    }


def test_sixty_one_deletions_are_three_reports(linked: Any, machine: Any, crema: Any, alice: Any, amazon: Any) -> None:
    """Larger ones were seen to fail."""
    Device.objects.bulk_create(
        Device(
            serial_number=f"M-{number:04d}", device_model=crema, owner=alice, name=f"Machine {number}",
            ownership=uuid4(), claimed_at=timezone.now(), key_hash="", claim_code_hash="",
        )
        for number in range(60)
    )  # fmt: skip
    outbox.introduce(linked, Device.objects.all())
    deliver_all()
    linking.unlink(alice)
    deliver_all()
    sizes = [len(report["event"]["payload"]["endpoints"]) for report in amazon.named("DeleteReport")]
    assert sorted(sizes) == [1, 30, 30]


@effort(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 300_000), max_size=400))
def test_no_announcement_is_larger_than_amazon_takes(sizes: list[int]) -> None:
    """300 endpoints and 256 KB, nothing left out, nothing twice, in order; one that alone is too large goes alone."""
    endpoints = [{"endpointId": str(number), "x": "é" * (size // 6)} for number, size in enumerate(sizes)]
    groups = discovery.batches(endpoints)
    assert [endpoint for group in groups for endpoint in group] == endpoints
    assert all(0 < len(group) <= 300 for group in groups)
    assert all(len(group) == 1 or len(json.dumps(group).encode()) <= 256 * 1024 - 4096 for group in groups)
