"""The statements of delivery: claim endpoints, settle what came of it. Only here is a lease written.

Claim returns ids and versions only; what is to be said is read by a second statement (jobs.py), because tables joined into a
claiming statement are read at its snapshot while the locked row is read at its newest: an old level under a new version.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from django.db import connection

from skill import duty, endpoints, grid, misses
from skill.jobs import Job
from skill.models import Event
from skill.quoting import quote

LEASE_SECONDS = 60
UNSURE = "unsure"  # in place of a digest: Alexa knows the endpoint, nobody knows how
MAYBE = "maybe"  # … nobody knows whether


def is_known(digest: str) -> bool:
    """Does Alexa know an endpoint with this `announced_digest`? Only then is anything told of it."""
    return digest not in ("", MAYBE)


@dataclass
class Outcome:
    """What came of a job. `delay`: seconds before which nothing more is said (back-off, settling)."""

    job: Job
    done: list[str] = field(default_factory=list)  # keys of `changed` that Alexa now knows
    reported: bool = False  # a state report was accepted …
    whole: bool = False  # … and it held every level
    refused: bool = False  # the daily report was not
    announced: str | None = None  # digest of the description that was accepted
    outdated: bool = False  # it could not be announced just now; Alexa goes on knowing it under an older description
    deleted: bool = False
    failed: bool = False
    most_attempts: int = 1000  # what is counted, at most: the back-off of the next attempt grows with it
    advance: bool = False  # the daily report is done with until the next instant of the grid, accepted or not
    again: bool = False  # something is left to say: look again after the delay
    delay: float | None = None
    given_back: bool = False  # nothing was tried
    code: str = ""
    text: str = ""
    left_out: str | None = None  # why it could not be described; empty: it could; None: not looked at

    def makes_good(self) -> bool:
        """Does it end a time without reports that counts, or will count, as missed?"""
        return self.whole and (self.job.in_arrears or self.job.now() - self.job.owed_since > duty.DAY)


class EventEnd(NamedTuple):
    """What came of telling an event; `pending` counts the attempt and leaves it to be tried again."""

    event: int
    status: str
    code: str = ""
    text: str = ""


def claim(region: str, limit: int) -> list[tuple[int, int, uuid.UUID]]:
    """Take the lease of up to about `limit` due endpoints, oldest first and the due ones of a grant together: (id, version, lease).

    Exactly one where the limit is one: a probe is one request.
    """
    lease = uuid.uuid4()
    most = limit + 300 if limit > 1 else limit
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM, {"region": region, "limit": limit, "most": most, "lease": lease, "seconds": LEASE_SECONDS}
        )
        return [(pk, version, lease) for pk, version in cursor.fetchall()]


def due_regions() -> list[str]:
    """Where there is something to claim: to look at all of them costs less than to claim in one in vain. And where the breaker is
    open: that it still is, the gateway's row goes on saying only while somebody asks for a turn."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE)
        return [region for (region,) in cursor.fetchall()]


