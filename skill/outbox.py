"""What changed, written down for delivery: endpoints made due, events enqueued. Always inside the transaction of the cause; the ring
comes after its commit. Locks the customer, then Grant, then Endpoint, then Event; rows by id."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from devices.models import Device, DeviceModel, Slot
from devices.signals import InventoryChange
from skill import doorbell, endpoints
from skill.alexa import interfaces, inventory
from skill.database import select
from skill.models import AlexaGrant, Endpoint, Event
from skill.quoting import quote

RING_LIVES = timedelta(seconds=60)
NOW, URGENT = 0, 300  # seconds by which an event goes before what has been due for less; somebody is waiting for it


def enqueue(changes: Iterable[InventoryChange]) -> None:
    """Levels that differ make their endpoint due; each use becomes an Event. A level equal to the last pulls nothing."""
    levels: dict[int, dict[str, str]] = defaultdict(dict)
    uses = []
    for change in changes:
        if change.sensor != "level":
            uses.append(change)
        elif change.value != change.previous:
            levels[change.device_id][endpoints.level_key(change.instance)] = change.cause
    for device_id, causes in levels.items():
        mark_changed([device_id], causes)
    _enqueue_uses(uses)


def mark_changed(device_ids: list[int], causes: dict[str, str]) -> None:
    """These properties (key → cause) of these devices changed: version up, due as soon as back-off and pause allow."""
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(
            _MARK,
            {
                "devices": device_ids,
                "keys": list(causes),
                "causes": list(causes.values()),
                "pause": settings.REPORT_MIN_INTERVAL,
            },
        )
    doorbell.ring()


def announce_again(device_ids: list[int], among: int) -> None:
    """The descriptions of these devices changed, of `among` altogether. One is announced at once; many are spread over as long as
    a quarter of the gateway's rate takes for them, a customer's together, so that readings find their way between them."""
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(
            _ANNOUNCE, {"devices": device_ids, "seconds": 0 if among == 1 else 4 * among / settings.GATEWAY_RATE}
        )
    doorbell.ring()


def press(device_id: int, pressed_at: datetime) -> None:
    """Somebody rang: told at once or not at all. What is heard of too late leaves its trace among the events."""
    model = DeviceModel.objects.get(devices=device_id)
    if all(entry.interface != interfaces.DOORBELL for entry in model.interfaces):
        return  # Alexa was not told that it has a bell
    with transaction.atomic(savepoint=False):
        live = wake({device_id}, URGENT)
        ((now,),) = select("SELECT now()", {})
        Event.objects.bulk_create([_ring(endpoint, pressed_at, now) for endpoint, _ in live[device_id]])
    doorbell.ring()


def _ring(endpoint: int, pressed_at: datetime, now: datetime) -> Event:
    expires_at = pressed_at + RING_LIVES
    late = {"status": Event.Status.EXPIRED, "settled_at": now} if expires_at <= now else {}
    payload = interfaces.pressed(pressed_at)
    return Event(
        endpoint_id=endpoint,
        namespace=interfaces.DOORBELL,
        name="DoorbellPress",
        payload=payload,
        expires_at=expires_at,
        **late,
    )


def follow_ownership(device_ids: list[int]) -> None:
    """Make what Alexa knows follow who owns these devices: the former owner's endpoint goes, the new one's comes. Idempotent."""
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        grants = _hold_grants(device_ids)
        cursor.execute(_DISOWN, {"devices": device_ids})
        for grant in grants:
            introduce(grant, _unknown_to(grant))
    doorbell.ring()


def hold_customers(user_ids: Iterable[int]) -> None:
    """Inside a transaction: who owns what, and who is linked, does not change for these customers meanwhile. A claim and an
    AcceptGrant at once would each miss the other, and the device would never be announced."""
    rows = get_user_model().objects.select_for_update(no_key=True).filter(pk__in=user_ids)
    list(rows.order_by("pk").values_list("pk"))


def _hold_grants(device_ids: list[int]) -> list[AlexaGrant]:
    """The active grants of the devices' owners and of those who knew them until now, locked."""
    owners = Device.objects.filter(pk__in=device_ids, owner__isnull=False).values_list("owner", flat=True)
    hold_customers(owned := list(owners))
    former = list(Endpoint.objects.filter(device__in=device_ids, wanted=True).values_list("grant", flat=True))
    grants = AlexaGrant.objects.select_for_update(no_key=True).filter(state=AlexaGrant.State.ACTIVE)
    return list(grants.filter(Q(user__in=owned) | Q(pk__in=former)).order_by("pk"))


