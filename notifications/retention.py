"""What is forgotten when: bodies a day's partition at a time, then the rows that know a message again.

What was understood (notifications, events, orders) is not forgotten here: it lives as long as what it is about.
"""

import logging
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from notifications.models import Message, Topic

log = logging.getLogger(__name__)

AHEAD = 7  # days whose partitions are there before they begin
BATCH = 1000
_TABLE = "notifications_messagebody"
_NEEDED = "SELECT id FROM notifications_message WHERE due_at IS NOT NULL OR state IN ('held', 'quarantined')"


def tidy(today: date | None = None) -> tuple[int, int]:
    """Make the next days' partitions, drop old ones, delete old rows: (partitions dropped, rows deleted). Idempotent.

    What still waits for us or for a person keeps its body: it is put into today's partition first.
    """
    today = today or datetime.now(UTC).date()
    _prepare(today)
    dropped = _drop_before(today - timedelta(days=settings.SNS_BODY_DAYS), _bounds(today)[0])
    return dropped, _delete_rows(today - timedelta(days=max(settings.SNS_MESSAGE_DAYS, settings.SNS_BODY_DAYS)))


def _prepare(today: date) -> None:
    """What comes on a day without a partition goes to the default one, so that nothing is ever refused for it."""
    for day in (today + timedelta(days=ahead) for ahead in range(AHEAD + 1)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NULL", [_partition(day)])
            missing = cursor.fetchone()[0]
            cursor.execute(
                f"SELECT NOT EXISTS (SELECT 1 FROM {_TABLE}_default WHERE received_at >= %s AND received_at < %s)",  # noqa: S608
                _bounds(day),
            )
            if missing and cursor.fetchone()[0]:
                first, end = _bounds(day)
                cursor.execute(
                    f"CREATE TABLE IF NOT EXISTS {_partition(day)} PARTITION OF {_TABLE} FOR VALUES FROM (%s) TO (%s)",
                    [first, end],
                )


def _bounds(day: date) -> list[datetime]:
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return [first, first + timedelta(days=1)]


def _partition(day: date) -> str:
    return f"{_TABLE}_{day:%Y%m%d}"


def _drop_before(day: date, now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [_TABLE])
        old = sorted(name for (name,) in cursor.fetchall() if name[-8:].isdecimal() and name < _partition(day))
    for name in old:
        with transaction.atomic(), connection.cursor() as cursor:
            _save_needed(cursor, name, "true", [now])
            cursor.execute(f"DROP TABLE {name}")
        log.info("Bodies of %s are forgotten", name[-8:])
    with transaction.atomic(), connection.cursor() as cursor:
        _save_needed(cursor, f"{_TABLE}_default", "received_at < %s", [_bounds(day)[0], now])
        cursor.execute(f"DELETE FROM {_TABLE}_default WHERE received_at < %s", _bounds(day)[:1])  # noqa: S608 (our own names)
    return len(old)


def _save_needed(cursor: object, name: str, where: str, params: list[datetime]) -> None:
    """Under its own lock a body moves to today; nobody adds to a day that is over."""
    cursor.execute(  # type: ignore[attr-defined]
        f"WITH moved AS (DELETE FROM {name} WHERE {where} AND message_id IN ({_NEEDED}) RETURNING message_id, body) "  # noqa: S608
        f"INSERT INTO {_TABLE} (message_id, received_at, body) SELECT message_id, greatest(now(), %s), body FROM moved",
        params,
    )


def _delete_rows(day: date) -> int:
    """In batches; with them goes the memory that a message was here."""
    topics = list(Topic.objects.values_list("pk", flat=True))  # named, for times are found by topic
    settled = Message.objects.filter(topic__in=topics, due_at=None, received_at__lt=_bounds(day)[0])
    settled = settled.exclude(state__in=[Message.State.HELD, Message.State.QUARANTINED])
    deleted = 0
    while batch := list(settled.values_list("pk", flat=True)[:BATCH]):
        Message.objects.filter(pk__in=batch).delete()
        deleted += len(batch)
    return deleted
