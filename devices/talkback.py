"""How a wish reaches a unit: due rows are claimed, told on the wire by whoever holds the lease, and settled.

Delay is the column ``due_at``; nothing is told inside a transaction. A unit behind HTTPS is not told: it asks. The
lease is compared when settling, so one that overran touches nothing; a state that moved meanwhile is due again at once.
"""

import logging
import random
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import celery
from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from devices.models import Device, Door, Shadow

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
FIRST_PAUSE, LONGEST_PAUSE = 5, 3600  # seconds, after a failure
TASK = "devices.talk_back"


@dataclass(frozen=True)
class Claimed:
    """What to tell to whom; good until the lease ends."""

    shadow: Shadow
    serial: str
    lease: uuid.UUID


def claim(door: str, limit: int = 100) -> list[Claimed]:
    """Take what is due at this door, oldest first; nobody else gets it within the lease. One short transaction.

    What belongs to a former owner is settled here and never told.
    """
    lease = uuid.uuid4()
    with transaction.atomic():
        free = Q(leased_until__isnull=True) | Q(leased_until__lt=Now())
        due = Shadow.objects.filter(free, door=door, due_at__lte=Now()).order_by("due_at")
        rows = list(due.select_for_update(no_key=True, skip_locked=True)[:limit])
        ids = [row.pk for row in rows]
        if ids:
            Shadow.objects.filter(pk__in=ids).update(lease=lease, leased_until=Now() + Value(LEASE))
    units = Device.objects.in_bulk(ids) if ids else {}
    claimed = [Claimed(row, units[row.pk].serial_number, lease) for row in rows if row.pk in units]
    present = [entry for entry in claimed if entry.shadow.ownership in (None, units[entry.shadow.pk].ownership)]
    for entry in claimed:
        if entry not in present:
            settle(entry)
    return present


def settle(entry: Claimed, told: dict[str, Any] | None = None) -> bool:
    """It was taken on the other side. Idempotent; False if the lease was another's by now. Due again if it moved."""
    again = Case(When(version=entry.shadow.version, then=None), default=Now())
    return _close(entry, due_at=again, attempts=0, error="", **({} if told is None else {"told": told}))


def postpone(entry: Claimed, reason: str) -> bool:
    """It was not taken; tried again later, at most an hour, jittered, or at once if it moved. ``reason`` is shown to staff: no secrets."""
    pause = min(FIRST_PAUSE * 2 ** min(entry.shadow.attempts, 12), LONGEST_PAUSE) * random.uniform(0.75, 1.25)  # noqa: S311
    log.warning("talk back to %s: %s; again in %.0f s", entry.serial, reason[:200], pause)
    later = Now() + Value(timedelta(seconds=pause))
    return _close(
        entry,
        due_at=Case(When(version=entry.shadow.version, then=later), default=Now()),
        attempts=Case(When(attempts__lt=100, then=F("attempts") + 1), default=100),
        error=reason[:200],
    )


def ring(door: str) -> None:
    """After commit, ask a worker to look now. Only AWS IoT has a worker; the bridge looks by itself. Errors are logged."""
    if door == Door.AWS:
        transaction.on_commit(_send, robust=True)


def _send() -> None:
    try:
        celery.current_app.send_task(TASK, expires=30, ignore_result=True, retry=False)
    except Exception as error:
        log.warning("doorbell of %s not rung: %s; the sweep will find it", TASK, type(error).__name__)


def _close(entry: Claimed, **columns: Any) -> bool:
    mine = Shadow.objects.filter(pk=entry.shadow.pk, lease=entry.lease)
    return mine.update(lease=None, leased_until=None, **columns) == 1
