"""From Dash notifications to orders: keep what was said, and derive the state again from all of it.

The reading and the fold are pure and in `drs.py`; who calls this and when is `inbox.py`.
"""

from django.db import connection, transaction

from devices.models import Device, Slot
from notifications import drs
from notifications.models import Message, Notification, Order, OrderItem

TWINS = "Another notification with the ID {} says otherwise; neither counts."


def keep(message: Message, said: drs.Notification) -> Notification:
    """Store what `message` says and bring the order concerned up to date; twice changes nothing.

    Must run in a transaction: it holds the notification's ID and the orders until the end, always in this order.
    """
    _lock(said.notification_id)
    before = Notification.objects.filter(message=message).values_list("order_id", flat=True).first()
    row, _ = Notification.objects.update_or_create(message=message, defaults=_columns(said))
    concerned = {before, row.order_id} | _judge_twins(row)
    for order in Order.objects.filter(pk__in=concerned - {None}).order_by("pk"):
        rebuild(order)
    row.refresh_from_db(fields=["contradicted"])
    return row


def forget(message: Message) -> None:
    """A message that is no longer understood says nothing: the order is derived without it. In a transaction."""
    for row in Notification.objects.filter(message=message).select_related("order"):
        row.delete()
        if row.order:
            rebuild(row.order)


@transaction.atomic
def rebuild(order: Order) -> Order:
    """The order by all its notifications, whatever it was before. Idempotent, transactional, locks the order."""
    Order.objects.select_for_update().get(pk=order.pk)
    rows = order.notifications.filter(contradicted=False).order_by("pk")
    state = drs.fold(drs.from_json(row.parsed) for row in rows)
    derived = Order(pk=order.pk, instance_id=order.instance_id)
    if state:
        _write(derived, state)
    derived.save(force_update=True)
    _write_items(derived, state.items if state else ())
    return derived


def _lock(notification_id: str) -> None:
    """Two messages with one notification ID are processed one after the other, so that the second sees the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('notifications'), hashtext(%s))", [notification_id])


def _columns(said: drs.Notification) -> dict[str, object]:
    return {
        "order": _order(said.instance_id) if said.instance_id else None,
        "kind": said.type,
        "notification_id": said.notification_id,
        "notified_at": said.time,
        "serial_number": said.serial_number,
        "digest": said.digest,
        "parsed": drs.as_json(said),
    }


def _order(instance_id: str) -> Order:
    """The order, made on first mention; two makers at once get the same row."""
    Order.objects.bulk_create([Order(instance_id=instance_id)], ignore_conflicts=True)
    return Order.objects.get(instance_id=instance_id)


def _judge_twins(row: Notification) -> set[int | None]:
    """Mark rows with this ID by whether they agree; the orders of those whose mark changed.

    Messages of twins that are waiting right now are left alone: whoever processes them comes here, too.
    """
    twins = Notification.objects.filter(notification_id=row.notification_id)
    contradicted = twins.exclude(digest=row.digest).exists()
    changed = twins.exclude(contradicted=contradicted)
    orders, messages = (
        set(changed.values_list("order_id", flat=True)),
        list(changed.values_list("message_id", flat=True)),
    )
    changed.update(contradicted=contradicted)
    if contradicted:
        settled = Message.objects.filter(pk__in=messages, due_at=None)
        settled.update(state=Message.State.QUARANTINED, reason=TWINS.format(row.notification_id))
    return orders


def _write(order: Order, state: drs.OrderState) -> None:
    order.state, order.conflict = state.state, state.conflict
    order.serial_number, order.model_id, order.slot_name = state.serial_number, state.model_id, state.slot_id
    order.first_at, order.placed_at, order.last_at = state.first_at, state.placed_at, state.last_at
    order.estimated_delivery = state.estimated_delivery
    order.device = Device.objects.filter(
        serial_number=state.serial_number, device_model__model_id=state.model_id
    ).first()
    order.slot = Slot.objects.filter(slot_id=state.slot_id, device_model__model_id=state.model_id).first()


def _write_items(order: Order, items: tuple[drs.Item, ...]) -> None:
    order.items.all().delete()
    OrderItem.objects.bulk_create(
        OrderItem(
            order=order,
            place=place,
            asin=item.asin or "",
            quantity=item.quantity,
            unit=item.unit,
            estimated_delivery=item.estimated_delivery,
        )
        for place, item in enumerate(items)
    )
