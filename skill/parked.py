"""Events after delivery is done with them: parked ones wait for a person, who has them told again or lets them go; told ones are
forgotten by age.

Locks Endpoint, then Event, rows by id.
"""

from datetime import timedelta

from django.db import connection, transaction

from skill import doorbell
from skill.models import Event

KEPT = timedelta(days=30)
AT_ONCE = 10_000
Status = Event.Status


def resend(event_ids: list[int]) -> int:
    """Have these parked events told again, under the same messageId, for three days from the first attempt; how many they were.

    Idempotent. What is not parked, and whose endpoint is no longer linked, stays as it is.
    """
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(_WAKE, {"events": event_ids, "parked": Status.PARKED})
        live = [pk for (pk,) in cursor.fetchall()]
        cursor.execute(_UNPARK, {"events": event_ids, "live": live, "parked": Status.PARKED, "pending": Status.PENDING})
        count = int(cursor.rowcount)
    doorbell.ring()
    return count


def let_go(event_ids: list[int]) -> int:
    """These parked events shall never be told; how many they were. Idempotent."""
    with connection.cursor() as cursor:
        cursor.execute(_LET_GO, {"events": event_ids, "parked": Status.PARKED, "cancelled": Status.CANCELLED})
        return int(cursor.rowcount)


def forget_told() -> int:
    """Delete events that were settled more than 30 days ago, oldest first, ten thousand at a time; how many. Parked ones stay.

    Walks the primary key, which rises with time, as far as the first young event, so it costs what it deletes and not what there is.
    """
    deleted, after, young = 0, 0, False
    with connection.cursor() as cursor:
        while not young:
            cursor.execute(_FORGET, {"after": after, "most": AT_ONCE, "kept": KEPT})
            after, young, gone = cursor.fetchone()
            deleted += gone
    return deleted


_WAKE = """
WITH live AS (
  SELECT id FROM skill_endpoint WHERE wanted AND due_at IS NOT NULL
    AND id IN (SELECT endpoint_id FROM skill_event WHERE id = ANY(%(events)s) AND status = %(parked)s)
  ORDER BY id FOR UPDATE)
UPDATE skill_endpoint AS e SET version = e.version + 1, due_at = now(), not_before = NULL FROM live WHERE e.id = live.id RETURNING e.id
"""
_UNPARK = """
WITH held AS (
  SELECT id FROM skill_event WHERE id = ANY(%(events)s) AND endpoint_id = ANY(%(live)s) AND status = %(parked)s ORDER BY id FOR UPDATE)
UPDATE skill_event AS e SET status = %(pending)s, settled_at = NULL, resent_at = now(), first_tried_at = NULL FROM held WHERE e.id = held.id
"""
_LET_GO = """
WITH held AS (SELECT id FROM skill_event WHERE id = ANY(%(events)s) AND status = %(parked)s ORDER BY id FOR UPDATE)
UPDATE skill_event AS e SET status = %(cancelled)s, settled_at = now() FROM held WHERE e.id = held.id
"""
_FORGET = """
WITH oldest AS MATERIALIZED (
  SELECT id, status, created_at, settled_at FROM skill_event WHERE id > %(after)s ORDER BY id LIMIT %(most)s
), gone AS (
  DELETE FROM skill_event AS e USING oldest AS o
  WHERE e.id = o.id AND o.status <> 'parked' AND o.settled_at < now() - %(kept)s AND e.status = o.status RETURNING e.id
)
SELECT max(id), coalesce(max(created_at) >= now() - %(kept)s, true), (SELECT count(*) FROM gone) FROM oldest
"""
