"""The ledger of what Dash said: every notification kept once in effect, and what it is about derived again.

Reading and folding are pure (`drs.py`, `folds.py`); who calls this and when is `inbox.py`.
"""

from collections.abc import Iterable

from django.db import connection

from notifications import orders, registrations
from notifications.drs import ABOUT_DEVICES, as_json
from notifications.drs import Notification as Said
from notifications.models import DrsRegistration, Message, Notification, Order

Key = tuple[int | None, int | None]  # an order, or a registration
TWINS = "Another notification with the ID {} says otherwise; neither counts."


def keep(message: Message, said: Said) -> Notification:
    """Store what `message` says and bring what it is about up to date; twice changes nothing.

    Must run in a transaction: it holds the notification's ID, then orders, then registrations until the end, always in this order.
    """
    _lock(said.notification_id)
    before = Notification.objects.filter(message=message).values_list("order_id", "registration_id")
    concerned = set(before)
    row, _ = Notification.objects.update_or_create(message=message, defaults=_columns(said))
    rebuild(concerned | {(row.order_id, row.registration_id)} | _judge_twins(row))
    row.refresh_from_db(fields=["contradicted"])
    return row


def forget(message: Message) -> None:
    """A message that is no longer understood says nothing: its key is derived without it. In a transaction."""
    rows = Notification.objects.filter(message=message)
    concerned = set(rows.values_list("order_id", "registration_id"))
    rows.delete()
    rebuild(concerned)


def rebuild(keys: Iterable[Key]) -> int:
    """Derive these orders and registrations again, in the one order of locks; how many came to something else.

    Idempotent. In a transaction.
    """
    concerned = list(keys)
    found = Order.objects.filter(pk__in={order for order, _ in concerned if order}).order_by("pk")
    changed = sum(orders.rebuild(order) for order in found)
    known = DrsRegistration.objects.filter(pk__in={registration for _, registration in concerned if registration})
    return changed + sum(registrations.rebuild(registration) for registration in known.order_by("pk"))


def _lock(notification_id: str) -> None:
    """Two messages with one notification ID are processed one after the other, so that the second sees the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('notifications'), hashtext(%s))", [notification_id])


def _columns(said: Said) -> dict[str, object]:
    return {
        "order": orders.of(said.instance_id) if said.instance_id else None,
        "registration": registrations.of(said.model_id, said.serial_number) if said.type in ABOUT_DEVICES else None,
        "kind": said.type,
        "notification_id": said.notification_id,
        "notified_at": said.time,
        "serial_number": said.serial_number,
        "version": said.version or "",
        "digest": said.digest,
        "parsed": as_json(said),
    }


def _judge_twins(row: Notification) -> set[Key]:
    """Mark rows with this ID by whether they agree; the keys of those whose mark changed.

    Messages of twins that are waiting right now are left alone: whoever processes them comes here, too.
    """
    twins = Notification.objects.filter(notification_id=row.notification_id)
    contradicted = twins.exclude(digest=row.digest).exists()
    changed = twins.exclude(contradicted=contradicted)
    keys = set(changed.values_list("order_id", "registration_id"))
    messages = list(changed.values_list("message_id", flat=True))
    changed.update(contradicted=contradicted)
    if contradicted:
        settled = Message.objects.filter(pk__in=messages, due_at=None)
        settled.update(state=Message.State.QUARANTINED, reason=TWINS.format(row.notification_id))
    return keys
