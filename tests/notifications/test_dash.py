"""What Dash says about Alice's coffee, and what it adds up to. Pure: no database, no wire."""

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications import drs, sns, strict_json
from tests.notifications.signing_amazon import dash

PLACED, CANCELLED, SHIPPED = "OrderPlacedNotification", "OrderCancelledNotification", "ItemShippedNotification"
ID = "amzn1.dash.notification.v1.6f9619ff-8b86-d011-b42d-00cf4fc964ff"
TUESDAY = datetime(2026, 11, 24, 20, tzinfo=UTC)


def read(document: Any, attributes: object = None) -> drs.Notification:
    return drs.parse(json.dumps(document), attributes)


def test_the_whole_of_an_order_placed_version_2() -> None:
    text = """{"notificationInfo": {"notificationType": "OrderPlacedNotification",
      "lwaClientId": "amzn1.application-oa2-client.crema",
      "notificationTime": "2026-11-21T09:59:58.120Z", "notificationId": "%s", "version": "2015-06-05"},
      "deviceInfo": {"deviceIdentifier": {"serialNumber": "CRM20-0001"}, "productIdentifier": {"modelId": "CREMA-20"}},
      "customerInfo": {"directedCustomerId": "amzn1.account.ALICE"},
      "orderInfo": {"instanceId": "amzn1.dash.v2.o.coffee-1", "slotId": "beans",
        "productInfo": [
          {"asin": "B00BEANS01", "quantity": 2.0, "unit": "Count",
           "estimatedDeliveryDate": "2026-11-24T20:00:00Z"}]}}"""
    said = drs.parse(text % ID)
    assert said == drs.Notification(
        type=PLACED,
        notification_id=ID,
        time=datetime(2026, 11, 21, 9, 59, 58, 120000, UTC),
        digest=said.digest,
        serial_number="CRM20-0001",
        model_id="CREMA-20",
        instance_id="amzn1.dash.v2.o.coffee-1",
        slot_id="beans",
        version="2",
        items=(drs.Item(Decimal(2), "Count", "B00BEANS01", TUESDAY),),
        remarks=(),
    )
    assert drs.from_json(json.loads(json.dumps(drs.as_json(said)))) == said


def test_version_1_has_one_date_for_all_and_no_names() -> None:
    items = [{"quantity": 12, "unit": "count"}, {"quantity": 3.5, "unit": "pounds"}]
    said = read(dash(version="1", items=items))
    assert said.version == "1"
    assert said.items == (
        drs.Item(Decimal(12), "count", None, TUESDAY),
        drs.Item(Decimal("3.5"), "pounds", None, TUESDAY),
    )


def test_a_cancellation_has_two_fields_only() -> None:
    said = read(dash(CANCELLED))
    assert (said.type, said.instance_id, said.slot_id, said.version, said.items) == (
        CANCELLED, "amzn1.dash.v2.o.coffee-1", "beans", None, ()
    )  # fmt: skip


@pytest.mark.parametrize(
    "attribute", [{"Type": "String", "Value": "2.0"}, {"type": "String", "Value": 2.0}, {"Value": "2"}, {"Value": 2}]
)
def test_the_announced_version_in_every_spelling(attribute: object) -> None:
    assert drs.announced_version({"version": attribute}) == "2"
    assert read(dash(), {"version": attribute}).remarks == ()


@pytest.mark.parametrize(
    "attributes",
    [None, {}, [], "2.0", {"version": "2.0"}, {"version": {}}, {"version": {"Value": []}}, {"version": {"Value": "9"}}],
)
def test_a_missing_or_odd_version_attribute_is_nothing(attributes: object) -> None:
    assert drs.announced_version(attributes) is None
    assert read(dash(), attributes).version == "2"


def test_the_structure_decides_and_a_difference_is_remarked() -> None:
    said = read(dash(), {"version": {"Type": "String", "Value": "1.0"}})
    assert (said.version, said.remarks) == ("2", ("It is announced as version 1 and built like version 2.",))


def test_an_order_inside_the_customer_as_documented_by_mistake() -> None:
    document = dash(SHIPPED)
    expected = read(document)
    document["customerInfo"]["orderInfo"] = document.pop("orderInfo")
    said = read(document)
    assert (said.instance_id, said.items) == (expected.instance_id, expected.items)


