"""The proof of the daily duty: a row for every sensor and day that ended without a report, with the reason. A day that was kept leaves
no row; it stands in the endpoint's record (duty.py).

A day here is 24 hours: from the last whole report; while there is none, from the link or from the last look that found no level with a
replenishment ID, for until then nothing was owed; or from when a sensor without a reading was first left out. It is noticed by a sweep,
so that it does not matter whether a report is ever accepted again, and by the report that comes too late (claims.py). Compared with the
database's clock only.
"""

from collections.abc import Iterator
from datetime import timedelta

from django.db import connection

AT_ONCE = 1000  # endpoints whose rows are locked together; a reading waits no longer than that takes
KEPT = timedelta(days=92)
# Amazon's and Login with Amazon's words for "not with this link"; see gateway.py and lwa.py.
LINK_CODES = [
    "INVALID_ACCESS_TOKEN_EXCEPTION",
    "SKILL_DISABLED_EXCEPTION",
    "SKILL_NEVER_ENABLED_EXCEPTION",
    "INSUFFICIENT_PERMISSION_EXCEPTION",
    "SKILL_NOT_FOUND_EXCEPTION",
    "ACCOUNT_NOT_FOUND_EXCEPTION",
    "HTTP 401",
    "HTTP 403",
    "ClientRejected",
    "RequestRejected",
    "TokensLost",
]


def notice_all() -> int:
    """Note every day that has been missed and is not noted yet; how many endpoints that was. Idempotent, as many at once as like."""
    return sum(notice(ids) for ids in _in_arrears())


def notice(endpoint_ids: list[int]) -> int:
    """The same for these endpoints. One statement: what another noted meanwhile is not noted again."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTICE, {"ids": endpoint_ids, "link_codes": LINK_CODES})
        return int(cursor.fetchone()[0])


def is_owed(endpoint_id: int) -> bool:
    """Is Amazon owed a report a day of this endpoint: is it linked, with a level that she knows?"""
    with connection.cursor() as cursor:
        cursor.execute(_IS_OWED, [endpoint_id])
        return bool(cursor.fetchone()[0])


def made_good(endpoint_ids: list[int]) -> None:
    """Whole reports were accepted from these endpoints: their missed days end, but for a sensor that still has no reading."""
    with connection.cursor() as cursor:
        cursor.execute(_END, {"ids": endpoint_ids})
        cursor.execute(_FORGIVE, {"ids": endpoint_ids})


def forget_old() -> int:
    """Delete the rows that are older than 92 days; how many."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM skill_miss WHERE deadline_at < now() - %s", [KEPT])
        return int(cursor.rowcount)