def next_due_in() -> float | None:
    """Seconds until the next endpoint comes due that is not due yet; None if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT)
        return cursor.fetchone()[0]  # type: ignore[no-any-return]


def settle(outcomes: list[Outcome]) -> int:
    """Write what came of these jobs, in one statement; how many it was. A lost lease (we overran it) is not touched."""
    if not outcomes:
        return 0
    late = [outcome.job.pk for outcome in outcomes if outcome.makes_good()]
    if late:  # before it counts as reported
        misses.notice(late)
    at = max(outcome.job.now() for outcome in outcomes)  # record and `reported_at` name the same day, at midnight too
    rows = [_row(outcome, at) for outcome in sorted(outcomes, key=lambda outcome: outcome.job.pk)]
    params = {
        "rows": orjson.dumps(rows).decode(),
        "at": at,
        "period": settings.REPORT_PERIOD,
        "margin": grid.margin(),
        "pause": settings.REPORT_MIN_INTERVAL,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, params)
        settled = int(cursor.rowcount)
    if late:
        misses.made_good(late)
    return settled


def _row(outcome: Outcome, at: datetime) -> dict[str, Any]:
    job = outcome.job
    idle = job.device is not None and endpoints.is_idle(job.device)
    return {
        "id": job.pk,
        "lease": str(job.lease),
        "version": job.version,
        "daily_at": job.daily_at,
        "done": outcome.done,
        "reported": outcome.reported,
        "whole": outcome.whole,
        "refused": outcome.refused,
        "advance": outcome.advance or outcome.whole,
        "silent": job.device is not None and endpoints.is_silent(job.device),
        "again": outcome.again,
        "given_back": outcome.given_back,
        "announced": outcome.announced,
        "deleted": outcome.deleted,
        "failed": outcome.failed,
        "most_attempts": outcome.most_attempts,
        "delay": outcome.delay,
        "code": quote(outcome.code, 64),
        "text": quote(outcome.text, 300),
        "left_out": outcome.left_out if outcome.left_out is None else quote(outcome.left_out, 300),
        "phase": grid.phase(job.user_id),
        "duty": _record(outcome, idle, at),
        "idle": idle,
    }


def _record(outcome: Outcome, idle: bool, at: datetime) -> int:
    job = outcome.job
    if outcome.whole:
        return duty.judge(job.duty, job.owed_since, at)
    return duty.excuse(job.duty, job.owed_since, at) if idle else job.duty


def settle_events(ends: Sequence[EventEnd]) -> list[None]:
    """Write what came of telling these events, in one statement. What Amazon accepted is a fact, whoever holds the lease by now;
    only a pending event ends."""
    rows = orjson.dumps([end._asdict() for end in ends]).decode()
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE_EVENTS, {"rows": rows, "pending": Event.Status.PENDING})
    return [None] * len(ends)


# The planner knows little about how many are due just now, so it is told the way: the nearest by the index of due times, then
# their siblings by the index of grants (the empty interval keeps it from walking the due times once per grant).
_CLAIM = """
WITH first AS MATERIALIZED (
  SELECT grant_id FROM skill_endpoint
  WHERE region = %(region)s AND due_at <= now() AND (leased_until IS NULL OR leased_until < now())
  ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), due AS MATERIALIZED (
  SELECT id FROM skill_endpoint
  WHERE grant_id = ANY (ARRAY(SELECT DISTINCT grant_id FROM first)) AND due_at + interval '0' <= now()
    AND (leased_until IS NULL OR leased_until < now())
  ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
UPDATE skill_endpoint AS e SET lease = %(lease)s, leased_until = now() + make_interval(secs => %(seconds)s)
WHERE e.id = ANY (ARRAY(SELECT id FROM due)) RETURNING e.id, e.version
"""
_SETTLE_EVENTS = """
WITH u AS (
  SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(event bigint, status text, code text, text text)
), held AS (
  SELECT e.id FROM skill_event AS e JOIN u ON u.event = e.id WHERE e.status = %(pending)s ORDER BY e.id FOR UPDATE OF e
)
UPDATE skill_event AS e SET status = u.status, attempts = e.attempts + 1, last_code = u.code, last_text = u.text,
  first_tried_at = coalesce(e.first_tried_at, now()),
  settled_at = CASE WHEN u.status = %(pending)s THEN NULL ELSE now() END
FROM u, held WHERE e.id = held.id AND e.id = u.event AND e.status = %(pending)s
"""
_DUE = """
SELECT r FROM unnest(ARRAY['NA', 'EU', 'FE']) AS r WHERE (
  SELECT true FROM skill_endpoint WHERE region = r AND due_at <= now() AND (leased_until IS NULL OR leased_until < now())
  ORDER BY due_at LIMIT 1) OR (SELECT open_until IS NOT NULL FROM skill_gateway WHERE name = r)
"""
_NEXT = """
SELECT extract(epoch FROM min(due_at) - now())::float FROM (
  SELECT (SELECT due_at FROM skill_endpoint WHERE region = r AND due_at > now() ORDER BY due_at LIMIT 1) AS due_at
  FROM unnest(ARRAY['NA', 'EU', 'FE']) AS r) AS nearest
"""
_LEFT = """(SELECT coalesce(jsonb_object_agg(k, v), '{}'::jsonb) FROM jsonb_each(e.changed) AS c(k, v)
           WHERE NOT (u.done ? k AND (v->>0)::bigint <= u.version))"""
# A daily report that was asked for during the talk is another one.
_DAILY = (
    "CASE WHEN u.advance AND e.daily_at IS NOT DISTINCT FROM u.daily_at THEN "
    + grid.NEXT_DUE.format(phase="u.phase")
    + " ELSE e.daily_at END"
)
_NOT_BEFORE = "now() + make_interval(secs => u.delay)"
# A description that changed, or a device that is to be announced all over again, while it was being announced: what was said may be old.
_DESCRIBED_ANEW = "coalesce((e.changed->'description'->>0)::bigint > u.version, false)"
# A refused daily report stays the last answer until the next: what else is accepted, or fails, meanwhile does not make the levels known.
_ANSWERED = """(u.failed OR NOT u.given_back) AND (u.advance OR NOT (e.refused AND e.daily_at > now()) AND (u.code <> '' OR e.attempts > 0
    OR e.last_code = 'LEFT_OUT' AND u.left_out = ''))"""
# An announcement without an answer does not make unknown what Alexa discovered meanwhile.
_SETTLE = f"""
WITH u AS (
  SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(id bigint, lease uuid, version bigint, done jsonb,
    daily_at timestamptz, reported bool, whole bool, refused bool, advance bool, silent bool, again bool, given_back bool,
    announced text, deleted bool, failed bool,
    most_attempts int, delay float, code text, text text, left_out text, phase float, duty bigint, idle bool)
), held AS (
  SELECT e.id FROM skill_endpoint AS e JOIN u ON u.id = e.id AND u.lease = e.lease ORDER BY e.id FOR UPDATE OF e
)
UPDATE skill_endpoint AS e SET
  lease = NULL, leased_until = NULL,
  changed = {_LEFT},
  daily_at = {_DAILY},
  not_before = {_NOT_BEFORE},
  sent_at = CASE WHEN u.reported THEN now() ELSE e.sent_at END,
  reported_at = CASE WHEN u.whole THEN %(at)s ELSE e.reported_at END,
  duty = u.duty,
  owed_since = CASE WHEN u.idle THEN %(at)s ELSE e.owed_since END,
  silent_since = CASE WHEN NOT u.advance THEN e.silent_since WHEN u.silent THEN coalesce(e.silent_since, now()) END,
  announced_digest = CASE WHEN u.deleted THEN ''
    WHEN u.announced = 'maybe' AND e.announced_digest IN ('', 'maybe') THEN 'maybe'
    WHEN u.announced = 'maybe' OR u.announced IS NOT NULL AND {_DESCRIBED_ANEW} THEN 'unsure'
    ELSE coalesce(u.announced, e.announced_digest) END,
  attempts = CASE WHEN u.failed THEN least(e.attempts + 1, u.most_attempts) WHEN u.given_back THEN e.attempts ELSE 0 END,
  refused = CASE WHEN u.advance THEN u.refused ELSE e.refused END,
  last_code = CASE WHEN {_ANSWERED} THEN u.code ELSE e.last_code END,
  last_text = CASE WHEN {_ANSWERED} THEN u.text ELSE e.last_text END,
  left_out = CASE WHEN u.deleted THEN '' ELSE coalesce(u.left_out, e.left_out) END,
  wanted = e.wanted AND NOT u.deleted,
  due_at = CASE
    WHEN u.deleted THEN NULL
    WHEN e.version <> u.version OR u.again THEN greatest(now(), {_NOT_BEFORE})
    ELSE greatest({_NOT_BEFORE}, least({_DAILY}, CASE WHEN {_LEFT} <> '{{}}'::jsonb
      THEN (CASE WHEN u.reported THEN now() ELSE coalesce(e.sent_at, now()) END) + make_interval(secs => %(pause)s) END))
  END
FROM u, held WHERE e.id = held.id AND e.id = u.id AND e.lease = u.lease
"""  # noqa: S608  (statements of ours, no values)