def _unknown_to(grant: AlexaGrant) -> list[Device]:
    """The customer's devices that Alexa should be told of and is not: a new one, or one that was beyond her limit until now."""
    live = Endpoint.objects.filter(grant=grant, wanted=True, due_at__isnull=False)
    known = set(live.values_list("endpoint_id", flat=True))
    return [device for device in endpoints.announceable(grant.user_id) if endpoints.endpoint_id(device) not in known]


def introduce(grant: AlexaGrant, devices: Iterable[Device], settling: float = 0, *, relinked: bool = False) -> None:
    """Make endpoints of these devices for the grant, or begin again with those that are there; due after `settling` seconds.

    Who is talking about them now goes on alone, and finds them due when it settles; if the customer was `relinked` meanwhile, that
    talk is of an older link and settles nothing, but nobody else begins before it must be over.
    """
    rows = sorted((device.pk, endpoints.endpoint_id(device)) for device in devices)
    params = {
        "grant": grant.pk,
        "region": grant.region,
        "devices": [pk for pk, _ in rows],
        "names": [name for _, name in rows],
        "settling": settling,
        "relinked": relinked,
    }
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(_HOLD, params)
        cursor.execute(_INTRODUCE, params)
    doorbell.ring()


def resync(grant: AlexaGrant) -> int:
    """Tell Alexa of all the customer's devices again, and of their levels; how many. Idempotent. 0 if the link is not active."""
    with transaction.atomic(savepoint=False):
        hold_customers([grant.user_id])
        held = (
            AlexaGrant.objects.select_for_update(no_key=True).filter(pk=grant.pk, state=AlexaGrant.State.ACTIVE).first()
        )
        if held is None:
            return 0
        devices = endpoints.announceable(held.user_id)
        introduce(held, devices)
    return len(devices)


def report_now(endpoint_ids: list[int]) -> int:
    """Make the daily report of these live endpoints due at once, back-off or not; how many they were. Idempotent."""
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(_REPORT_NOW, {"endpoints": endpoint_ids})
        count = int(cursor.rowcount)
    doorbell.ring()
    return count


def withdraw(grant: AlexaGrant) -> None:
    """Alexa shall forget all endpoints of this grant: one DeleteReport after the other comes due now."""
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(_WITHDRAW, {"grant": grant.pk})
    doorbell.ring()


