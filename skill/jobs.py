"""What claimed endpoints have to say, read after the claim: one Job each, flat, in a constant number of queries.

At a million devices a day this is the busiest reading of the house, so rows come as plain tuples; what all devices of a model
share is read once for each batch.
"""

import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
from django.conf import settings

from skill import endpoints, fields, makes
from skill.database import select
from skill.journal import journal
from skill.linking import LIVE
from skill.models import Endpoint
from skill.renewal import REFRESH_AHEAD, Credentials

EVENTS_AT_ONCE = 50  # of one endpoint in one talk; the rest comes with the next claim
SETTLED_AFTER = timedelta(minutes=10)  # before, SKILL_DISABLED may only mean that the enablement has not spread yet


class Telling(NamedTuple):
    """One pending Event."""

    pk: int
    message_id: uuid.UUID
    namespace: str
    name: str
    instance: str
    correlation_token: str
    payload: Any
    tried_since: datetime
    expires_at: datetime | None


class _Row(NamedTuple):
    """What _ENDPOINTS selects."""

    pk: int
    endpoint_id: str
    grant_id: int
    device_id: int | None
    wanted: bool
    changed: str
    attempts: int
    announced_digest: str
    duty: int
    owed_since: datetime
    in_arrears: bool
    read_at: datetime
    daily_at: datetime | None
    daily_due: bool
    may_report: bool
    settled: bool
    fresh: bool
    sealed: str
    user_id: int
    region: str
    generation: int
    state: str
    ownership: str | None
    name: str
    serial_number: str
    firmware_version: str
    online: bool
    last_seen_at: datetime | None
    device_model_id: int


@dataclass(slots=True)
class Job:
    """One claimed endpoint with everything it has to say. `device` is None where Alexa shall forget it: nobody wants it, or the
    device has another owner, or is gone."""

    pk: int
    endpoint_id: str
    region: str
    user_id: int
    version: int
    lease: uuid.UUID
    read_at: datetime  # the database's clock
    daily_at: datetime | None
    daily_due: bool
    may_report: bool
    changed: dict[str, Any]
    attempts: int
    announced_digest: str
    duty: int
    owed_since: datetime  # the last whole report, or since when one is owed
    in_arrears: bool  # is a missed day noted that was not made good?
    device: endpoints.Unit | None
    events: list[Telling] = field(default_factory=list)
    loaded_at: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """The database's clock, however long the talk takes."""
        return self.read_at + timedelta(seconds=time.monotonic() - self.loaded_at)


def load(claimed: list[tuple[int, int, uuid.UUID]]) -> dict[int, tuple[Credentials, list[Job]]]:
    """What the claimed endpoints have to say, by grant. Six queries, however many they are, seven with power
    states. Whose link is no more, is silent."""
    versions = {pk: (version, lease) for pk, version, lease in claimed}
    rows = list(_rows(list(versions)))
    units = _units(rows)
    grants: dict[int, tuple[Credentials, list[Job]]] = {}
    jobs: dict[int, Job] = {}
    for row in rows:
        if row.state not in LIVE:
            continue
        jobs[row.pk] = _job(row, *versions[row.pk], units.get(row.pk))
        if row.grant_id not in grants:
            grants[row.grant_id] = (_credentials(row), [])
        grants[row.grant_id][1].append(jobs[row.pk])
    _silence([row.pk for row in rows if row.pk not in jobs], claimed[0][2])
    _add_events(jobs)
    return grants


def _rows(ids: list[int]) -> list["_Row"]:
    params = {
        "ids": ids,
        "pause": timedelta(seconds=settings.REPORT_MIN_INTERVAL),
        "settled_after": SETTLED_AFTER,
        "ahead": REFRESH_AHEAD,
    }
    return [_Row(*row) for row in select(_ENDPOINTS, params)]


def _units(rows: list[_Row]) -> dict[int, endpoints.Unit]:
    """The devices as Alexa knows them, by endpoint; those that she shall forget are not among them."""
    known = [row for row in rows if row.wanted and row.device_id and row.ownership == row.endpoint_id]
    makes = _makes({(row.device_model_id, row.region) for row in known})
    levels = _levels([row.device_id for row in known])
    stating = {pk for (pk, _), make in makes.items() if make.states}
    stated = _stated([row.device_id for row in known if row.device_model_id in stating])
    return {
        row.pk: endpoints.Unit(
            pk=row.device_id,
            endpoint_id=row.endpoint_id,
            name=row.name,
            serial_number=row.serial_number,
            firmware_version=row.firmware_version,
            online=row.online,
            last_seen_at=row.last_seen_at,
            make=makes[row.device_model_id, row.region],
            levels=levels[row.device_id],
            stated=stated[row.device_id][0],
            stated_at=stated[row.device_id][1],
        )
        for row in known
    }


def _makes(wanted: set[tuple[int, str]]) -> dict[tuple[int, str], makes.Make]:
    products = makes.products({model for model, _ in wanted})
    return {(model, region): makes.make(products[model], region) for model, region in wanted}


