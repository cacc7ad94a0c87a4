"""The story of an order on Alice's page, from Amazon's notifications to her words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from notifications import drs, ledger
from notifications.models import Message, Order, Topic
from tests.notifications.signing_amazon import dash
from tests.portal.household import owned_for
from tests.portal.markup import faults, page_of


@pytest.fixture
def hers(client: Any, machine: Any) -> Any:
    """A browser in which Alice is signed in; her machine has been hers for a month."""
    owned_for(machine, 30)
    client.force_login(machine.owner)
    return client


def told(kind: str, **changes: Any) -> None:
    """Amazon's notification, understood."""
    time = timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    said = drs.parse(json.dumps(dash(kind, time=time, **changes)))
    topic, _ = Topic.objects.get_or_create(arn="arn:aws:sns:us-east-1:123456789012:dash-orders")
    message = Message.objects.create(topic=topic, message_id=said.notification_id[-36:], sent_at=said.time, body="{}")
    ledger.keep([(message, said)])


@pytest.mark.parametrize("address", ["/orders/", "/devices/CRM20-0001/"])
def test_the_story_names_the_gap_and_the_stranger_product(address: str, hers: Any, machine: Any) -> None:
    machine.device_model.slots.get().products.create(asin="B00DECAF01", title="Decaf 1 kg")
    told(drs.SHIPPED)
    page = page_of(hers.get(address))
    for words in ("What Amazon told us", "Shipped without placed", "B00BEANS01 is not among the products"):
        assert words in page.text
    assert faults(page) == []


def test_cancelled_after_72_hours_is_explained(hers: Any) -> None:
    told(drs.CANCELLED)
    assert "Cancelled after 72 hours" in page_of(hers.get("/orders/")).text


def test_a_contradicted_notification_tells_no_story(hers: Any) -> None:
    told(drs.PLACED)
    Order.objects.get().notifications.update(contradicted=True)
    assert "What Amazon told us" not in page_of(hers.get("/orders/")).text
