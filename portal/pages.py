"""What the customer's pages show, put together from the rooms below: a dictionary per page, for its template.

Here: which rows a customer may see, and a constant number of queries per page however many devices there are. Not here:
HTML (templates), words and numbers of a level (levels.py), drawing (charts.py), any change (devices.registry).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.paginator import Paginator
from django.db.models import F, FloatField, Min, QuerySet, Window
from django.db.models.functions import Extract, Floor, RowNumber

from devices.forecast import LOOK_BACK, SILENT, Forecast, Unknown, run_out
from devices.models import DailyUse, Device, Reading, Slot
from notifications import drs
from notifications.models import Order, OrderItem
from notifications.timeline import CANCEL_WITHIN, Entry, timeline
from portal.alexa_link import link_card
from portal.charts import Chart, Point, step_chart
from portal.levels import LOW_PERCENT, Level, level_of, plain
from portal.models import User
from skill.models import AlexaGrant, Endpoint

HISTORY = timedelta(days=30)
CHART_POINTS = 360
ORDERS_PER_PAGE = 20
LATEST_ORDERS = 3
ORDER_WORDS = {
    Order.State.PLACED: ("Ordered", "info"),
    Order.State.SHIPPED: ("Shipped", "ok"),
    Order.State.CANCELLED: ("Cancelled", "neutral"),
    Order.State.UNCLEAR: ("Being clarified", "low"),
}


class Sample(NamedTuple):
    """What the owner may know of one slot: the last value, and when it was measured."""

    value: Decimal
    measured_at: datetime


@dataclass(frozen=True)
class DeviceCard:
    """A device with its levels, for lists."""

    device: Device
    levels: list[Level]

    @property
    def low(self) -> list[Level]:
        return [level for level in self.levels if level.runs_low]


@dataclass(frozen=True)
class SlotHistory:
    """One consumable on the device's own page."""

    level: Level
    chart: Chart | None
    forecast: Forecast | Unknown | None  # None where there is nothing to ask: no level, or nothing left of it


@dataclass(frozen=True)
class ItemLine:
    """One product of an order."""

    asin: str
    title: str
    amount: str
    delivery: datetime | None


@dataclass(frozen=True)
class OrderCard:
    """An order in the customer's words. `cancel_until` is set only while cancelling is possible."""

    order: Order
    device: Device | None
    slot_name: str
    word: str
    tone: str
    placed_at: datetime | None
    delivery: datetime | None
    items: list[ItemLine]
    cancel_until: datetime | None
    too_late: bool
    conflict: bool
    story: tuple[Entry, ...] = ()


def owned_devices(user: User) -> QuerySet[Device]:
    """The devices a customer may see; every page starts from here."""
    return user.devices.select_related("device_model").order_by("name", "serial_number")


def owned_orders(user: User) -> QuerySet[Order]:
    """Orders for the customer's devices, newest first, without those of an earlier owner of the same device."""
    mine = Order.objects.shown_to(user).select_related("device", "slot")
    return mine.prefetch_related("items", "slot__products").order_by("-first_at", "-id")


def home(user: User, now: datetime) -> dict[str, Any]:
    """Summary: devices, what runs low, the latest orders, whether Alexa is linked. 8 queries at most."""
    cards = device_cards(user)
    return {
        "cards": cards,
        "low_cards": [card for card in cards if card.low],
        "orders": [order_card(order, now) for order in owned_orders(user)[:LATEST_ORDERS]],
        "link": link_card(user),
        "low_percent": LOW_PERCENT,
    }


def devices(user: User) -> dict[str, Any]:
    """All of the customer's devices."""
    return {"cards": device_cards(user), "low_percent": LOW_PERCENT}


def device(found: Device, now: datetime) -> dict[str, Any]:
    """One device: levels, history, its orders, what Alexa knows of it."""
    assert found.owner is not None
    mine = owned_orders(found.owner).prefetch_related("notifications").filter(device=found)[:ORDERS_PER_PAGE]
    return {
        "device": found,
        "slots": slot_histories(found, now),
        "orders": [order_card(order, now, story=True) for order in mine],
        "link": link_card(found.owner),
        "alexa": alexa_endpoint(found),
        "low_percent": LOW_PERCENT,
    }


def orders(user: User, now: datetime, page: str | None) -> dict[str, Any]:
    """The customer's orders, a page at a time; a page that does not exist is the last one."""
    mine = owned_orders(user).prefetch_related("notifications")
    shown = Paginator(mine, ORDERS_PER_PAGE).get_page(page)
    return {"page": shown, "orders": [order_card(order, now, story=True) for order in shown]}


def account(user: User) -> dict[str, Any]:
    """What stands beside the form of the name."""
    return {"link": link_card(user)}


def alexa_endpoint(found: Device) -> Endpoint | None:
    """The device as its owner's Alexa knows it, with the time of her last report; None when she does not."""
    active = AlexaGrant.State.ACTIVE
    return Endpoint.objects.live().filter(device=found, grant__user=found.owner_id, grant__state=active).first()


def device_cards(user: User) -> list[DeviceCard]:
    """Devices with their levels, what runs low first. 3 queries."""
    found = owned_devices(user).prefetch_related("device_model__slots", "inventories")
    cards = [DeviceCard(device, _levels(device)) for device in found]
    return sorted(cards, key=lambda card: not card.low)


