"""Orders: made on first mention, derived again from all their notifications, many at once in the same few statements.

The fold is pure and in `folds.py`; who keeps the notifications is `ledger.py`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db import transaction

from devices.models import Device, Slot
from notifications import drs, folds
from notifications.models import Notification, Order, OrderItem

Item = tuple[object, ...]
_ITEM = ("place", "asin", "quantity", "unit", "estimated_delivery")
_DERIVED = [field.name for field in Order._meta.concrete_fields if field.name not in ("id", "instance_id")]


def of(instance_ids: Collection[str]) -> dict[str, int]:
    """The orders' keys, made on first mention; two makers at once get the same row."""
    if not instance_ids:
        return {}
    # In one order, so that two who make the same ones wait in line.
    Order.objects.bulk_create([Order(instance_id=name) for name in sorted(instance_ids)], ignore_conflicts=True)
    return dict(Order.objects.filter(instance_id__in=instance_ids).values_list("instance_id", "pk"))


@transaction.atomic(savepoint=False)
def rebuild(pks: Collection[int]) -> int:
    """These orders by all their notifications, whatever they were before; for how many that made a difference.

    Idempotent, transactional, locks the orders. What is as it should be is not written again.
    """
    if not pks:
        return 0
    before = {order.pk: order for order in Order.objects.select_for_update().filter(pk__in=pks).order_by("pk")}
    states = _states(pks)
    derived = _derive(before.values(), states)
    known, items = _known_items(pks), {pk: _items(state.items if state else ()) for pk, state in states.items()}
    changed = [
        order
        for order in derived
        if (_columns(order), items[order.pk]) != (_columns(before[order.pk]), known[order.pk])
    ]
    _write(changed, known, items)
    return len(changed)


def _states(pks: Collection[int]) -> dict[int, folds.OrderState | None]:
    said: dict[int, list[drs.Notification]] = {pk: [] for pk in pks}
    rows = Notification.objects.filter(order__in=pks, contradicted=False).order_by("pk")
    for pk, parsed in rows.values_list("order_id", "parsed"):
        said[pk].append(drs.from_json(parsed))
    return {pk: folds.order(some) for pk, some in said.items()}


def _derive(orders: Iterable[Order], states: dict[int, folds.OrderState | None]) -> list[Order]:
    """By the state alone; its device and slot are found where they are registered."""
    there = [state for state in states.values() if state]
    devices = Device.objects.filter(serial_number__in={state.serial_number for state in there})
    slots = Slot.objects.filter(device_model__model_id__in={state.model_id for state in there})
    by_device = {
        (model, serial): pk
        for pk, model, serial in devices.values_list("pk", "device_model__model_id", "serial_number")
    }
    by_slot = {(model, name): pk for pk, model, name in slots.values_list("pk", "device_model__model_id", "slot_id")}
    return [_derived(order, states[order.pk], by_device, by_slot) for order in orders]


def _derived(
    order: Order,
    state: folds.OrderState | None,
    devices: dict[tuple[str, str], int],
    slots: dict[tuple[str, str], int],
) -> Order:
    derived = Order(pk=order.pk, instance_id=order.instance_id)
    if state:
        derived.state, derived.conflict = state.state, state.conflict
        derived.serial_number, derived.model_id, derived.slot_name = state.serial_number, state.model_id, state.slot_id
        derived.first_at, derived.placed_at, derived.last_at = state.first_at, state.placed_at, state.last_at
        derived.estimated_delivery = state.estimated_delivery
        derived.device_id = devices.get((state.model_id, state.serial_number))
        derived.slot_id = slots.get((state.model_id, state.slot_id))
    return derived


def _columns(order: Order) -> list[object]:
    return [getattr(order, field.attname) for field in Order._meta.concrete_fields]


def _known_items(pks: Collection[int]) -> dict[int, list[Item]]:
    known = defaultdict[int, list[Item]](list)
    for pk, *item in (
        OrderItem.objects.filter(order__in=pks).order_by("order_id", "place").values_list("order_id", *_ITEM)
    ):
        known[pk].append(tuple(item))
    return known


def _items(items: Iterable[drs.Item]) -> list[Item]:
    return [
        (place, item.asin or "", item.quantity, item.unit, item.estimated_delivery) for place, item in enumerate(items)
    ]


def _write(orders: list[Order], known: dict[int, list[Item]], items: dict[int, list[Item]]) -> None:
    if not orders:
        return
    Order.objects.bulk_create(orders, update_conflicts=True, unique_fields=["id"], update_fields=_DERIVED)
    if any(known[order.pk] for order in orders):  # a new order has none
        OrderItem.objects.filter(order__in=orders).delete()
    OrderItem.objects.bulk_create(
        OrderItem(order=order, **dict(zip(_ITEM, item, strict=True))) for order in orders for item in items[order.pk]
    )