def _levels(device_ids: list[int]) -> dict[int, list[endpoints.Level]]:
    """What is left, by device, of the sensors that Alexa knows."""
    levels: dict[int, list[endpoints.Level]] = defaultdict(list)
    for device_id, *level in select(_LEVELS, {"devices": device_ids}):
        levels[device_id].append(endpoints.Level(*level))
    return levels


def _stated(device_ids: list[int | None]) -> dict[int | None, tuple[dict[str, Any], datetime | None]]:
    """What devices say of themselves besides levels, and since when. Asked only where a model has such properties."""
    stated: dict[int | None, tuple[dict[str, Any], datetime | None]] = defaultdict(lambda: ({}, None))
    if device_ids:
        rows = select(_STATED, {"devices": device_ids})
        stated.update({device_id: (orjson.loads(reported), at) for device_id, reported, at in rows})
    return stated


def _job(row: _Row, version: int, lease: uuid.UUID, unit: endpoints.Unit | None) -> Job:
    return Job(
        pk=row.pk,
        endpoint_id=row.endpoint_id,
        region=row.region,
        user_id=row.user_id,
        version=version,
        lease=lease,
        read_at=row.read_at,
        daily_at=row.daily_at,
        daily_due=row.daily_due,
        may_report=row.may_report,
        changed=orjson.loads(row.changed),
        attempts=row.attempts,
        announced_digest=row.announced_digest,
        duty=row.duty,
        owed_since=row.owed_since,
        in_arrears=row.in_arrears,
        device=unit,
    )


def _credentials(row: _Row) -> Credentials:
    """A token that no key opens counts as none: whoever renews it will hear about the other."""
    try:
        token = fields.decrypt(row.sealed)
    except fields.Undecryptable:
        journal.trouble("no key of TOKEN_KEYS opens the tokens of a link", f"Alexa link #{row.grant_id}")
        token = ""
    return Credentials(row.grant_id, row.region, row.generation, token, row.fresh and bool(token), row.settled)


def _silence(ids: list[int], lease: uuid.UUID) -> None:
    if ids:
        Endpoint.objects.filter(pk__in=ids, lease=lease).update(due_at=None, lease=None, leased_until=None)


def _add_events(jobs: dict[int, Job]) -> None:
    for endpoint, *event, payload, tried_since, expires_at in select(
        _FIRST_EVENTS, {"endpoints": list(jobs), "most": EVENTS_AT_ONCE}
    ):
        jobs[endpoint].events.append(Telling(*event, orjson.loads(payload), tried_since, expires_at))


_ENDPOINTS = """
SELECT e.id, e.endpoint_id, e.grant_id, e.device_id, e.wanted, e.changed, e.attempts, e.announced_digest, e.duty,
  greatest(e.owed_since, e.reported_at), coalesce(e.missed_at, e.silent_missed_at) IS NOT NULL, now(),
  e.daily_at, coalesce(e.daily_at <= now(), false), coalesce(e.sent_at <= now() - %(pause)s, true),
  g.accepted_at <= now() - %(settled_after)s, g.expires_at > now() + %(ahead)s, g.access_token, g.user_id, g.region, g.generation, g.state,
  d.ownership::text, d.name, d.serial_number, d.firmware_version, d.online, d.last_seen_at, d.device_model_id
FROM skill_endpoint AS e JOIN skill_alexagrant AS g ON g.id = e.grant_id LEFT JOIN devices_device AS d ON d.id = e.device_id
WHERE e.id = ANY (%(ids)s) ORDER BY e.id
"""
_LEVELS = """
SELECT i.device_id, s.instance, s.measurement, s.unit, i.value,
  greatest(i.measured_at, (SELECT d.claimed_at FROM devices_device AS d WHERE d.id = i.device_id))
FROM devices_inventory AS i JOIN devices_slot AS s ON s.id = i.slot_id
WHERE i.device_id = ANY (%(devices)s) AND s.sensor = 'level' AND s.replenishment_id <> '' ORDER BY i.device_id, i.slot_id
"""
_STATED = """
SELECT s.device_id, s.reported, s.reported_at FROM devices_shadow AS s JOIN devices_device AS d ON d.id = s.device_id
WHERE s.device_id = ANY (%(devices)s) AND (s.ownership IS NULL OR s.ownership = d.ownership)
"""
_FIRST_EVENTS = """
SELECT e.endpoint_id, e.id, e.message_id, e.namespace, e.name, e.instance, e.correlation_token, e.payload,
  coalesce(e.first_tried_at, now()), e.expires_at
FROM unnest(%(endpoints)s::bigint[]) AS i(id) CROSS JOIN LATERAL (
  SELECT * FROM skill_event WHERE endpoint_id = i.id AND status = 'pending' ORDER BY id LIMIT %(most)s) AS e
ORDER BY e.id
"""
