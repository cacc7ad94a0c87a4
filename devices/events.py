"""What a unit tells once besides readings: a press of the doorbell, a new consumable, a reset to factory settings.

Each has an ID of the unit's own making, so that a lost answer is asked for again without ringing twice or, worse,
taking the unit from its next owner.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction

from devices import presence, registry, remembered, shadow
from devices.inventory import Measurement, Outcome, record_reading
from devices.measurements import shown
from devices.models import Device, DeviceEvent, EventType
from devices.signals import doorbell_pressed

log = logging.getLogger(__name__)

KEPT = timedelta(days=90)  # longer than any unit repeats itself
BATCH = 1000


@dataclass(frozen=True)
class Happening:
    """One event in the words of the verb. ``happened_at`` is the unit's clock (aware), None where it has none; ``epoch``
    is the one that a reset began."""

    type: str
    event_id: str
    happened_at: datetime | None = None
    slot: str = ""
    reading: Measurement | None = None
    epoch: int | None = None


@dataclass(frozen=True)
class Told:
    """What became of it; ``outcome`` is of the reading that came along."""

    status: str
    outcome: Outcome | None = None


class EventRefused(ValueError):
    """An event that cannot have happened to this unit; the text says what to change."""


@transaction.atomic
def tell(device: Device, happening: Happening, heard_at: datetime) -> Told:
    """Take one event of a unit.

    Transactional. Idempotent by (device, event_id): the second time is "already known" and does nothing. A press sends
    doorbell_pressed; a consumable replaced may bring its first reading; a reset releases the unit from its owner, unless
    it happened, or without a clock may have happened, before the present owner claimed it. A clock that runs ahead is put
    back to ours. Raises EventRefused for a slot that the unit's model does not have, and then nothing of it is taken.
    """
    if happening.slot:
        _expect_slot(device, happening.slot)
    if happening.type == EventType.FACTORY_RESET:
        shadow.hold(device)  # before what the reading locks
    outcome = record_reading(device, [happening.reading], heard_at)[0] if happening.reading else None
    presence.heard_from(device, heard_at)
    happened_at = min(happening.happened_at or heard_at, heard_at).astimezone(UTC)  # no offset that PostgreSQL refuses
    if not _store(device, happening, happened_at, heard_at):
        return Told("already known", outcome)
    log.info("event of %s: %s", device.serial_number, happening.type)
    _act(device, happening, happened_at)
    return Told("recorded", outcome)


def forget(now: datetime) -> int:
    """Delete events heard more than 90 days ago, in short transactions; how many. Idempotent, and many may run at once."""
    gone = 0
    while ids := list(
        DeviceEvent.objects.filter(heard_at__lt=now - KEPT).order_by("heard_at").values_list("pk")[:BATCH]
    ):
        gone += DeviceEvent.objects.filter(pk__in=[pk for (pk,) in ids]).delete()[0]
    return gone


def _expect_slot(device: Device, slot: str) -> None:
    if slot not in (known := remembered.slots(device.device_model_id, [slot])):
        raise EventRefused(f"This model has no slot '{shown(slot)}'. Its slots: {', '.join(sorted(known)) or 'none'}.")


def _store(device: Device, happening: Happening, happened_at: datetime, heard_at: datetime) -> bool:
    """True if it is new: whoever comes second at the same moment waits for the first and finds it stored."""
    facts = {"type": happening.type, "slot_id": happening.slot, "happened_at": happened_at, "heard_at": heard_at}
    return DeviceEvent.objects.get_or_create(device=device, event_id=happening.event_id, defaults=facts)[1]


def _act(device: Device, happening: Happening, happened_at: datetime) -> None:
    if happening.type == EventType.DOORBELL_PRESS:
        doorbell_pressed.send(sender=Device, device_id=device.pk, event_id=happening.event_id, pressed_at=happened_at)
    if happening.type == EventType.FACTORY_RESET:
        # Without a clock: as early as it can have been. A unit silent since a claim was reset by whoever had it before.
        earliest = happening.happened_at or device.last_seen_at or device.created_at
        registry.release_by_reset(device, epoch=happening.epoch, happened_at=earliest)
