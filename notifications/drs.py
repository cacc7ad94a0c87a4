"""What Dash says: one DRS notification read, and the pure fold of an order's notifications into its state.

Here live the shapes and quirks of Amazon's DRS notifications (reference sections 2, 3, 6 and 7.1). Whether the text
is Amazon's at all is `sns.py`; rows and locks are `orders.py`. Imports nothing of Django.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from notifications import strict_json

PLACED: Final = "OrderPlacedNotification"
CANCELLED: Final = "OrderCancelledNotification"
SHIPPED: Final = "ItemShippedNotification"
ABOUT_ORDERS: Final = (PLACED, CANCELLED, SHIPPED)
ABOUT_DEVICES: Final = (
    "SubscriptionChangedNotification",
    "DeviceRegisteredNotification",
    "DeviceDeregisteredNotification",
)
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
class Notification:
    """One DRS notification as understood. `instance_id` and what follows are of orders only; `version` is ours, by
    structure (quirk Q5), None where there is only one; `digest` covers the whole document; `remarks` are for people.
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


@dataclass(frozen=True)
class OrderState:
    """Where an order stands by everything that was said about it. `placed_at` is None for one never said placed."""

    state: str
    conflict: bool
    serial_number: str
    model_id: str
    slot_id: str
    first_at: datetime
    last_at: datetime
    placed_at: datetime | None
    items: tuple[Item, ...]

    @property
    def estimated_delivery(self) -> datetime | None:
        """When the last item should be there."""
        return max((item.estimated_delivery for item in self.items if item.estimated_delivery), default=None)


def parse(text: str, attributes: object = None) -> Notification:
    """The notification in an SNS Message; `attributes` (unsigned) are only compared. Pure; raises only Unreadable.

    Types that we do not know come back with what is common to all. Source: DRS notifications, sections 2, 3 and 6.
    """
    document, remarks = _unwrap(_read(text))
    info = _object(document, "notificationInfo")
    kind = _text(info, "notificationType", 128)
    known = _text(info, "notificationId", 255), _instant(_text(info, "notificationTime", 40)), _digest(document)
    common = Notification(kind, *known, remarks=remarks)
    if kind in ABOUT_ORDERS + ABOUT_DEVICES:
        common = _with_device(common, document)
    return _with_order(common, document, attributes) if kind in ABOUT_ORDERS else common


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


def _with_order(common: Notification, document: dict[str, Any], attributes: object) -> Notification:
    order = _order_info(document)
    products = () if common.type == CANCELLED else _products(order)
    remarks: list[str] = [*common.remarks]
    items = tuple(_item(product, order, remarks) for product in products)
    version = _version(products) if products else None
    announced = announced_version(attributes)
    if version and announced and announced != version:
        remarks.append(f"It is announced as version {announced} and built like version {version}.")
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
    document: dict[str, Any] = json.loads(json.dumps(asdict(notification), default=_plain))
    return document


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else f"{value:f}"


def from_json(document: Mapping[str, Any]) -> Notification:
    """The notification that `as_json` wrote."""
    items = tuple(
        Item(Decimal(item["quantity"]), item["unit"], item["asin"], _date(item["estimated_delivery"]))
        for item in document["items"]
    )
    time = datetime.fromisoformat(document["time"])
    return Notification(**{**document, "time": time, "items": items, "remarks": tuple(document["remarks"])})


def fold(notifications: Iterable[Notification]) -> OrderState | None:
    """The state of one order by all notifications about it, in any order and repetition; None when none counts.

    Pure. Twins that contradict each other count for nothing. Source: DRS notifications, section 7.1.
    """
    history = sorted(_agreeing(notifications), key=lambda said: (said.time, said.notification_id))
    if not history:
        return None
    kinds, last = {said.type for said in history}, history[-1]
    placed = [said.time for said in history if said.type == PLACED]
    return OrderState(
        state="SHIPPED" if SHIPPED in kinds else "CANCELLED" if CANCELLED in kinds else "PLACED",
        conflict={SHIPPED, CANCELLED} <= kinds,
        serial_number=last.serial_number, model_id=last.model_id, slot_id=last.slot_id,
        first_at=history[0].time, last_at=last.time, placed_at=placed[0] if placed else None, items=_items(history),
    )  # fmt: skip


def _agreeing(notifications: Iterable[Notification]) -> list[Notification]:
    by_id: dict[str, dict[str, Notification]] = {}
    for said in notifications:
        by_id.setdefault(said.notification_id, {})[said.digest] = said
    return [said for twins in by_id.values() if len(twins) == 1 for said in twins.values()]


def _items(history: Iterable[Notification]) -> tuple[Item, ...]:
    known: tuple[Item, ...] = ()
    for said in history:
        if said.items:
            known = _newer(known, said.items)
    return known


def _newer(known: tuple[Item, ...], said: tuple[Item, ...]) -> tuple[Item, ...]:
    """The newer list, its gaps filled from the older: product by product, or by place where products have no name."""
    named = any(item.asin for item in said)
    if not named and any(item.asin for item in known) and len(said) != len(known):
        dates = [item.estimated_delivery for item in said if item.estimated_delivery]
        return tuple(replace(item, estimated_delivery=max(dates, default=item.estimated_delivery)) for item in known)
    by_asin = {item.asin: item for item in known if item.asin}
    by_place = known if len(known) == len(said) and (not named or not by_asin) else (None,) * len(said)
    return tuple(_filled(item, by_asin.get(item.asin or "") or old) for item, old in zip(said, by_place, strict=True))


def _filled(item: Item, old: Item | None) -> Item:
    if old is None:
        return item
    return replace(
        item, asin=item.asin or old.asin, estimated_delivery=item.estimated_delivery or old.estimated_delivery
    )
