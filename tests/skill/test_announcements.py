"""Announcements to many: spread, a customer's devices together, and never in the way of one that was renamed just now."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from devices import catalogue, registry
from devices.catalogue import Description
from devices.models import Device, DeviceModel, Marketplace
from devices.signals import endpoint_changed
from skill import delivery, linking, outbox, pace
from skill.alexa import discovery
from skill.models import Endpoint, Event
from tests.devices.products import BEANS, CREMA, SHOPS
from tests.effort import examples
from tests.skill.deeds import deliver_all, levels, make_due, more_machines, pods, reading
from tests.skill.test_races import during_the_first_talk

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_model_published_to_many_is_spread(
    machine: Any, linked: Any, crema: Any, alice: Any, settings: Any
) -> None:
    """A quarter of the gateway's rate for announcements; a customer's devices stay together; one device alone goes at once."""
    more_machines(3, crema, alice)
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


def in_trouble_with_announcements(amazon: Any, status: int, code: str, about: str = "") -> None:
    """The gateway takes everything but AddOrUpdateReports (with this name in them)."""

    def script(event: dict[str, Any]) -> Any:
        announces = event["event"]["header"]["name"] == "AddOrUpdateReport"
        return (status, code) if announces and about in json.dumps(event) else None

    amazon.script = script


def test_what_alexa_knows_already_is_told_on_though_the_gateway_takes_no_announcement(
    linked: Any, machine: Any, crema: Any, amazon: Any
) -> None:
    pods(crema)
    troubles = [(503, "SERVICE_UNAVAILABLE_EXCEPTION"), (429, "THROTTLING_EXCEPTION"), (500, "")]
    for day, (status, code) in enumerate(troubles, 1):
        in_trouble_with_announcements(amazon, status, code)
        registry.rename(machine, f"Kitchen espresso {day}")
        reading(machine, 50 - day, day)
        reading(machine, 1, day, slot="pods")
        make_due(Endpoint.objects.all(), daily=True)
        delivery.deliver(5)
        assert len(amazon.named("InventoryConsumed")) == day, status
        assert [levels(report) for report in amazon.named("ChangeReport")][day - 1 :] == [[50 - day]], status
        endpoint = Endpoint.objects.get()
        assert (endpoint.attempts, endpoint.last_code) == (day, code or f"HTTP {status}")
        assert endpoint.due_at < timezone.now() + timedelta(minutes=5), "the announcement would wait for a day"
    amazon.script = lambda event: None
    make_due(Endpoint.objects.all())
    deliver_all()
    assert "Kitchen espresso 3" in json.dumps(amazon.named("AddOrUpdateReport"))


def test_one_description_that_the_gateway_chokes_on_hides_no_other(
    linked: Any, machine: Any, crema: Any, alice: Any, amazon: Any
) -> None:
    (second,) = more_machines(1, crema, alice)
    registry.rename(machine, "Poison")
    in_trouble_with_announcements(amazon, 500, "INTERNAL_SERVICE_EXCEPTION", about="Poison")
    delivery.deliver(5)
    (report,) = amazon.named("AddOrUpdateReport")
    assert [each["endpointId"] for each in report["event"]["payload"]["endpoints"]] == [str(second.ownership)]


def test_no_use_is_told_of_a_machine_of_which_alexa_may_never_have_heard(
    machine: Any, crema: Any, alice: Any, amazon: Any
) -> None:
    linking.accept_grant(alice, "code-1", "NA")
    pods(crema)
    in_trouble_with_announcements(amazon, 503, "SERVICE_UNAVAILABLE_EXCEPTION")
    reading(machine, 1, 1, slot="pods")
    for _ in range(2):
        make_due(Endpoint.objects.all())
        delivery.deliver(5)
    assert amazon.events == []
    amazon.script = lambda event: None
    make_due(Endpoint.objects.all())
    deliver_all()
    names = [event["event"]["header"]["name"] for event in amazon.events]
    assert names[:2] == ["AddOrUpdateReport", "InventoryConsumed"]


@pytest.mark.parametrize("then", ["refused", "left out"])
def test_no_use_is_told_where_the_announcement_got_no_answer_and_cannot_be_made(
    machine: Any, crema: Any, alice: Any, amazon: Any, then: str
) -> None:
    linking.accept_grant(alice, "code-1", "NA")
    pods(crema)
    in_trouble_with_announcements(amazon, 503, "SERVICE_UNAVAILABLE_EXCEPTION")
    reading(machine, 1, 1, slot="pods")
    make_due(Endpoint.objects.all())
    delivery.deliver(5)
    if then == "refused":
        in_trouble_with_announcements(amazon, 400, "INVALID_REQUEST_EXCEPTION")
    else:
        DeviceModel.objects.update(display_category="GRINDER")
    for daily in (False, True):
        make_due(Endpoint.objects.all(), daily=daily)
        delivery.deliver(5)
        endpoint = Endpoint.objects.get()
        assert endpoint.last_code == ("INVALID_REQUEST_EXCEPTION" if then == "refused" else "LEFT_OUT")
        assert amazon.events == []
    assert Event.objects.get().status == Event.Status.PENDING
    DeviceModel.objects.update(display_category=crema.display_category)
    amazon.script = lambda event: None
    make_due(Endpoint.objects.all())
    deliver_all()
    assert Event.objects.get().status == Event.Status.SENT


def test_what_alexa_discovers_while_an_announcement_gets_no_answer_stays_known(
    machine: Any, crema: Any, alice: Any, amazon: Any
) -> None:
    grant = linking.accept_grant(alice, "code-1", "NA")
    make_due(Endpoint.objects.all())
    answered = {str(machine.ownership): "d" * 64}
    during_the_first_talk(amazon, lambda: outbox.discovered(grant.pk, answered, {}, 9), (503, "X"))
    assert Endpoint.objects.get().announced_digest == "unsure"
    make_due(Endpoint.objects.all())
    pods(crema)
    in_trouble_with_announcements(amazon, 503, "SERVICE_UNAVAILABLE_EXCEPTION")
    reading(machine, 1, 1, slot="pods")
    make_due(Endpoint.objects.all())
    delivery.deliver(5)
    assert len(amazon.named("InventoryConsumed")) == 1


@pytest.mark.parametrize(("status", "code"), [(503, "SERVICE_UNAVAILABLE_EXCEPTION"), (429, "THROTTLING_EXCEPTION")])
def test_a_change_that_nobody_signalled_is_tried_again_before_tomorrow(
    linked: Any, machine: Any, amazon: Any, status: int, code: str
) -> None:
    Device.objects.update(name="Kitchen espresso")
    in_trouble_with_announcements(amazon, status, code)
    make_due(Endpoint.objects.all(), daily=True)
    delivery.deliver(5)
    assert amazon.named("AddOrUpdateReport") == []
    for _ in range(2):
        assert Endpoint.objects.annotate(now=Now()).filter(due_at__lt=F("now") + timedelta(minutes=1)).exists()
        make_due(Endpoint.objects.all())
        delivery.deliver(5)
    assert len([event for event in amazon.attempts if "AddOrUpdateReport" in str(event)]) == 3
    amazon.script = lambda event: None
    make_due(Endpoint.objects.all())
    deliver_all()
    assert "Kitchen espresso" in json.dumps(amazon.named("AddOrUpdateReport"))


def test_in_an_outage_a_customers_machines_are_not_announced_one_by_one(
    linked: Any, machine: Any, crema: Any, alice: Any, amazon: Any
) -> None:
    more_machines(4, crema, alice)
    pace.learn("NA", failed=1)
    amazon.script = lambda event: (503, "SERVICE_UNAVAILABLE_EXCEPTION")
    delivery.deliver(5)
    assert len(amazon.attempts) == 1


@trying(max_examples=examples(15), deadline=None)
@given(st.lists(st.integers(1, 300_000), max_size=400))
def test_no_announcement_is_larger_than_amazon_takes(sizes: list[int]) -> None:
    """300 endpoints and 256 KB, nothing left out, nothing twice, in order; one that alone is too large goes alone."""
    endpoints = [{"endpointId": str(number), "x": "é" * (size // 6)} for number, size in enumerate(sizes)]
    groups = discovery.batches(endpoints)
    assert [endpoint for group in groups for endpoint in group] == endpoints
    assert all(0 < len(group) <= 300 for group in groups)
    assert all(len(group) == 1 or len(json.dumps(group).encode()) <= 256 * 1024 - 4096 for group in groups)
