"""Orders as the customer sees them: what, how much, when, and whether it can still be cancelled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from portal.pages import ORDERS_PER_PAGE, order_card
from tests.portal.household import claimed, ordered, owned_for
from tests.portal.markup import faults, page_of


@pytest.fixture
def hers(client: Any, machine: Any) -> Any:
    """A browser in which Alice is signed in; her machine has been hers for a month."""
    owned_for(machine, 30)
    client.force_login(machine.owner)
    return client


def test_an_order_shows_product_quantity_and_dates(hers: Any, machine: Any) -> None:
    machine.device_model.slots.get().products.create(asin="B00BEANS01", title="Espresso Roast 1 kg")
    ordered(machine)
    page = page_of(hers.get("/orders/"))
    for words in ("Coffee beans", "Crema 20", "Ordered", "Espresso Roast 1 kg", "B00BEANS01", "2 count", "24 Dec 2030"):
        assert words in page.text
    assert faults(page) == []


def test_a_fresh_order_says_until_when_it_can_be_cancelled(hers: Any, machine: Any) -> None:
    ordered(machine, ago=timedelta(hours=23, minutes=59))
    text = page_of(hers.get("/orders/")).text
    assert "You can cancel in your Amazon account until" in text
    assert "are over" not in text


def test_a_day_later_it_no_longer_says_so(hers: Any, machine: Any) -> None:
    ordered(machine, ago=timedelta(hours=24, seconds=1))
    text = page_of(hers.get("/orders/")).text
    assert "You can cancel" not in text
    assert "The 24 hours for cancelling are over" in text


def test_other_states_offer_no_cancelling(hers: Any, machine: Any) -> None:
    states = {"SHIPPED": "Shipped", "CANCELLED": "Cancelled", "UNCLEAR": "Being clarified"}
    for state in states:
        ordered(machine, state)
    page = page_of(hers.get("/orders/"))
    for word in states.values():
        assert word in page.text
    assert "cancel in your Amazon account until" not in page.text
    assert "are over" not in page.text
    assert faults(page) == []


def test_an_order_of_the_old_kind_has_no_asin_and_no_date(hers: Any, machine: Any) -> None:
    order = ordered(machine, estimated_delivery=None)
    order.items.update(asin="", estimated_delivery=None)
    text = page_of(hers.get("/orders/")).text
    assert "not told by Amazon" in text
    assert "not known yet" in text


def test_an_order_cancelled_before_it_was_placed_can_be_shown(hers: Any, machine: Any) -> None:
    ordered(machine, "CANCELLED", placed_at=None, estimated_delivery=None)
    page = page_of(hers.get("/orders/"))
    assert "Cancelled" in page.text
    assert faults(page) == []


def test_both_cancelled_and_shipped_is_said_plainly(hers: Any, machine: Any) -> None:
    ordered(machine, "SHIPPED", conflict=True)
    assert "cancelled and also that it was shipped" in page_of(hers.get("/orders/")).text


def test_newest_first_and_a_page_at_a_time(hers: Any, machine: Any) -> None:
    for hours in range(ORDERS_PER_PAGE + 1):
        ordered(machine, "SHIPPED" if hours else "PLACED", ago=timedelta(hours=hours))
    first, second = page_of(hers.get("/orders/")), page_of(hers.get("/orders/?page=2"))
    assert len(first.all("h2")) == ORDERS_PER_PAGE
    assert "Ordered" in first.all("li")[4].text
    assert len(second.all("h2")) == 1
    assert "Page 2 of 2" in second.text
    assert faults(first) == faults(second) == []


def test_a_page_that_does_not_exist_is_no_error(hers: Any, machine: Any) -> None:
    ordered(machine)
    for page in ("0", "-1", "99", "x", "%00"):
        assert hers.get(f"/orders/?page={page}").status_code == 200, page


def test_no_orders_yet(hers: Any) -> None:
    page = page_of(hers.get("/orders/"))
    assert "No orders yet" in page.text
    assert faults(page) == []


def test_a_stranger_sees_none_of_her_orders(client: Any, machine: Any, bob: Any, crema: Any) -> None:
    ordered(owned_for(machine, 30))
    owned_for(claimed(bob, crema, "CRM20-0002", "Office"), 30)
    client.force_login(bob)
    for address in ("/", "/orders/", "/devices/CRM20-0002/"):
        text = page_of(client.get(address)).text
        assert "Coffee beans" in text or "No orders yet" in text
        assert "Ordered" not in text
        assert "B00BEANS01" not in text


def test_an_order_of_the_earlier_owner_is_not_shown_to_the_next(client: Any, machine: Any, bob: Any) -> None:
    ordered(machine, ago=timedelta(days=2))
    owned_for(machine, 1)
    client.force_login(machine.owner)
    assert "No orders yet" in page_of(client.get("/orders/")).text


def test_the_last_second_of_cancelling(machine: Any) -> None:
    order = ordered(machine)
    until = order.placed_at + timedelta(hours=24)
    assert order_card(order, until - timedelta(seconds=1)).cancel_until == until
    assert order_card(order, until).cancel_until is None
    assert order_card(order, until).too_late
    assert timezone.is_aware(until)


def test_reading_only(hers: Any) -> None:
    assert hers.post("/orders/").status_code == 405