def discovered(grant_id: int, digests: dict[str, str], left_out: dict[str, str], size: int) -> None:
    """Alexa was just told of these endpoints (endpointId → digest): nothing to announce, first report after the settling time.

    `left_out` (endpointId → why) and the `size` of the answer in bytes are kept for staff.
    """
    params = {
        "grant": grant_id,
        "names": list(digests),
        "digests": list(digests.values()),
        "settling": settings.REPORT_SETTLING,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '2s'")  # Alexa waits for our answer
        AlexaGrant.objects.filter(pk=grant_id).update(discovered_at=Now(), discovered_bytes=size)
        cursor.execute(_HOLD, params | {"names": [*digests, *left_out]})
        cursor.execute(_DISCOVERED, params)
        for endpoint_id, reason in left_out.items():
            Endpoint.objects.filter(grant=grant_id, endpoint_id=endpoint_id).update(left_out=quote(reason, 300))


def is_known(grant_id: int, digests: dict[str, str], left_out: dict[str, str]) -> bool:
    """Does Alexa know all of these endpoints so already, and do we know of those left out why? Then nothing need be written."""
    rows = {name: (said, out) for name, said, out in select(_KNOWN, {"grant": grant_id})}
    told = all(rows.get(name) == (said, "") for name, said in digests.items())
    return told and all(name in rows and rows[name][1] == quote(why, 300) for name, why in left_out.items())


def _enqueue_uses(uses: list[InventoryChange]) -> None:
    """One Event per use and live endpoint of the device. The endpoint is locked first, so that ids rise in the order of commits.

    A use from before the claim is the former owner's (Inventory.told_as_of), however late the unit brings it: nobody is told.
    """
    if not uses:
        return
    with transaction.atomic(savepoint=False):
        slots = {
            slot.pk: slot
            for slot in Slot.objects.filter(pk__in={use.slot_id for use in uses}).exclude(replenishment_id="")
        }
        live = wake({use.device_id for use in uses})
        Event.objects.bulk_create(
            [
                _use(endpoint, use, slots[use.slot_id])
                for use in uses
                if use.slot_id in slots
                for endpoint, claimed_at in live[use.device_id]
                if use.measured_at >= claimed_at
            ]
        )
    doorbell.ring()


def wake(device_ids: set[int], ahead: int = NOW) -> dict[int, list[tuple[int, datetime]]]:
    """Make the devices' live endpoints due for an event; device id → endpoint ids, each with when its owner claimed the device."""
    live: dict[int, list[tuple[int, datetime]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_WAKE, {"devices": sorted(device_ids), "ahead": ahead})
        for endpoint, device, claimed_at in cursor.fetchall():
            live[device].append((endpoint, claimed_at))
    return live


def _use(endpoint: int, use: InventoryChange, slot: Slot) -> Event:
    return Event(
        endpoint_id=endpoint,
        namespace=inventory.INTERFACES[slot.sensor],
        name="InventoryConsumed",
        instance=slot.instance,
        payload=inventory.consumed(slot.measurement, slot.unit, use.value, use.measured_at),
    )


# The lock comes first and in the order of ids; the update then sees the newest row.
_LIVE = "SELECT id FROM skill_endpoint WHERE device_id = ANY(%(devices)s) AND wanted AND due_at IS NOT NULL ORDER BY id FOR UPDATE"
_MARK = f"""
WITH live AS ({_LIVE})
UPDATE skill_endpoint AS e SET
  version = e.version + 1,
  changed = e.changed || (
    SELECT jsonb_object_agg(k, jsonb_build_array(e.version + 1, c)) FROM unnest(%(keys)s::text[], %(causes)s::text[]) AS u(k, c)),
  due_at = least(e.due_at, greatest(now(), e.not_before, e.sent_at + make_interval(secs => %(pause)s)))
FROM live WHERE e.id = live.id
"""  # noqa: S608  (statements of ours, no values)
_ANNOUNCE = f"""
WITH live AS ({_LIVE})
UPDATE skill_endpoint AS e SET
  version = e.version + 1,
  changed = e.changed || jsonb_build_object('description', jsonb_build_array(e.version + 1, '')),
  due_at = least(e.due_at, greatest(now() + make_interval(secs => %(seconds)s * (e.grant_id * 7919 %% 10007) / 10007), e.not_before))
FROM live WHERE e.id = live.id
"""  # noqa: S608
_WAKE = f"""
WITH live AS ({_LIVE})
UPDATE skill_endpoint AS e SET version = e.version + 1,
  due_at = least(e.due_at, greatest(now() - make_interval(secs => %(ahead)s), e.not_before))
FROM live, devices_device AS d WHERE e.id = live.id AND d.id = e.device_id RETURNING e.id, e.device_id, d.claimed_at
"""  # noqa: S608
_DISOWN = """
WITH former AS (
  SELECT e.id FROM skill_endpoint e JOIN skill_alexagrant g ON g.id = e.grant_id JOIN devices_device d ON d.id = e.device_id
  WHERE e.device_id = ANY(%(devices)s) AND e.wanted AND (d.ownership IS NULL OR e.endpoint_id <> d.ownership::text)
  ORDER BY e.id FOR UPDATE OF e)
UPDATE skill_endpoint AS e SET wanted = false, version = e.version + 1,
  due_at = CASE WHEN e.due_at IS NULL THEN NULL ELSE least(e.due_at, greatest(now(), e.not_before)) END
FROM former WHERE e.id = former.id
"""
_REPORT_NOW = """
WITH live AS (SELECT id FROM skill_endpoint WHERE id = ANY(%(endpoints)s) AND wanted AND due_at IS NOT NULL ORDER BY id FOR UPDATE)
UPDATE skill_endpoint AS e SET version = e.version + 1, due_at = now(), daily_at = now(), not_before = NULL FROM live WHERE e.id = live.id
"""
_WITHDRAW = """
WITH all_of_it AS (SELECT id FROM skill_endpoint WHERE grant_id = %(grant)s AND wanted AND due_at IS NOT NULL ORDER BY id FOR UPDATE)
UPDATE skill_endpoint AS e SET wanted = false, version = e.version + 1, due_at = now(), not_before = NULL
FROM all_of_it WHERE e.id = all_of_it.id
"""
# Before rows of one grant are written by name: everybody else locks them in the order of ids.
_HOLD = (
    "SELECT id FROM skill_endpoint WHERE grant_id = %(grant)s AND endpoint_id = ANY(%(names)s) ORDER BY id FOR UPDATE"
)
# What was silent (the link was closed, or another region's) owed nothing meanwhile: its record begins again. What Alexa may know
# already keeps a digest that equals none, so that it is announced again and, if it goes before that, deleted all the same.
_INTRODUCE = """
INSERT INTO skill_endpoint AS e (grant_id, region, device_id, endpoint_id, wanted, due_at, daily_at, version, changed, attempts,
                                 announced_digest, duty, last_code, last_text)
SELECT %(grant)s, %(region)s, new.device, new.name, true, now() + make_interval(secs => %(settling)s), now(), 1,
       '{"description": [1, ""]}', 0, '', 0, '', ''
FROM unnest(%(devices)s::bigint[], %(names)s::text[]) AS new(device, name)
ON CONFLICT (grant_id, endpoint_id) DO UPDATE SET
  wanted = true, device_id = excluded.device_id, due_at = excluded.due_at, daily_at = excluded.daily_at, not_before = NULL,
  version = e.version + 1, changed = e.changed || jsonb_build_object('description', jsonb_build_array(e.version + 1, '')),
  attempts = 0, announced_digest = CASE WHEN e.announced_digest IN ('', 'maybe') THEN e.announced_digest ELSE 'unsure' END,
  reported_at = CASE WHEN e.due_at IS NULL THEN NULL ELSE e.reported_at END,
  owed_since = CASE WHEN e.due_at IS NULL THEN now() ELSE e.owed_since END, duty = CASE WHEN e.due_at IS NULL THEN 0 ELSE e.duty END,
  silent_since = CASE WHEN e.due_at IS NULL THEN NULL ELSE e.silent_since END,
  missed_at = CASE WHEN e.due_at IS NULL THEN NULL ELSE e.missed_at END,
  silent_missed_at = CASE WHEN e.due_at IS NULL THEN NULL ELSE e.silent_missed_at END,
  lease = CASE WHEN %(relinked)s THEN NULL ELSE e.lease END, last_code = '', last_text = '', refused = false
"""
_KNOWN = "SELECT endpoint_id, announced_digest, left_out FROM skill_endpoint WHERE grant_id = %(grant)s AND wanted AND due_at IS NOT NULL"
_DISCOVERED = """
UPDATE skill_endpoint AS e SET announced_digest = told.digest, left_out = '', version = e.version + 1,
  daily_at = CASE WHEN e.reported_at IS NULL THEN now() ELSE e.daily_at END,
  due_at = greatest(CASE WHEN e.reported_at IS NULL THEN now() ELSE e.due_at END, now() + make_interval(secs => %(settling)s)),
  not_before = now() + make_interval(secs => %(settling)s)
FROM unnest(%(names)s::text[], %(digests)s::text[]) AS told(name, digest)
WHERE e.grant_id = %(grant)s AND e.endpoint_id = told.name AND e.wanted AND e.due_at IS NOT NULL
"""
