"""The statements of delivery: claim endpoints, read what they have to say, settle what came of it. Only here is a lease written.

Claim returns ids and versions only; what is to be said is read by a second statement, because tables joined into a claiming
statement are read at its snapshot while the locked row is read at its newest: an old level under a new version.
"""

import json
import logging
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, Prefetch, Q, TextField, When
from django.db.models.functions import Cast, Now

from devices.models import Device
from skill import duty, endpoints, fields, grid
from skill.linking import LIVE, REFRESH_AHEAD, Credentials
from skill.models import AlexaGrant, Endpoint, Event
from skill.quoting import quote

log = logging.getLogger(__name__)
LEASE_SECONDS = 60
EVENTS_AT_ONCE = 50  # of one endpoint in one talk; the rest comes with the next claim
UNSURE = "unsure"  # in place of a digest: Alexa may know the endpoint, nobody knows how
SETTLED_AFTER = timedelta(minutes=10)  # before, SKILL_DISABLED may only mean that the enablement has not spread yet


@dataclass
class Job:
    """One claimed endpoint with everything it has to say, read after the claim."""

    endpoint: Endpoint
    version: int
    lease: uuid.UUID
    read_at: datetime  # the database's clock
    daily_due: bool
    may_report: bool
    events: list[Event] = field(default_factory=list)
    loaded_at: float = field(default_factory=time.monotonic)

    @property
    def device(self) -> Device | None:
        """None: Alexa shall forget this endpoint; nobody wants it, or the device has another owner, or is gone."""
        device = self.endpoint.device if self.endpoint.wanted else None
        return device if device and endpoints.endpoint_id(device) == self.endpoint.endpoint_id else None

    def now(self) -> datetime:
        """The database's clock, however long the talk takes."""
        return self.read_at + timedelta(seconds=time.monotonic() - self.loaded_at)


@dataclass
class Outcome:
    """What came of a job. `delay`: seconds before which nothing more is said (back-off, settling)."""

    job: Job
    done: list[str] = field(default_factory=list)  # keys of `changed` that Alexa now knows
    reported: bool = False  # a state report was accepted …
    whole: bool = False  # … and it held every level
    announced: str | None = None  # digest of the description that was accepted
    deleted: bool = False
    failed: bool = False
    advance: bool = False  # the daily report is done with until the next instant of the grid, accepted or not
    again: bool = False  # something is left to say: look again after the delay
    delay: float | None = None
    given_back: bool = False  # nothing was tried
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