def slot_histories(found: Device, now: datetime) -> list[SlotHistory]:
    """Every consumable of the device with its level, the chart of the last 30 days and when it runs out. 5 queries."""
    slots = list(found.device_model.slots.all())
    newest = _newest(found, slots)
    points = _points(found, now)
    levels = [_level(slot, newest.get(slot.pk)) for slot in slots]
    charts = [_chart(slot, points.get(slot.pk, []), now) for slot in slots]
    used = _daily_use(found, now)
    forecasts = [_forecast(newest.get(slot.pk), slot, used, now) for slot in slots]
    return [SlotHistory(*parts) for parts in zip(levels, charts, forecasts, strict=True)]


def order_card(order: Order, now: datetime, *, story: bool = False) -> OrderCard:
    """One order; says until when it can be cancelled, or that it no longer can, and on request its whole story."""
    word, tone = ORDER_WORDS[Order.State(order.state)]
    until = order.placed_at + CANCEL_WITHIN if order.placed_at and order.state == Order.State.PLACED else None
    return OrderCard(
        order=order,
        device=order.device,
        slot_name=order.slot.name if order.slot else order.slot_name,
        word=word,
        tone=tone,
        placed_at=order.placed_at or order.first_at,
        delivery=order.estimated_delivery,
        items=_item_lines(order),
        cancel_until=until if until and now < until else None,
        too_late=bool(until and now >= until),
        conflict=order.conflict,
        story=_story(order, now) if story else (),
    )


def _story(order: Order, now: datetime) -> tuple[Entry, ...]:
    """What Amazon said of it, for who looks closer."""
    said = [drs.from_json(row.parsed) for row in order.notifications.all() if not row.contradicted]
    listed = {product.asin for product in order.slot.products.all() if product.active} if order.slot else set()
    return timeline(said, now, listed)


def _item_lines(order: Order) -> list[ItemLine]:
    titles = {product.asin: product.title for product in order.slot.products.all()} if order.slot else {}
    return [_item_line(item, titles.get(item.asin, "")) for item in order.items.all()]


def _item_line(item: OrderItem, title: str) -> ItemLine:
    return ItemLine(item.asin, title, f"{plain(item.quantity)} {item.unit}".strip(), item.estimated_delivery)


def _levels(found: Device) -> list[Level]:
    slots = list(found.device_model.slots.all())
    newest = _newest(found, slots)
    return [_level(slot, newest.get(slot.pk)) for slot in slots]


def _newest(found: Device, slots: list[Slot]) -> dict[int, Sample]:
    """The last of each slot, as far as the owner may know it."""
    assert found.claimed_at is not None
    said = {inventory.slot_id: inventory for inventory in found.inventories.all()}
    samples = {}
    for slot in slots:
        if (last := said.get(slot.pk)) and (at := last.told_as_of(slot, found.claimed_at)):
            samples[slot.pk] = Sample(last.value, at)
    return samples


def _level(slot: Slot, newest: Sample | None) -> Level:
    return level_of(slot, newest.value, newest.measured_at) if newest else level_of(slot, None)


def _daily_use(found: Device, now: datetime) -> dict[int, dict[date, Decimal]]:
    """What each of the last days consumed, by slot."""
    since = (now - LOOK_BACK - SILENT).date() - timedelta(days=2)
    rows = DailyUse.objects.shown_to_owner(found).filter(day__gte=since).values_list("slot_id", "day", "consumed")
    days: dict[int, dict[date, Decimal]] = {}
    for slot_id, day, consumed in rows:
        days.setdefault(slot_id, {})[day] = consumed
    return days


def _forecast(
    newest: Sample | None, slot: Slot, used: dict[int, dict[date, Decimal]], now: datetime
) -> Forecast | Unknown | None:
    if newest is None or not newest.value or not slot.reports_amount_left:
        return None
    return run_out(newest.value, newest.measured_at, used.get(slot.pk, {}), now)


def _chart(slot: Slot, points: list[Point], now: datetime) -> Chart | None:
    if slot.measurement == "Percentage":
        return step_chart(points, now, Decimal(100), LOW_PERCENT)
    if slot.capacity:
        return step_chart(points, now, slot.capacity, slot.capacity * LOW_PERCENT / 100)
    return step_chart(points, now, Decimal(0))


def _points(found: Device, now: datetime) -> dict[int, list[Point]]:
    """Level readings of the last 30 days by slot, the last of each of about 360 equal spans. 2 queries."""
    readings = Reading.objects.shown_to_owner(found).measured_since(now - HISTORY).filter(slot__sensor="level")
    first = readings.aggregate(first=Min("measured_at"))["first"]
    if first is None:
        return {}
    span = max((now - first) / CHART_POINTS, timedelta(seconds=1))
    return _by_slot(_last_of_each(readings, span))


def _last_of_each(readings: QuerySet[Reading], span: timedelta) -> QuerySet[Reading]:
    """One reading of each span: a month of readings every minute is not fetched to draw 360 steps."""
    bucket = Floor(Extract("measured_at", "epoch", output_field=FloatField()) / span.total_seconds())
    newest_first = [F("measured_at").desc(), F("epoch").desc(), F("sequence").desc()]
    place = Window(RowNumber(), partition_by=[F("slot_id"), bucket], order_by=newest_first)
    return readings.annotate(place=place).filter(place=1)


def _by_slot(readings: QuerySet[Reading]) -> dict[int, list[Point]]:
    points: dict[int, list[Point]] = {}
    for slot_id, at, value in readings.values_list("slot_id", "measured_at", "value"):
        points.setdefault(slot_id, []).append(Point(at, value))
    return points
