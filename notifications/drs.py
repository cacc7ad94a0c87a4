"""What Dash says: one DRS notification read, whatever its type, version and quirks.

Here live the shapes and quirks of Amazon's DRS notifications (reference sections 2 to 6). What many of them add up to
is `folds.py`; whether the text is Amazon's at all is `sns.py`; rows and locks are `ledger.py`. Imports nothing of Django.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from notifications import strict_json

PLACED: Final = "OrderPlacedNotification"
CANCELLED: Final = "OrderCancelledNotification"
SHIPPED: Final = "ItemShippedNotification"
ABOUT_ORDERS: Final = (PLACED, CANCELLED, SHIPPED)
SUBSCRIBED: Final = "SubscriptionChangedNotification"
REGISTERED: Final = "DeviceRegisteredNotification"
DEREGISTERED: Final = "DeviceDeregisteredNotification"
ABOUT_DEVICES: Final = (SUBSCRIBED, REGISTERED, DEREGISTERED)
LARGEST: Final = Decimal(10) ** 9
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Unreadable(Exception):
    """A text that we cannot understand, with the reason in words for a person. Asking again would not help."""


@dataclass(frozen=True)
class Item:
    """One product of an order. Version 1 names neither product nor, by itself, a date."""

    quantity: Decimal
    unit: str
    asin: str | None = None
    estimated_delivery: datetime | None = None


@dataclass(frozen=True)
class SlotStatus:
    """What a subscription notification says of one slot. `products` is None in version 1, which does not name them."""

    slot_id: str
    subscribed: bool
    products: tuple[Item, ...] | None = None


@dataclass(frozen=True)
class Notification:
    """One DRS notification as understood. `instance_id`, `slot_id` and `items` are of orders only, `slots` of
    subscriptions; `version` is ours, by structure (quirk Q5), None where there is only one; `digest` covers the whole
    document; `remarks` are for people.
    """

    type: str
    notification_id: str
    time: datetime
    digest: str
    serial_number: str = ""
    model_id: str = ""
    instance_id: str = ""
    slot_id: str = ""
    version: str | None = None
    items: tuple[Item, ...] = ()
    remarks: tuple[str, ...] = ()
    customer_id: str = ""
    client_id: str = ""
    slots: tuple[SlotStatus, ...] = ()


def parse(text: str, attributes: object = None) -> Notification:
    """The notification in an SNS Message; `attributes` (unsigned) are only compared. Pure; raises only Unreadable.

    Types that we do not know come back with what is common to all. Source: DRS notifications, sections 2, 3 and 6.
    """
    document, remarks = _unwrap(_read(text))
    info = _object(document, "notificationInfo")
    kind = _text(info, "notificationType", 128)
    known = _text(info, "notificationId", 255), _instant(_text(info, "notificationTime", 40)), _digest(document)
    common = Notification(kind, *known, remarks=remarks, client_id=_client(info))
    if kind not in ABOUT_ORDERS + ABOUT_DEVICES:
        return common
    common = replace(_with_device(common, document), customer_id=_customer(document, kind in (REGISTERED, SUBSCRIBED)))
    if kind in ABOUT_ORDERS:
        common = _with_order(common, document)
    return _compared(_with_slots(common, document) if kind == SUBSCRIBED else common, attributes)


def _client(info: dict[str, Any]) -> str:
    """Quirk Q7: two spellings, or none."""
    name = next((name for name in ("lwaClientId", "LWAClientId") if info.get(name) is not None), None)
    return _text(info, name, 255) if name else ""


def _customer(document: dict[str, Any], needed: bool) -> str:
    """The customer's pseudonym; a registration says nothing without it, an order does."""
    customer = document.get("customerInfo")
    if not needed and (not isinstance(customer, dict) or customer.get("directedCustomerId") is None):
        return ""
    return _text(_object(document, "customerInfo"), "directedCustomerId", 255)