def test_two_orders_in_one_that_agree_or_differ() -> None:
    document = dash(SHIPPED)
    document["customerInfo"]["orderInfo"] = dict(document["orderInfo"])
    assert read(document).instance_id == "amzn1.dash.v2.o.coffee-1"
    document["customerInfo"]["orderInfo"]["slotId"] = "milk"
    with pytest.raises(drs.Unreadable, match="two orderInfo"):
        read(document)


@pytest.mark.parametrize("name", ["lwaClientId", "LWAClientId", None])
def test_the_client_s_id_in_both_spellings_or_missing(name: str | None) -> None:
    document = dash()
    client = document["notificationInfo"].pop("lwaClientId")
    if name:
        document["notificationInfo"][name] = client
    assert read(document).instance_id == "amzn1.dash.v2.o.coffee-1"


@pytest.mark.parametrize("name", ["default", "https", "http"])
@pytest.mark.parametrize("as_text", [True, False])
def test_a_wrapped_notification_is_unwrapped_once(name: str, as_text: bool) -> None:
    inner = dash(id=ID)
    wrapped = {name: json.dumps(inner) if as_text else inner, "email": "An order was placed."}
    said = read(wrapped)
    assert (said.notification_id, said.remarks) == (ID, (f"It was wrapped in “{name}”.",))
    with pytest.raises(drs.Unreadable):
        read({"default": wrapped})


def test_a_model_id_under_another_name() -> None:
    document = dash()
    document["deviceInfo"]["productIdentifier"] = {"myDeviceModel": "CREMA-20"}
    said = read(document)
    assert (said.model_id, said.remarks) == ("CREMA-20", ("The model ID is called “myDeviceModel”.",))


@pytest.mark.parametrize(
    "kind", ["SubscriptionChangedNotification", "DeviceRegisteredNotification", "DeviceDeregisteredNotification"]
)
def test_the_other_types_are_read_as_far_as_they_are_common(kind: str) -> None:
    said = read(dash(kind))
    assert (said.type, said.serial_number, said.instance_id) == (kind, "CRM20-0001", "")


def test_a_type_that_nobody_knows_yet() -> None:
    document = dash("DevicePreRegisteredNotification", id=ID)
    del document["deviceInfo"]
    assert (read(document).type, read(document).notification_id) == ("DevicePreRegisteredNotification", ID)


BROKEN: list[tuple[str, Any]] = [
    ("notificationInfo", None),
    ("notificationInfo.notificationType", None),
    ("notificationInfo.notificationType", 7),
    ("notificationInfo.notificationId", ""),
    ("notificationInfo.notificationId", "x" * 256),
    ("notificationInfo.notificationId", "a\x00b"),
    ("notificationInfo.notificationTime", None),
    ("notificationInfo.notificationTime", "yesterday"),
    ("notificationInfo.notificationTime", "2026-11-21T09:59:58"),
    ("notificationInfo.notificationTime", "2026-02-30T09:59:58Z"),
    ("notificationInfo.notificationTime", "0001-01-01T00:00:00+14:00"),
    ("deviceInfo", None),
    ("deviceInfo", []),
    ("deviceInfo.deviceIdentifier", "CRM20-0001"),
    ("deviceInfo.deviceIdentifier.serialNumber", 1),
    ("deviceInfo.productIdentifier", {}),
    ("deviceInfo.productIdentifier", {"a": "x", "b": "y"}),
    ("deviceInfo.productIdentifier", {"modelId": 3}),
    ("orderInfo", None),
    ("orderInfo", [1]),
    ("orderInfo.instanceId", None),
    ("orderInfo.instanceId", "x" * 256),
    ("orderInfo.slotId", {}),
    ("orderInfo.productInfo", None),
    ("orderInfo.productInfo", []),
    ("orderInfo.productInfo", {}),
    ("orderInfo.productInfo", ["beans"]),
    ("orderInfo.productInfo", [{"unit": "count"}]),
    ("orderInfo.productInfo", [{"unit": "count", "quantity": True}]),
    ("orderInfo.productInfo", [{"unit": "count", "quantity": "2"}]),
    ("orderInfo.productInfo", [{"unit": "count", "quantity": -1}]),
    ("orderInfo.productInfo", [{"unit": "count", "quantity": -0.5}]),
    ("orderInfo.productInfo", [{"unit": "count", "quantity": 1e30}]),
    ("orderInfo.productInfo", [{"quantity": 1}]),
    ("orderInfo.productInfo", [{"unit": "count", "quantity": 1, "asin": 7}]),
    ("orderInfo.productInfo", [{"unit": "count", "quantity": 1, "asin": "B" * 65}]),
]