def next_due_in() -> float | None:
    """Seconds until the next endpoint comes due that is not due yet; None if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT)
        return cursor.fetchone()[0]  # type: ignore[no-any-return]


def load(claimed: list[tuple[int, int, uuid.UUID]]) -> dict[int, tuple[Credentials, list[Job]]]:
    """What the claimed endpoints have to say, by grant. Six queries, however many they are. Whose link is no more, is silent."""
    versions = {pk: (version, lease) for pk, version, lease in claimed}
    rows = _endpoints(versions)
    held = _credentials({row.grant_id for row in rows})
    grants: dict[int, tuple[Credentials, list[Job]]] = {}
    jobs: dict[int, Job] = {}
    for row in rows:
        if row.grant_id in held:
            version, lease = versions[row.pk]
            jobs[row.pk] = Job(row, version, lease, row.read_at, row.daily_due, row.may_report)
            grants.setdefault(row.grant_id, (held[row.grant_id], []))[1].append(jobs[row.pk])
    if silent := [row.pk for row in rows if row.pk not in jobs]:
        Endpoint.objects.filter(pk__in=silent, lease=lease_of(claimed)).update(
            due_at=None, lease=None, leased_until=None
        )
    for event in Event.objects.raw(_FIRST_EVENTS, {"endpoints": list(jobs), "most": EVENTS_AT_ONCE}):
        jobs[event.endpoint_id].events.append(event)
    return grants


def lease_of(claimed: list[tuple[int, int, uuid.UUID]]) -> uuid.UUID:
    return claimed[0][2]


def _endpoints(versions: Any) -> list[Any]:
    pause = timedelta(seconds=settings.REPORT_MIN_INTERVAL)
    rows = (
        Endpoint.objects.filter(pk__in=list(versions))
        .select_related("grant")
        .defer("grant__access_token", "grant__refresh_token")
        .prefetch_related(Prefetch("device", endpoints.whole()))
        .annotate(
            daily_due=Case(When(daily_at__lte=Now(), then=True), default=False),
            may_report=Case(When(Q(sent_at__isnull=True) | Q(sent_at__lte=Now() - pause), then=True), default=False),
            read_at=Now(),
        )
        .order_by("pk")
    )
    return list(rows)


def _credentials(grant_ids: set[int]) -> dict[int, Credentials]:
    """The tokens of the links that are alive, each opened once and by itself: one that no key opens hinders no other."""
    rows = AlexaGrant.objects.filter(pk__in=grant_ids, state__in=LIVE).annotate(
        sealed=Cast("access_token", TextField()),
        sealed_renewal=Cast("refresh_token", TextField()),
        settled=Case(When(accepted_at__lte=Now() - SETTLED_AFTER, then=True), default=False),
        fresh=Case(When(expires_at__gt=Now() + REFRESH_AHEAD, then=True), default=False),
    )
    return {row.pk: _opened(row) for row in rows}


def _opened(row: Any) -> Credentials:
    try:
        tokens = fields.decrypt(row.sealed), fields.decrypt(row.sealed_renewal)
    except fields.Undecryptable:
        log.error("no key of TOKEN_KEYS opens the tokens of Alexa link #%d", row.pk)
        tokens = "", ""
    return Credentials(row.pk, row.region, row.generation, *tokens, row.fresh and bool(tokens[0]), row.settled)


def settle(outcomes: list[Outcome]) -> int:
    """Write what came of these jobs, in one statement; how many it was. A lost lease (we overran it) is not touched."""
    if not outcomes:
        return 0
    rows = json.dumps([_row(outcome) for outcome in sorted(outcomes, key=lambda outcome: outcome.job.endpoint.pk)])
    params = {
        "rows": rows,
        "period": settings.REPORT_PERIOD,
        "margin": grid.margin(),
        "pause": settings.REPORT_MIN_INTERVAL,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_SETTLE, params)
        return int(cursor.rowcount)


def _row(outcome: Outcome) -> dict[str, Any]:
    endpoint = outcome.job.endpoint
    return {
        "id": endpoint.pk,
        "lease": str(outcome.job.lease),
        "version": outcome.job.version,
        "done": outcome.done,
        "reported": outcome.reported,
        "whole": outcome.whole,
        "advance": outcome.advance or outcome.whole,
        "again": outcome.again,
        "given_back": outcome.given_back,
        "announced": outcome.announced,
        "deleted": outcome.deleted,
        "failed": outcome.failed,
        "delay": outcome.delay,
        "code": quote(outcome.code, 64),
        "text": quote(outcome.text, 300),
        "phase": grid.phase(endpoint.grant.user_id),
        "duty": duty.judge(endpoint.duty, endpoint.reported_at, outcome.job.read_at)
        if outcome.whole
        else endpoint.duty,
    }


def settle_event(event: Event, status: str, code: str = "", text: str = "") -> None:
    """An event's end. What Amazon accepted is a fact, whoever holds the lease by now; only a pending event ends."""
    Event.objects.filter(pk=event.pk, status=Event.Status.PENDING).update(
        status=status, settled_at=Now(), attempts=F("attempts") + 1, last_code=code, last_text=text
    )


def retry_event(event: Event, code: str, text: str) -> None:
    Event.objects.filter(pk=event.pk, status=Event.Status.PENDING).update(
        attempts=F("attempts") + 1, last_code=code, last_text=text
    )


