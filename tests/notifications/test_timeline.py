"""The story of an order, as Alice reads it and as support explains it. Pure."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notifications import drs, timeline
from notifications.timeline import Entry
from tests.notifications.signing_amazon import dash

PLACED, CANCELLED, SHIPPED = drs.ABOUT_ORDERS
TEN = datetime(2026, 11, 21, 10, tzinfo=UTC)
TUESDAY = datetime(2026, 11, 24, 20, tzinfo=UTC)


def read(kind: str, hour: int = 10, **changes: Any) -> drs.Notification:
    return drs.parse(json.dumps(dash(kind, time=f"2026-11-21T{hour:02}:00:00.000Z", **changes)))


def product(asin: str) -> list[dict[str, Any]]:
    return [{"asin": asin, "quantity": 1, "unit": "count"}]


def notes(*said: drs.Notification, listed: tuple[str, ...] = ()) -> list[str]:
    return [entry.title for entry in timeline.timeline(said, TEN, listed) if entry.kind == "note"]


def test_placed_can_be_cancelled_for_a_day() -> None:
    until = TEN + timedelta(hours=24)
    expected = Entry("Expected", "coming", TUESDAY)
    ordered = Entry("Ordered", "said", TEN)
    assert timeline.timeline([read(PLACED)], until - timedelta(seconds=1)) == (
        ordered, Entry("Can be cancelled in the Amazon account until", "coming", until), expected
    )  # fmt: skip
    assert timeline.timeline([read(PLACED)], until) == (ordered, expected)


def test_nothing_said_is_no_story() -> None:
    assert timeline.timeline([], TEN) == ()
    assert timeline.timeline([read(drs.REGISTERED)], TEN) == ()


def test_shipped_without_placed_is_a_gap_with_a_name() -> None:
    assert notes(read(SHIPPED)) == [timeline.NEVER_PLACED]
    assert notes(read(SHIPPED), read(PLACED)) == []
    assert notes(read(SHIPPED), read(CANCELLED, 12)) == [timeline.NEVER_PLACED, timeline.BOTH]


def test_cancelled_and_never_placed_was_not_resolved_in_72_hours() -> None:
    assert timeline.timeline([read(CANCELLED)], TEN) == (Entry("Cancelled", "said", TEN, timeline.UNRESOLVED),)


def test_cancelled_after_placed_is_expected_no_more() -> None:
    story = timeline.timeline([read(CANCELLED, 11), read(PLACED, 10)], TEN)
    assert [entry.title for entry in story] == ["Ordered", "Cancelled"]
    assert not any(entry.note for entry in story)


def test_both_shipped_and_cancelled() -> None:
    assert notes(read(PLACED), read(SHIPPED, 11), read(CANCELLED, 12)) == [timeline.BOTH]


def test_another_product_is_shipped() -> None:
    said = read(PLACED, items=product("B00BEANS01")), read(SHIPPED, 11, items=product("B00DECAF01"))
    assert notes(*said) == ["Another product was shipped: B00DECAF01 instead of B00BEANS01."]
    assert notes(said[0], read(SHIPPED, 11, version="1")) == []


@pytest.mark.parametrize(("listed", "noted"), [((), False), (("B00BEANS01",), False), (("B00MILK001",), True)])
def test_a_product_that_is_not_offered_is_flagged(listed: tuple[str, ...], noted: bool) -> None:
    assert bool(notes(read(PLACED), listed=listed)) == noted


def test_the_order_of_arrival_does_not_matter() -> None:
    said = [read(PLACED, 9), read(SHIPPED, 12), read(CANCELLED, 11)]
    assert timeline.timeline(said, TEN) == timeline.timeline(said[::-1] + said, TEN)
