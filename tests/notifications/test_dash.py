"""What Dash says about Alice's coffee, and what it adds up to. Pure: no database, no wire."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from notifications import drs
from tests.notifications.conftest import refused
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
        customer_id="amzn1.account.ALICE",
        client_id="amzn1.application-oa2-client.crema",
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


def test_the_announced_version_in_every_spelling() -> None:
    for attribute in (
        {"Type": "String", "Value": "2.0"},
        {"type": "String", "Value": 2.0},
        {"Value": "2"},
        {"Value": 2},
    ):
        assert drs.announced_version({"version": attribute}) == "2", attribute
        assert read(dash(), {"version": attribute}).remarks == (), attribute


def test_a_missing_or_odd_version_attribute_is_nothing() -> None:
    for attributes in (
        None,
        {},
        [],
        "2.0",
        {"version": "2.0"},
        {"version": {}},
        {"version": {"Value": []}},
        {"version": {"Value": "9"}},
    ):
        assert drs.announced_version(attributes) is None, attributes
        assert read(dash(), attributes).version == "2", attributes


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


def test_the_client_s_id_in_both_spellings_or_missing() -> None:
    for name in ("lwaClientId", "LWAClientId", None):
        document = dash()
        client = document["notificationInfo"].pop("lwaClientId")
        if name:
            document["notificationInfo"][name] = client
        assert read(document).instance_id == "amzn1.dash.v2.o.coffee-1", name


def test_a_wrapped_notification_is_unwrapped_once() -> None:
    for as_text in (True, False):
        for name in ("default", "https", "http"):
            inner = dash(id=ID)
            wrapped = {name: json.dumps(inner) if as_text else inner, "email": "An order was placed."}
            said = read(wrapped)
            assert (said.notification_id, said.remarks) == (ID, (f"It was wrapped in “{name}”.",)), (name, as_text)
            with refused((name, as_text), drs.Unreadable):
                read({"default": wrapped})


def test_a_model_id_under_another_name() -> None:
    document = dash()
    document["deviceInfo"]["productIdentifier"] = {"myDeviceModel": "CREMA-20"}
    said = read(document)
    assert (said.model_id, said.remarks) == ("CREMA-20", ("The model ID goes by another name.",))


def test_the_other_types_are_read_as_far_as_they_are_common() -> None:
    for kind in ("SubscriptionChangedNotification", "DeviceRegisteredNotification", "DeviceDeregisteredNotification"):
        said = read(dash(kind))
        assert (said.type, said.serial_number, said.instance_id) == (kind, "CRM20-0001", ""), kind


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


def test_what_cannot_be_understood_says_so_in_words() -> None:
    for path, value in BROKEN:
        document = dash()
        *way, last = path.split(".")
        where = document
        for name in way:
            where = where[name]
        if value is None:
            del where[last]
        else:
            where[last] = value
        with refused((path, value), drs.Unreadable) as problem:
            read(document)
        assert str(problem.value).endswith("."), (path, value)


def test_a_text_that_is_no_notification() -> None:
    for text in (
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
    ):
        with refused(text, drs.Unreadable):
            drs.parse(text)


def test_a_delivery_date_never_stops_an_order() -> None:
    for date in ("soon", "", 20261124, None, ["2026"], "9999-12-31T23:59:59-14:00", {}):
        said = read(dash(date=date))
        assert said.items[0].estimated_delivery is None, date
        assert said.remarks == (() if date is None else ("A delivery date could not be understood.",)), date


def test_delivery_dates_in_other_spellings() -> None:
    for date, expected in (("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)), ("2026-11-24T21:00:00+01:00", TUESDAY)):
        assert read(dash(date=date)).items[0].estimated_delivery == expected, date


def test_fields_that_we_do_not_know_are_ignored() -> None:
    document = dash(id=ID)
    document["somethingNew"] = {"deep": [1, 2, 3]}
    document["orderInfo"]["priority"] = 1
    assert read(document).instance_id == "amzn1.dash.v2.o.coffee-1"