def _compared(said: Notification, attributes: object) -> Notification:
    """Quirk Q5: the announced version is not signed; a difference is remarked and changes nothing."""
    announced = announced_version(attributes)
    if not said.version or not announced or announced == said.version:
        return said
    remark = f"It is announced as version {announced} and built like version {said.version}."
    return replace(said, remarks=(*said.remarks, remark))


def _read(text: str) -> dict[str, Any]:
    try:
        return strict_json.read_object(text, number=Decimal)
    except strict_json.NotStrict as problem:
        raise Unreadable(f"The text inside is {problem}.") from problem


def _unwrap(document: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Quirk Q8: SNS's message-structure JSON, published by mistake as plain text; unwrapped once."""
    if "notificationInfo" in document:
        return document, ()
    for name in ("default", "https", "http"):
        inner = document.get(name)
        if isinstance(inner, str):
            inner = _read(inner)
        if isinstance(inner, dict):
            return inner, (f"It was wrapped in “{name}”.",)
    raise Unreadable("There is no notificationInfo: this is not a Dash notification.")


def _with_device(common: Notification, document: dict[str, Any]) -> Notification:
    device = _object(document, "deviceInfo")
    serial = _text(_object(device, "deviceIdentifier"), "serialNumber", 255)
    product = _object(device, "productIdentifier")
    if "modelId" in product or len(product) != 1:
        return replace(common, serial_number=serial, model_id=_text(product, "modelId", 255))
    (value,) = product.values()  # quirk Q4; the other name is never repeated, for it may hold anything
    remarks = (*common.remarks, "The model ID goes by another name.")
    return replace(common, serial_number=serial, model_id=_text({"modelId": value}, "modelId", 255), remarks=remarks)


def _with_order(common: Notification, document: dict[str, Any]) -> Notification:
    order = _order_info(document)
    products = () if common.type == CANCELLED else _products(order)
    remarks: list[str] = [*common.remarks]
    items = tuple(_item(product, order, remarks) for product in products)
    version = _version(products) if products else None
    return replace(
        common, instance_id=_text(order, "instanceId", 255), slot_id=_text(order, "slotId", 255), version=version,
        items=items, remarks=tuple(remarks),
    )  # fmt: skip


def _order_info(document: dict[str, Any]) -> dict[str, Any]:
    """Quirk Q3: ItemShipped version 2 is documented with orderInfo inside customerInfo."""
    customer = document.get("customerInfo")
    inside = customer.get("orderInfo") if isinstance(customer, dict) else None
    if "orderInfo" not in document and isinstance(inside, dict):
        return inside
    order = _object(document, "orderInfo")
    if inside is not None and inside != order:
        raise Unreadable("It has two orderInfo that differ.")
    return order


def _with_slots(common: Notification, document: dict[str, Any]) -> Notification:
    """Slot by slot, as the map has them; whether it names every slot of the device is not known."""
    status = _object(_object(document, "subscriptionInfo"), "slotsSubscriptionStatus")
    slots = tuple(_slot(status, name) for name in sorted(status))
    versions = {"1" if slot.products is None else "2" for slot in slots}
    remarks = common.remarks if len(versions) < 2 else (*common.remarks, "It is of both versions, slot by slot.")
    return replace(common, slots=slots, version=max(versions, default=None), remarks=remarks)


def _slot(status: dict[str, Any], name: str) -> SlotStatus:
    """Version 1 says true or false; version 2 an object. Products there do not mean that it is subscribed."""
    value, slot_id = status[name], _text({"slotId": name}, "slotId", 255)
    if isinstance(value, bool):
        return SlotStatus(slot_id, value)
    if not isinstance(value, dict) or not isinstance(value.get("subscribed"), bool):
        raise Unreadable("A slot's subscription is neither true or false nor an object that says so.")
    products = [] if value.get("productInfoList") is None else value["productInfoList"]
    if not isinstance(products, list) or not all(isinstance(product, dict) for product in products):
        raise Unreadable("A slot's productInfoList is not a list of products.")
    return SlotStatus(slot_id, value["subscribed"], tuple(_item(product, {}, []) for product in products))


def _products(order: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    products = order.get("productInfo")
    if not isinstance(products, list) or not products or not all(isinstance(product, dict) for product in products):
        raise Unreadable("orderInfo.productInfo is not a list of products.")
    return tuple(products)


def _version(products: Iterable[dict[str, Any]]) -> str:
    return "2" if any("asin" in product or "estimatedDeliveryDate" in product for product in products) else "1"


def _item(product: dict[str, Any], order: dict[str, Any], remarks: list[str]) -> Item:
    """Quirk Q9: a date said of the whole order is said of each product that has none of its own."""
    asin = _text(product, "asin", 64) if product.get("asin") is not None else None
    said = product.get("estimatedDeliveryDate", order.get("estimatedDeliveryDate"))
    date = _date(said)
    if said is not None and date is None:
        remarks.append("A delivery date could not be understood.")
    return Item(_quantity(product.get("quantity")), _text(product, "unit", 64), asin, date)


def _quantity(value: object) -> Decimal:
    """Amounts keep six decimals, which is more than a kitchen scale has."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Unreadable("A quantity is not a number.")
    if not 0 <= value <= LARGEST:
        raise Unreadable("A quantity is negative or beyond belief.")
    return Decimal(value).quantize(Decimal("0.000001")).normalize() + 0


def _object(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    if not isinstance(value, dict):
        raise Unreadable(f"{name} is missing or not an object.")
    return value


def _text(document: Mapping[str, Any], name: str, longest: int) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"{name} is missing or not text.")
    if len(value) > longest or _CONTROL.search(value):
        raise Unreadable(f"{name} is too long or holds control characters.")
    return value


def _instant(text: str) -> datetime:
    try:
        if not _TIME.fullmatch(text):
            raise ValueError("no zone, or no time")
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as problem:
        raise Unreadable("notificationTime is not an instant with its zone.") from problem


def _date(value: object) -> datetime | None:
    """A delivery date may be missing, past or odd; it never stops an order. Without a zone it is taken as UTC."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC) if found else None
    except (ValueError, OverflowError):
        return None


def announced_version(attributes: object) -> str | None:
    """“1” or “2” as MessageAttributes.version says in any of its spellings (quirk Q2), or None."""
    version = attributes.get("version") if isinstance(attributes, dict) else None
    value = version.get("Value") if isinstance(version, dict) else None
    return {"1": "1", "1.0": "1", "2": "2", "2.0": "2"}.get(str(value))


def _digest(document: dict[str, Any]) -> str:
    """Two notifications with one ID must be twins; this tells whether they are."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


def as_json(notification: Notification) -> dict[str, Any]:
    """For a JSON column; `from_json` reads it back to an equal value."""
    document: dict[str, Any] = _plain(notification)
    return document


def _plain(value: Any) -> Any:
    """Members by name, amounts and times as text."""
    if isinstance(value, Notification | Item | SlotStatus):
        return {name: _plain(inner) for name, inner in vars(value).items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else value


def from_json(document: Mapping[str, Any]) -> Notification:
    """The notification that `as_json` wrote."""
    read = {
        "time": datetime.fromisoformat(document["time"]),
        "items": _items(document["items"]),
        "remarks": tuple(document["remarks"]),
        "slots": tuple(_slot_from_json(slot) for slot in document.get("slots", ())),
    }
    return Notification(**{**document, **read})


def _slot_from_json(slot: Mapping[str, Any]) -> SlotStatus:
    products = slot["products"]
    return SlotStatus(slot["slot_id"], slot["subscribed"], None if products is None else _items(products))


def _items(items: Iterable[Mapping[str, Any]]) -> tuple[Item, ...]:
    return tuple(
        Item(Decimal(item["quantity"]), item["unit"], item["asin"], _date(item["estimated_delivery"])) for item in items
    )
