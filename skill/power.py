"""TurnOn and TurnOff: a wish, a short wait for the device, and an answer now or later (alexa reference 7.6 and 7.9).

A later answer is an Event that waits. It is written under the lock of its endpoint, which is also where the device's confirmation
comes by, so that each of the two sees the other, whichever is first. A wish that nobody fulfilled in time is withdrawn: a machine
that comes back at night does not switch itself on.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now

from devices import shadow
from devices.models import Device
from skill import doorbell, outbox
from skill.alexa.errors import EndpointUnreachable, InvalidDirective, NotProvisioned
from skill.models import Endpoint, Event

log = logging.getLogger(__name__)
INTERFACE = "Alexa.PowerController"
WAIT = 3.0  # seconds; Alexa waits 8, on the whole way
LOOK_EVERY = 0.1
MOST_WAITING = 8  # threads of one process that wait for devices; whoever comes then is answered later at once
PATIENCE = timedelta(seconds=20)  # after a DeferredResponse
ANSWER_LIVES = timedelta(seconds=60)
LONGEST_LOCK = "1s"
GIVEN_UP = "The device did not confirm in time."
AT_ONCE = 100

_waiters = threading.BoundedSemaphore(MOST_WAITING)


def switch(device: Device, wanted: str, correlation_token: str, region: str) -> bool:
    """Ask the device to become `wanted` ("ON", "OFF"). True: it is so. False: an asynchronous answer will follow.

    Waits WAIT seconds at most, no transaction open. Idempotent. Raises InvalidDirective (it has no switch), NotProvisioned,
    EndpointUnreachable: it is offline, or it does not confirm and this customer's Alexa could not be told later.
    """
    _expect_reachable(device)
    with _short_locks():
        shadow.desire(device, {shadow.POWER: wanted})
    if _confirms(device, wanted):
        return True
    with _short_locks():
        answer = _defer(device, wanted, correlation_token, region)
    if answer is None:
        withdraw(device, wanted)
        raise EndpointUnreachable(GIVEN_UP)
    return answer


def _expect_reachable(device: Device) -> None:
    if all(entry.interface != INTERFACE for entry in device.device_model.interfaces):
        raise InvalidDirective("This device cannot be switched.")
    if device.last_seen_at is None:
        raise NotProvisioned("The device has not been heard from yet.")
    if not device.online:
        raise EndpointUnreachable("The device is not online.")


@contextmanager
def _short_locks() -> Iterator[None]:
    """A transaction that waits for nobody's rows for long: Alexa waits for us."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LONGEST_LOCK}'")
        yield


def _confirms(device: Device, wanted: str) -> bool:
    """Does it report so within the time?"""
    if _is(device, wanted):
        return True
    if not _waiters.acquire(blocking=False):
        return False
    try:
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            time.sleep(LOOK_EVERY)
            if _is(device, wanted):
                return True
        return False
    finally:
        _waiters.release()


def _is(device: Device, wanted: str) -> bool:
    return bool(shadow.read(device).reported.get(shadow.POWER) == wanted)


def _defer(device: Device, wanted: str, correlation_token: str, region: str) -> bool | None:
    """Promise a later answer, unless the device has confirmed just now (True). None: there is no link to answer over."""
    live = Endpoint.objects.live().filter(device=device, region=region, endpoint_id=str(device.ownership))
    endpoint = live.select_for_update(no_key=True).first()
    if _is(device, wanted):
        return True
    if endpoint is None:
        return None
    Event.objects.create(
        endpoint=endpoint,
        namespace="Alexa",
        name="Response",
        correlation_token=correlation_token,
        payload={shadow.POWER: wanted},
        status=Event.Status.WAITING,
        expires_at=Now() + PATIENCE,
    )
    return False


def confirmed(device_ids: list[int]) -> None:
    """These devices report another power state: the answers that waited for it may go. Inside the transaction of the cause."""
    if not _waiting().filter(endpoint__device__in=device_ids).exists():
        return
    outbox.wake(set(device_ids), outbox.URGENT)
    with connection.cursor() as cursor:
        cursor.execute(_CONFIRMED, {"devices": device_ids, "lives": ANSWER_LIVES})
    doorbell.ring()


def give_up() -> int:
    """Answer for the devices that have not confirmed in time, and withdraw what was wished. How many. Idempotent; many may run.

    Raises only what says that the database is gone: one row that is odd must not stop the delivery of the others.
    """
    late = _waiting().filter(expires_at__lte=Now()).select_related("endpoint__device").order_by("pk")
    return sum(_give_up_or_log(event) for event in late[:AT_ONCE])


def _give_up_or_log(event: Event) -> int:
    try:
        return _give_up(event)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("event %d cannot be given up", event.pk)
        return 0


@transaction.atomic
def _give_up(event: Event) -> int:
    """Shadow, then Endpoint, then Event, as everywhere."""
    endpoint, wanted = event.endpoint, event.payload[shadow.POWER]
    younger = _waiting().filter(endpoint=endpoint, pk__gt=event.pk, payload__powerState=wanted)
    if endpoint.device is not None and not younger.exists():
        withdraw(endpoint.device, wanted)
    outbox.wake({endpoint.device_id} - {None}, outbox.URGENT)
    refusal = {"type": EndpointUnreachable.type, "message": GIVEN_UP}
    columns: dict[str, Any] = {"name": "ErrorResponse", "payload": refusal, "expires_at": Now() + ANSWER_LIVES}
    return _waiting().filter(pk=event.pk).update(status=Event.Status.PENDING, **columns)


def withdraw(device: Device, wanted: str) -> None:
    """Nobody waits for it any more. A later, different wish stays."""
    if shadow.read(device).desired.get(shadow.POWER) == wanted:
        shadow.desire(device, {shadow.POWER: None})


def _waiting() -> Any:
    return Event.objects.filter(status=Event.Status.WAITING)


_CONFIRMED = """
WITH held AS (
  SELECT v.id FROM skill_event AS v JOIN skill_endpoint AS e ON e.id = v.endpoint_id JOIN devices_shadow AS s ON s.device_id = e.device_id
  WHERE e.device_id = ANY (%(devices)s) AND v.status = 'waiting' AND v.payload->>'powerState' = s.reported->>'powerState'
  ORDER BY v.id FOR UPDATE OF v
)
UPDATE skill_event AS v SET status = 'pending', payload = '{}', expires_at = now() + %(lives)s
FROM held WHERE v.id = held.id AND v.status = 'waiting'
"""