_CLAIM = """
WITH first AS (
  SELECT grant_id FROM skill_endpoint
  WHERE region = %(region)s AND due_at <= now() AND (leased_until IS NULL OR leased_until < now())
  ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), due AS (
  SELECT id FROM skill_endpoint
  WHERE grant_id IN (SELECT grant_id FROM first) AND region = %(region)s
    AND due_at <= now() AND (leased_until IS NULL OR leased_until < now())
  ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
UPDATE skill_endpoint AS e SET lease = %(lease)s, leased_until = now() + make_interval(secs => %(seconds)s)
FROM due WHERE e.id = due.id RETURNING e.id, e.version
"""
_FIRST_EVENTS = """
SELECT e.* FROM unnest(%(endpoints)s::bigint[]) AS i(id) CROSS JOIN LATERAL (
  SELECT * FROM skill_event WHERE endpoint_id = i.id AND status = 'pending' ORDER BY id LIMIT %(most)s) AS e
ORDER BY e.id
"""
_NEXT = """
SELECT extract(epoch FROM min(due_at) - now())::float FROM (
  SELECT (SELECT due_at FROM skill_endpoint WHERE region = r AND due_at > now() ORDER BY due_at LIMIT 1) AS due_at
  FROM unnest(ARRAY['NA', 'EU', 'FE']) AS r) AS nearest
"""
_LEFT = """(SELECT coalesce(jsonb_object_agg(k, v), '{}'::jsonb) FROM jsonb_each(e.changed) AS c(k, v)
           WHERE NOT (u.done ? k AND (v->>0)::bigint <= u.version))"""
_DAILY = "CASE WHEN u.advance THEN " + grid.NEXT_DUE.format(phase="u.phase") + " ELSE e.daily_at END"
_NOT_BEFORE = "now() + make_interval(secs => u.delay)"
_SETTLE = f"""
WITH u AS (
  SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(id bigint, lease uuid, version bigint, done jsonb,
    reported bool, whole bool, advance bool, again bool, given_back bool, announced text, deleted bool, failed bool, delay float,
    code text, text text, phase float, duty bigint)
), held AS (
  SELECT e.id FROM skill_endpoint AS e JOIN u ON u.id = e.id AND u.lease = e.lease ORDER BY e.id FOR UPDATE OF e
)
UPDATE skill_endpoint AS e SET
  lease = NULL, leased_until = NULL,
  changed = {_LEFT},
  daily_at = {_DAILY},
  not_before = {_NOT_BEFORE},
  sent_at = CASE WHEN u.reported THEN now() ELSE e.sent_at END,
  reported_at = CASE WHEN u.whole THEN now() ELSE e.reported_at END,
  duty = u.duty,
  announced_digest = CASE WHEN u.deleted THEN '' ELSE coalesce(u.announced, e.announced_digest) END,
  attempts = CASE WHEN u.failed THEN least(e.attempts + 1, 1000) WHEN u.given_back THEN e.attempts ELSE 0 END,
  last_code = CASE WHEN u.given_back THEN e.last_code ELSE u.code END,
  last_text = CASE WHEN u.given_back THEN e.last_text ELSE u.text END,
  wanted = e.wanted AND NOT u.deleted,
  due_at = CASE
    WHEN u.deleted THEN NULL
    WHEN e.version <> u.version OR u.again THEN greatest(now(), {_NOT_BEFORE})
    ELSE greatest({_NOT_BEFORE}, least({_DAILY}, CASE WHEN {_LEFT} <> '{{}}'::jsonb
      THEN (CASE WHEN u.reported THEN now() ELSE coalesce(e.sent_at, now()) END) + make_interval(secs => %(pause)s) END))
  END
FROM u, held WHERE e.id = held.id AND e.id = u.id AND e.lease = u.lease
"""  # noqa: S608  (statements of ours, no values)
