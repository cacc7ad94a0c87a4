"""The ledger of what Dash said: every notification kept once in effect, and what it is about derived again.

Reading and folding are pure (`drs.py`, `folds.py`); who calls this and when is `processing.py`. Every verb takes many at once,
for the same few statements, and holds what it needs in one order of locks: notification IDs, orders, registrations.
"""

from collections.abc import Iterable, Sequence

from django.db import connection

from notifications import orders, registrations
from notifications.drs import ABOUT_DEVICES, as_json
from notifications.drs import Notification as Said
from notifications.models import Message, Notification

Key = tuple[int | None, int | None]  # an order, or a registration
TWINS = "Another notification with the ID {} says otherwise; neither counts."
_COLUMNS = (
    "order", "registration", "kind", "notification_id", "notified_at", "serial_number", "version", "digest", "parsed",
)  # fmt: skip


def keep(pairs: Sequence[tuple[Message, Said]]) -> set[int]:
    """Store what each message says and bring what it is about up to date; twice changes nothing.

    The keys of those messages that another notification of the same ID contradicts. In a transaction, until whose end it holds
    the IDs, then orders, then registrations.
    """
    if not pairs:
        return set()
    _lock({said.notification_id for _, said in pairs})
    concerned = _keys_of([message.pk for message, _ in pairs])
    rows = _rows(pairs)
    Notification.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["message"], update_fields=list(_COLUMNS)
    )
    concerned |= {(row.order_id, row.registration_id) for row in rows}
    contradicted, changed = _judge_twins({said.notification_id for _, said in pairs})
    rebuild(concerned | changed)
    return {message.pk for message, said in pairs if said.notification_id in contradicted}


def forget(messages: Sequence[Message]) -> None:
    """Messages that are no longer understood say nothing: their keys are derived without them. In a transaction."""
    rows = Notification.objects.filter(message__in=messages)
    names = set(rows.values_list("notification_id", flat=True)) if messages else set()
    if names:
        _lock(names)
        concerned = _keys_of([message.pk for message in messages])
        rows.delete()
        rebuild(concerned | _judge_twins(names)[1])


def rebuild(keys: Iterable[Key]) -> int:
    """Derive these orders and registrations again, in the one order of locks; how many came to something else.

    Idempotent. In a transaction.
    """
    concerned = set(keys)
    changed = orders.rebuild({order for order, _ in concerned if order})
    return changed + registrations.rebuild({registration for _, registration in concerned if registration})


def _keys_of(messages: Sequence[int]) -> set[Key]:
    return set(Notification.objects.filter(message__in=messages).values_list("order_id", "registration_id"))


def _lock(names: Iterable[str]) -> None:
    """Two messages with one notification ID are processed one after the other, so that the second sees the first."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [list(names)])


def _rows(pairs: Sequence[tuple[Message, Said]]) -> list[Notification]:
    """Orders and registrations are made on first mention."""
    known = orders.of({said.instance_id for _, said in pairs if said.instance_id})
    devices = {(said.model_id, said.serial_number) for _, said in pairs if said.type in ABOUT_DEVICES}
    registered = registrations.of(devices)
    return [_row(message, said, known, registered) for message, said in pairs]


def _row(
    message: Message, said: Said, known: dict[str, int], registered: dict[registrations.Name, int]
) -> Notification:
    about_device = said.type in ABOUT_DEVICES
    return Notification(
        message=message,
        order_id=known.get(said.instance_id),
        registration_id=registered[said.model_id, said.serial_number] if about_device else None,
        kind=said.type,
        notification_id=said.notification_id,
        notified_at=said.time,
        serial_number=said.serial_number,
        version=said.version or "",
        digest=said.digest,
        parsed=as_json(said),
    )


def _judge_twins(names: Iterable[str]) -> tuple[set[str], set[Key]]:
    """Mark the rows of these IDs by whether they agree; the IDs that do not, and the keys of the rows whose mark changed.

    Messages of twins that are waiting right now are left alone: whoever processes them comes here, too.
    """
    with connection.cursor() as cursor:
        cursor.execute(_JUDGE, [list(names)])
        judged = cursor.fetchall()
    told = {pk: TWINS.format(name) for name, contradicted, pk, *_ in judged if contradicted and pk}
    settled = Message.objects.filter(pk__in=told, due_at=None) if told else ()
    Message.objects.settle([(message, Message.State.QUARANTINED, told[message.pk]) for message in settled])
    keys = {(order, registration) for *_, order, registration in judged}
    return {name for name, contradicted, *_ in judged if contradicted}, keys


# In the order of the locks' own numbers, so that two who want the same ones wait in line.
_LOCK = """
SELECT pg_advisory_xact_lock(hashtext('notifications'), number)
FROM (SELECT DISTINCT hashtext(name) AS number FROM unnest(%s::text[]) AS name ORDER BY number) AS numbers
"""
_JUDGE = """
WITH judged AS (
  SELECT notification_id, count(DISTINCT digest) > 1 AS contradicted FROM notifications_notification
  WHERE notification_id = ANY (%s) GROUP BY notification_id
), marked AS (
  UPDATE notifications_notification AS n SET contradicted = j.contradicted FROM judged AS j
  WHERE n.notification_id = j.notification_id AND n.contradicted <> j.contradicted
  RETURNING n.notification_id, n.message_id, n.order_id, n.registration_id
)
SELECT notification_id, contradicted, message_id, order_id, registration_id
FROM judged LEFT JOIN marked USING (notification_id)
"""