@pytest.mark.parametrize(("path", "value"), BROKEN)
def test_what_cannot_be_understood_says_so_in_words(path: str, value: object) -> None:
    document = dash()
    *way, last = path.split(".")
    where = document
    for name in way:
        where = where[name]
    if value is None:
        del where[last]
    else:
        where[last] = value
    with pytest.raises(drs.Unreadable) as problem:
        read(document)
    assert str(problem.value).endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "This notification has no subject.",
        "[]",
        "null",
        "7",
        '"x"',
        "{}",
        '{"a": 1, "a": 2}',
        '{"x": NaN}',
        "{" * 5000,
    ],
)
def test_a_text_that_is_no_notification(text: str) -> None:
    with pytest.raises(drs.Unreadable):
        drs.parse(text)


@pytest.mark.parametrize("date", ["soon", "", 20261124, None, ["2026"], "9999-12-31T23:59:59-14:00", {}])
def test_a_delivery_date_never_stops_an_order(date: object) -> None:
    said = read(dash(date=date))
    assert said.items[0].estimated_delivery is None
    assert said.remarks == (() if date is None else ("A delivery date could not be understood.",))


@pytest.mark.parametrize(
    ("date", "expected"), [("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)), ("2026-11-24T21:00:00+01:00", TUESDAY)]
)
def test_delivery_dates_in_other_spellings(date: str, expected: datetime) -> None:
    assert read(dash(date=date)).items[0].estimated_delivery == expected


def test_fields_that_we_do_not_know_are_ignored() -> None:
    document = dash(id=ID)
    document["somethingNew"] = {"deep": [1, 2, 3]}
    document["orderInfo"]["priority"] = 1
    assert read(document).instance_id == "amzn1.dash.v2.o.coffee-1"


# ---- the fold -------------------------------------------------------------------------------------------------------


def at(hour: int) -> str:
    return f"2026-11-21T{hour:02}:00:00.000Z"


@pytest.mark.parametrize(
    ("kinds", "state", "conflict"),
    [
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
    ],
)
def test_where_an_order_stands(kinds: list[str], state: str, conflict: bool) -> None:
    order = drs.fold(read(dash(kind, time=at(hour))) for hour, kind in enumerate(kinds))
    assert order is not None
    assert (order.state, order.conflict) == (state, conflict)
    assert (order.placed_at is None) == (PLACED not in kinds)
    assert (order.serial_number, order.slot_id) == ("CRM20-0001", "beans")


def test_nothing_said_is_no_order() -> None:
    assert drs.fold([]) is None


def test_shipping_in_version_1_keeps_the_product_and_renews_the_date() -> None:
    placed = read(dash(PLACED, time=at(1)))
    shipped = read(dash(SHIPPED, time=at(2), version="1", date="2026-11-26T20:00:00Z"))
    order = drs.fold([shipped, placed])
    assert order is not None
    assert order.items == (drs.Item(Decimal(2), "count", "B00BEANS01", datetime(2026, 11, 26, 20, tzinfo=UTC)),)
    assert order.estimated_delivery == datetime(2026, 11, 26, 20, tzinfo=UTC)


def test_a_shorter_list_without_names_renews_the_date_only() -> None:
    beans = {"asin": "B00BEANS01", "quantity": 2, "unit": "count"}
    milk = {"asin": "B00MILK001", "quantity": 1, "unit": "count"}
    placed = read(dash(PLACED, time=at(1), items=[beans, milk]))
    shipped = read(dash(SHIPPED, time=at(2), version="1", date="2026-11-26T20:00:00Z"))
    order = drs.fold([placed, shipped])
    assert order is not None
    assert [(item.asin, item.estimated_delivery.day) for item in order.items if item.estimated_delivery] == [
        ("B00BEANS01", 26),
        ("B00MILK001", 26),
    ]


def test_a_null_date_does_not_erase_an_earlier_one() -> None:
    order = drs.fold([read(dash(PLACED, time=at(1))), read(dash(SHIPPED, time=at(2), date=None))])
    assert order is not None
    assert order.estimated_delivery == TUESDAY


def test_instants_are_compared_and_not_their_text() -> None:
    """As text, 10:00:00Z comes after 10:00:00.300Z."""
    early = read(dash(PLACED, time="2026-11-21T10:00:00Z", date="2026-11-24T20:00:00Z"))
    late = read(dash(SHIPPED, time="2026-11-21T10:00:00.300Z", date="2026-11-25T20:00:00Z"))
    order = drs.fold([late, early])
    assert order is not None
    assert order.estimated_delivery == datetime(2026, 11, 25, 20, tzinfo=UTC)


def test_twins_that_contradict_each_other_count_for_nothing() -> None:
    placed, other = read(dash(PLACED, id=ID)), read(dash(CANCELLED, id=ID))
    assert drs.fold([placed, other]) is None
    shipped = read(dash(SHIPPED))
    assert drs.fold([placed, other, shipped]) == drs.fold([shipped])


def test_twins_that_agree_are_one() -> None:
    document = dash(PLACED, id=ID)
    again = {name: document[name] for name in reversed(list(document))}
    assert drs.fold([read(document), read(again)]) == drs.fold([read(document)])


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
def test_any_order_and_any_repetition_come_to_the_same(
    pair: tuple[list[drs.Notification], list[drs.Notification]],
) -> None:
    said, shuffled = pair
    assert drs.fold(shuffled) == drs.fold(said)


@given(st.lists(SAID, max_size=6))
def test_what_is_stored_folds_like_what_was_read(said: list[drs.Notification]) -> None:
    assert drs.fold(drs.from_json(json.loads(json.dumps(drs.as_json(one)))) for one in said) == drs.fold(said)


# ---- whatever arrives, only the documented errors -------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_understood_or_unreadable(text: str) -> None:
    with contextlib.suppress(drs.Unreadable):
        drs.parse(text)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, member in inner for deeper in _paths(member, (*path, key)))]


