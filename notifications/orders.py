"""Orders: made on first mention, derived again from all their notifications.

The fold is pure and in `folds.py`; who keeps the notifications is `ledger.py`.
"""

from collections.abc import Iterable

from django.db import transaction

from devices.models import Device, Slot
from notifications import drs, folds
from notifications.models import Order, OrderItem


def of(instance_id: str) -> Order:
    """The order, made on first mention; two makers at once get the same row."""
    Order.objects.bulk_create([Order(instance_id=instance_id)], ignore_conflicts=True)
    return Order.objects.get(instance_id=instance_id)


@transaction.atomic(savepoint=False)
def rebuild(order: Order) -> bool:
    """The order by all its notifications, whatever it was before; True when that made a difference.

    Idempotent, transactional, locks the order. What is as it should be is not written again.
    """
    before = Order.objects.select_for_update().get(pk=order.pk)
    known = list(before.items.values_list("place", "asin", "quantity", "unit", "estimated_delivery"))
    rows = order.notifications.filter(contradicted=False).order_by("pk")
    state = folds.order(drs.from_json(row.parsed) for row in rows)
    derived = Order(pk=order.pk, instance_id=order.instance_id)
    if state:
        _write(derived, state)
    items = _items(state.items if state else ())
    changed = (_columns(before), known) != (_columns(derived), items)
    if changed:
        derived.save(force_update=True)
        _write_items(derived, items)
    return changed


def _columns(order: Order) -> list[object]:
    return [getattr(order, field.attname) for field in Order._meta.concrete_fields]


def _items(items: Iterable[drs.Item]) -> list[tuple[object, ...]]:
    return [
        (place, item.asin or "", item.quantity, item.unit, item.estimated_delivery) for place, item in enumerate(items)
    ]


def _write(order: Order, state: folds.OrderState) -> None:
    order.state, order.conflict = state.state, state.conflict
    order.serial_number, order.model_id, order.slot_name = state.serial_number, state.model_id, state.slot_id
    order.first_at, order.placed_at, order.last_at = state.first_at, state.placed_at, state.last_at
    order.estimated_delivery = state.estimated_delivery
    order.device = Device.objects.filter(
        serial_number=state.serial_number, device_model__model_id=state.model_id
    ).first()
    order.slot = Slot.objects.filter(slot_id=state.slot_id, device_model__model_id=state.model_id).first()


def _write_items(order: Order, items: list[tuple[object, ...]]) -> None:
    order.items.all().delete()
    names = ("place", "asin", "quantity", "unit", "estimated_delivery")
    OrderItem.objects.bulk_create(OrderItem(order=order, **dict(zip(names, item, strict=True))) for item in items)
