"""The statements of delivery: claim endpoints, read what they have to say, settle what came of it. Only here is a lease written.

Claim returns ids and versions only; what is to be said is read by a second statement, because tables joined into a claiming
statement are read at its snapshot while the locked row is read at its newest: an old level under a new version.
"""

import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, Prefetch, Q, When
from django.db.models.functions import Now

from devices.models import Device
from skill import duty, endpoints, grid
from skill.linking import REFRESH_AHEAD, Credentials
from skill.models import AlexaGrant, Endpoint, Event

LEASE_SECONDS = 60
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

    @property
    def device(self) -> Device | None:
        """None: Alexa shall forget this endpoint."""
        return self.endpoint.device if self.endpoint.wanted else None


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
    code: str = ""
    text: str = ""


def claim(region: str, limit: int) -> list[tuple[int, int, uuid.UUID]]:
    """Take the lease of up to about `limit` due endpoints, oldest first and all due ones of a grant together: (id, version, lease)."""
    lease = uuid.uuid4()
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"region": region, "limit": limit, "lease": lease, "seconds": LEASE_SECONDS})
        return [(pk, version, lease) for pk, version in cursor.fetchall()]


def next_due_in() -> float | None:
    """Seconds until the next endpoint comes due that is not due yet; None if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT)
        return cursor.fetchone()[0]  # type: ignore[no-any-return]


def load(claimed: list[tuple[int, int, uuid.UUID]]) -> dict[int, tuple[Credentials, list[Job]]]:
    """What the claimed endpoints have to say, by grant. Five queries, however many they are."""
    versions = {pk: (version, lease) for pk, version, lease in claimed}
    pause = timedelta(seconds=settings.REPORT_MIN_INTERVAL)
    rows = (
        Endpoint.objects.filter(pk__in=versions)
        .select_related("grant")
        .prefetch_related(Prefetch("device", endpoints.whole()))
        .annotate(
            daily_due=Case(When(daily_at__lte=Now(), then=True), default=False),
            may_report=Case(When(Q(sent_at__isnull=True) | Q(sent_at__lte=Now() - pause), then=True), default=False),
            read_at=Now(),
            settled=Case(When(grant__accepted_at__lte=Now() - SETTLED_AFTER, then=True), default=False),
            fresh=Case(When(grant__expires_at__gt=Now() + REFRESH_AHEAD, then=True), default=False),
        )
        .order_by("pk")
    )
    grants: dict[int, tuple[Credentials, list[Job]]] = {}
    jobs: dict[int, Job] = {}
    for row in rows:
        version, lease = versions[row.pk]
        jobs[row.pk] = Job(row, version, lease, row.read_at, row.daily_due, row.may_report)
        grants.setdefault(row.grant_id, (_credentials(row), []))[1].append(jobs[row.pk])
    for event in Event.objects.filter(endpoint__in=jobs, status=Event.Status.PENDING).order_by("pk"):
        jobs[event.endpoint_id].events.append(event)
    return grants


def _credentials(row: Any) -> Credentials:
    grant: AlexaGrant = row.grant
    return Credentials(
        grant.pk, grant.region, grant.generation, grant.access_token, grant.refresh_token, row.fresh, row.settled
    )


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
        "announced": outcome.announced,
        "deleted": outcome.deleted,
        "failed": outcome.failed,
        "delay": outcome.delay,
        "code": outcome.code[:64],
        "text": outcome.text[:300],
        "phase": grid.phase(endpoint.grant.user_id),
        "duty": duty.judge(endpoint.duty, endpoint.reported_at, outcome.job.read_at)
        if outcome.whole
        else endpoint.duty,
    }


def settle_event(event: Event, status: str, code: str = "", text: str = "") -> None:
    """An event's end. What Amazon accepted is a fact, whoever holds the lease by now; only a pending event ends."""
    Event.objects.filter(pk=event.pk, status=Event.Status.PENDING).update(
        status=status, settled_at=Now(), attempts=F("attempts") + 1, last_code=code[:64], last_text=text[:300]
    )


def retry_event(event: Event, code: str, text: str) -> None:
    Event.objects.filter(pk=event.pk).update(attempts=F("attempts") + 1, last_code=code[:64], last_text=text[:300])


_CLAIM = """
WITH first AS (
  SELECT grant_id FROM skill_endpoint
  WHERE region = %(region)s AND due_at <= now() AND (leased_until IS NULL OR leased_until < now())
  ORDER BY due_at LIMIT %(limit)s
), due AS (
  SELECT id FROM skill_endpoint
  WHERE grant_id IN (SELECT grant_id FROM first) AND region = %(region)s
    AND due_at <= now() AND (leased_until IS NULL OR leased_until < now())
  ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE skill_endpoint AS e SET lease = %(lease)s, leased_until = now() + make_interval(secs => %(seconds)s)
FROM due WHERE e.id = due.id RETURNING e.id, e.version
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
  SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(id bigint, lease uuid, version bigint, done jsonb, reported bool, whole bool,
    advance bool, again bool, announced text, deleted bool, failed bool, delay float, code text, text text, phase float, duty bigint)
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
  attempts = CASE WHEN u.failed THEN least(e.attempts + 1, 1000) ELSE 0 END,
  last_code = u.code, last_text = u.text,
  due_at = CASE
    WHEN u.deleted AND NOT e.wanted THEN NULL
    WHEN e.version <> u.version OR u.again THEN greatest(now(), {_NOT_BEFORE})
    ELSE greatest({_NOT_BEFORE}, least({_DAILY}, CASE WHEN {_LEFT} <> '{{}}'::jsonb
      THEN (CASE WHEN u.reported THEN now() ELSE coalesce(e.sent_at, now()) END) + make_interval(secs => %(pause)s) END))
  END
FROM u, held WHERE e.id = held.id AND e.id = u.id AND e.lease = u.lease
"""