@given(st.sampled_from([PLACED, CANCELLED, SHIPPED]), st.data(), JSON | st.decimals().map(str))
def test_any_part_replaced_by_anything_is_understood_or_unreadable(kind: str, data: st.DataObject, value: Any) -> None:
    document = dash(kind)
    path = data.draw(st.sampled_from(_paths(document)[1:]))
    where = document
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value
    try:
        said = read(document)
    except drs.Unreadable:
        return
    drs.fold([drs.from_json(json.loads(json.dumps(drs.as_json(said))))])


@given(st.from_regex(r"\A-?(0|[1-9]\d{0,30})(\.\d{1,30})?([eE][+-]?\d{1,20})?\Z"))
def test_any_number_is_a_quantity_or_unreadable(number: str) -> None:
    text = json.dumps(dash(items=[{"quantity": "HERE", "unit": "count"}])).replace('"HERE"', number)
    try:
        quantity = drs.parse(text).items[0].quantity
    except drs.Unreadable:
        return
    assert 0 <= quantity <= drs.LARGEST
    assert abs(quantity - Decimal(number)) <= Decimal("0.0000005")
    assert drs.from_json(drs.as_json(drs.parse(text))).items[0].quantity == quantity


@given(st.binary() | st.text().map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_an_envelope_or_refused(body: bytes) -> None:
    with contextlib.suppress(sns.Malformed, sns.Forbidden):
        sns.parse(body)


ENVELOPE: dict[str, Any] = {
    "Type": "Notification",
    "MessageId": "26858270-545e-5848-82a2-e05566af3dcf",
    "TopicArn": "arn:aws:sns:us-east-1:123456789012:dash-orders",
    "Message": "Hello",
    "Timestamp": "2026-11-21T10:00:00.000Z",
    "SignatureVersion": "2",
    "Signature": "QUJD",
    "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
}


@given(st.dictionaries(st.sampled_from([*ENVELOPE, "Subject", "Token", "SubscribeURL"]), JSON, max_size=3))
def test_any_field_replaced_by_anything_is_an_envelope_or_refused(changes: dict[str, Any]) -> None:
    try:
        envelope = sns.parse(json.dumps(ENVELOPE | changes).encode())
    except sns.Refused:
        return
    assert "\n" not in envelope["MessageId"] + envelope["Timestamp"] + envelope["TopicArn"] + envelope.fields.get(
        "Subject", ""
    )


@given(st.text())
def test_strict_json_reads_what_json_reads_or_says_why_not(text: str) -> None:
    with contextlib.suppress(strict_json.NotStrict):
        assert strict_json.read_object(text) == json.loads(text)