def _in_arrears() -> Iterator[list[int]]:
    """Read once, by two indexes: who has not been reported is due, or in trouble, or silent."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(_IN_ARREARS)
        while rows := cursor.fetchmany(AT_ONCE):
            yield [pk for (pk,) in rows]


LATE = "greatest(e.owed_since, e.reported_at) < now() - interval '24 hours'"
SILENT = "coalesce(e.silent_since < now() - interval '24 hours', false)"
OWED = "e.due_at IS NOT NULL AND e.wanted"
SENSORS = "JOIN devices_slot AS s ON s.device_model_id = d.device_model_id AND s.sensor = 'level' AND s.replenishment_id <> ''"
_HAS_LEVELS = f"EXISTS (SELECT FROM devices_device AS d {SENSORS} WHERE d.id = e.device_id)"
_IS_OWED = f"SELECT EXISTS (SELECT FROM skill_endpoint AS e WHERE e.id = %s AND {OWED} AND {_HAS_LEVELS})"  # noqa: S608  (statements of ours, no values)
IN_TROUBLE = f"{OWED} AND (e.last_code <> '' OR e.silent_since IS NOT NULL)"
# Each of the two causes has its own days, the first from these moments on.
_LATE_FROM = "greatest(e.owed_since, e.reported_at, e.missed_at)"
_SILENT_FROM = "CASE WHEN e.silent_since IS NOT NULL THEN greatest(e.silent_since, e.silent_missed_at) END"
_UNNOTED = f"({_LATE_FROM} <= now() - interval '24 hours' OR {_SILENT_FROM} <= now() - interval '24 hours')"
_NOTED = """CASE WHEN o.{since} <= now() - interval '24 hours'
      THEN o.{since} + floor(extract(epoch FROM now() - o.{since}) / 86400) * interval '24 hours' ELSE e.{noted} END"""
# A report is due an hour before the day is over, and put off only for a code: two indexes hold all that can be missed.
CANDIDATES = f"""
SELECT e.id FROM skill_endpoint AS e WHERE e.region IN ('NA', 'EU', 'FE') AND e.due_at <= now() AND e.wanted AND {{owing}}
UNION SELECT e.id FROM skill_endpoint AS e WHERE {IN_TROUBLE} AND {{owing}}
"""  # noqa: S608
_IN_ARREARS = CANDIDATES.format(owing=_UNNOTED)
_NOTICE = f"""
WITH owing AS (
  SELECT e.*, {_LATE_FROM} AS late_from, {_SILENT_FROM} AS silent_from FROM skill_endpoint AS e
  WHERE e.id = ANY(%(ids)s) AND {OWED} AND {_UNNOTED} AND {_HAS_LEVELS}
  ORDER BY e.id FOR UPDATE
), noted AS (
  UPDATE skill_endpoint AS e SET
    missed_at = {_NOTED.format(since="late_from", noted="missed_at")},
    silent_missed_at = {_NOTED.format(since="silent_from", noted="silent_missed_at")}
  FROM owing AS o WHERE e.id = o.id RETURNING e.id
), rows AS (
  INSERT INTO skill_miss (endpoint_id, region, sensor, deadline_at, reason, code, text)
  SELECT o.id, o.region, s.instance, deadline,
    CASE WHEN i.id IS NULL THEN 'no_reading'
         WHEN g.trouble <> '' OR o.last_code = ANY(%(link_codes)s) THEN 'link'
         WHEN o.last_code NOT IN ('', 'OUR_BUG') OR door.open_until IS NOT NULL THEN 'refused' ELSE 'late' END,
    CASE WHEN i.id IS NULL THEN '' ELSE o.last_code END,
    CASE WHEN i.id IS NULL THEN '' ELSE coalesce(nullif(o.last_text, ''), nullif(g.trouble, ''),
      CASE WHEN o.last_code = '' AND door.open_until IS NOT NULL THEN door.trouble END, '') END
  FROM owing AS o JOIN skill_alexagrant AS g ON g.id = o.grant_id JOIN devices_device AS d ON d.id = o.device_id {SENSORS}
  LEFT JOIN devices_inventory AS i ON i.device_id = d.id AND i.slot_id = s.id
  LEFT JOIN skill_gateway AS door ON door.name = o.region
  CROSS JOIN LATERAL generate_series(greatest(now() - interval '31 days',
    interval '24 hours' + CASE WHEN i.id IS NULL THEN coalesce(o.silent_from, o.late_from) ELSE o.late_from END),
    now(), interval '24 hours') AS deadline
)
SELECT count(*) FROM noted
"""  # noqa: S608
_END = """
UPDATE skill_miss AS m SET reported_at = e.reported_at FROM skill_endpoint AS e
WHERE e.id = m.endpoint_id AND e.id = ANY(%(ids)s) AND m.reported_at IS NULL AND e.reported_at > m.deadline_at
  AND (m.reason <> 'no_reading' OR e.silent_since IS NULL)
"""
_FORGIVE = """
WITH held AS (SELECT id FROM skill_endpoint WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE)
UPDATE skill_endpoint AS e SET missed_at = CASE WHEN e.missed_at > e.reported_at THEN e.missed_at END,
  silent_missed_at = CASE WHEN e.silent_since IS NOT NULL THEN e.silent_missed_at END FROM held
WHERE e.id = held.id AND (e.missed_at <= e.reported_at OR e.silent_missed_at IS NOT NULL AND e.silent_since IS NULL)
"""
