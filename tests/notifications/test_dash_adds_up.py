"""What Dash said about one order, in any sequence and repetition, adds up to the same. Pure: no database, no wire."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from notifications import drs, folds
from tests.notifications.signing_amazon import dash

PLACED, CANCELLED, SHIPPED = "OrderPlacedNotification", "OrderCancelledNotification", "ItemShippedNotification"
ID = "amzn1.dash.notification.v1.6f9619ff-8b86-d011-b42d-00cf4fc964ff"
TUESDAY = datetime(2026, 11, 24, 20, tzinfo=UTC)


def read(document: Any, attributes: object = None) -> drs.Notification:
    return drs.parse(json.dumps(document), attributes)


def at(hour: int) -> str:
    return f"2026-11-21T{hour:02}:00:00.000Z"


def test_where_an_order_stands() -> None:
    for kinds, state, conflict in (
        ([PLACED], "PLACED", False),
        ([CANCELLED], "CANCELLED", False),
        ([SHIPPED], "SHIPPED", False),
        ([PLACED, CANCELLED], "CANCELLED", False),
        ([CANCELLED, PLACED], "CANCELLED", False),
        ([PLACED, SHIPPED], "SHIPPED", False),
        ([SHIPPED, PLACED], "SHIPPED", False),
        ([CANCELLED, SHIPPED], "SHIPPED", True),
        ([SHIPPED, CANCELLED], "SHIPPED", True),
        ([PLACED, CANCELLED, SHIPPED], "SHIPPED", True),
    ):
        order = folds.order(read(dash(kind, time=at(hour))) for hour, kind in enumerate(kinds))
        assert order is not None, kinds
        assert (order.state, order.conflict) == (state, conflict), kinds
        assert (order.placed_at is None) == (PLACED not in kinds), kinds
        assert (order.serial_number, order.slot_id) == ("CRM20-0001", "beans"), kinds


def test_nothing_said_is_no_order() -> None:
    assert folds.order([]) is None


def test_shipping_in_version_1_keeps_the_product_and_renews_the_date() -> None:
    placed = read(dash(PLACED, time=at(1)))
    shipped = read(dash(SHIPPED, time=at(2), version="1", date="2026-11-26T20:00:00Z"))
    order = folds.order([shipped, placed])
    assert order is not None
    assert order.items == (drs.Item(Decimal(2), "count", "B00BEANS01", datetime(2026, 11, 26, 20, tzinfo=UTC)),)
    assert order.estimated_delivery == datetime(2026, 11, 26, 20, tzinfo=UTC)


def test_a_shorter_list_without_names_renews_the_date_only() -> None:
    beans = {"asin": "B00BEANS01", "quantity": 2, "unit": "count"}
    milk = {"asin": "B00MILK001", "quantity": 1, "unit": "count"}
    placed = read(dash(PLACED, time=at(1), items=[beans, milk]))
    shipped = read(dash(SHIPPED, time=at(2), version="1", date="2026-11-26T20:00:00Z"))
    order = folds.order([placed, shipped])
    assert order is not None
    assert [(item.asin, item.estimated_delivery.day) for item in order.items if item.estimated_delivery] == [
        ("B00BEANS01", 26),
        ("B00MILK001", 26),
    ]


def test_a_null_date_does_not_erase_an_earlier_one() -> None:
    order = folds.order([read(dash(PLACED, time=at(1))), read(dash(SHIPPED, time=at(2), date=None))])
    assert order is not None
    assert order.estimated_delivery == TUESDAY


def test_instants_are_compared_and_not_their_text() -> None:
    """As text, 10:00:00Z comes after 10:00:00.300Z."""
    early = read(dash(PLACED, time="2026-11-21T10:00:00Z", date="2026-11-24T20:00:00Z"))
    late = read(dash(SHIPPED, time="2026-11-21T10:00:00.300Z", date="2026-11-25T20:00:00Z"))
    order = folds.order([late, early])
    assert order is not None
    assert order.estimated_delivery == datetime(2026, 11, 25, 20, tzinfo=UTC)


def test_twins_that_contradict_each_other_count_for_nothing() -> None:
    placed, other = read(dash(PLACED, id=ID)), read(dash(CANCELLED, id=ID))
    assert folds.order([placed, other]) is None
    shipped = read(dash(SHIPPED))
    assert folds.order([placed, other, shipped]) == folds.order([shipped])


def test_twins_that_agree_are_one() -> None:
    document = dash(PLACED, id=ID)
    again = {name: document[name] for name in reversed(list(document))}
    assert folds.order([read(document), read(again)]) == folds.order([read(document)])


DATES = st.sampled_from([None, "2026-11-24T20:00:00Z", "2026-11-25T20:00:00Z", "nonsense"])
PRODUCTS = st.lists(
    st.fixed_dictionaries(
        {"quantity": st.integers(0, 9), "unit": st.sampled_from(["count", "pounds"])},
        optional={"asin": st.sampled_from(["B00BEANS01", "B00MILK001"]), "estimatedDeliveryDate": DATES},
    ),
    min_size=1,
    max_size=3,
)
SAID = st.builds(
    lambda kind, hour, number, **rest: read(dash(kind, time=at(hour), id=f"id-{number}", version="1", **rest)),
    st.sampled_from([PLACED, CANCELLED, SHIPPED]),
    st.integers(0, 3),
    st.integers(0, 5),
    items=PRODUCTS,
    date=DATES,
)


@given(st.lists(SAID, max_size=8).flatmap(lambda said: st.tuples(st.just(said), st.permutations(said + said[:4]))))
def test_any_order_and_any_repetition_come_to_the_same_also_as_it_is_stored(
    pair: tuple[list[drs.Notification], list[drs.Notification]],
) -> None:
    said, shuffled = pair
    assert folds.order(shuffled) == folds.order(said)
    assert folds.order(drs.from_json(json.loads(json.dumps(drs.as_json(one)))) for one in said) == folds.order(said)
