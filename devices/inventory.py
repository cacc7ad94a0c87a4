"""record_reading: the one way a figure enters the house, whichever door it came through.

What is stored, and in which order it is locked, stands in one function of the database (``devices_record_readings``,
made by migrations/history.sql): one round trip for one reading or a thousand, its plans kept by the connection. It
knows nothing of what a figure may be; that is judged here before (measurements.py), and what the rooms above hear is
put together here afterwards.

Lock order of the house: Shadow -> Inventory (by slot) -> Device -> whatever the receivers of our signals lock. Under the locked
Inventory row lie the history, the heard sequences and the days of that slot, which nobody else writes.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction

from devices import presence, remembered
from devices.bound import bound_cursor
from devices.measurements import Accepted, Measurement, MeasurementRefused, Outcome, accept
from devices.models import Device, Inventory, Slot
from devices.signals import InventoryChange, inventory_changed

__all__ = ["LARGEST_BATCH", "Measurement", "Outcome", "record_reading"]

LARGEST_BATCH = 1000
_STORE = "SELECT * FROM devices_record_readings(%s, %s, %s, %s, %s, %s, %s, %s)"
_ARRAY = "{{{}}}".format  # PostgreSQL's own notation


class Stored(NamedTuple):
    """What the database did with one measurement.

    ``stored``: with which value it is known (None if it is new, or if its reading has been dropped with its month).
    ``moved``: it is where the state stands now. ``previous``: where the state stood before, None if nowhere.
    """

    recorded: bool
    stored: Decimal | None
    moved: bool
    previous: Decimal | None


def record_reading(device: Device, measurements: Sequence[Measurement], heard_at: datetime) -> list[Outcome]:
    """Record 1 to 1,000 measurements of one device, each answered by itself, in the order given.

    Idempotent by (slot, epoch, sequence): "already known" means exactly that this sequence has been stored, however
    long ago and whatever time it claims now; said again with another value it stays as first stored, and the reason
    says so. Transactional: history, days, state and whatever the receivers of inventory_changed write stand or fall
    together. Set-based: the number of queries does not grow with the number of measurements. Nothing on the wire.

    The state moves only forward by (epoch, sequence); what comes late goes to the history and corrects its day. Values
    come as the device counts (Slot.from_raw) and are kept in the slot's unit, rounded half-even to 0.001; the slots are
    those of a few seconds ago at the latest (remembered.py). ``heard_at`` is our clock (aware); where the device's cannot
    be right ours is taken as "measured", the answer says so and the device is flagged (``clock_doubted_at``). ``device`` is read for
    its model, online and last_seen_at. Refused measurements never stop the others. Raises ValueError for an empty or
    oversized batch or a naive clock. Limits: Alexa reference 2.6 and 3.
    """
    _expect(measurements, heard_at)
    slots = remembered.slots(device.device_model_id, [measurement.slot for measurement in measurements])
    judged = [_judge(measurement, slots, heard_at) for measurement in measurements]
    accepted = [verdict for verdict in judged if isinstance(verdict, Accepted)]
    with transaction.atomic():
        stored = _store(device, accepted, heard_at) if accepted else []
        if any(entry.doubt and row.recorded for entry, row in zip(accepted, stored, strict=True)):
            presence.doubt_clock(device, heard_at)
        presence.heard_from(device, heard_at)  # before the signal: Device is locked before what receivers lock
        if changes := _changes(device, accepted, stored):
            inventory_changed.send(sender=Inventory, changes=changes)
    return _answers(measurements, judged, stored)


def _expect(measurements: Sequence[Measurement], heard_at: datetime) -> None:
    if not 1 <= len(measurements) <= LARGEST_BATCH:
        raise ValueError(f"Send 1 to {LARGEST_BATCH} measurements at once, not {len(measurements)}.")
    if heard_at.utcoffset() is None:
        raise ValueError("heard_at must be an aware time.")


def _judge(measurement: Measurement, slots: dict[str, Slot], heard_at: datetime) -> Accepted | Outcome:
    try:
        return accept(measurement, slots, heard_at)
    except MeasurementRefused as refusal:
        return Outcome("refused", refusal.reason, refusal.field, measurement)


def _store(device: Device, entries: Sequence[Accepted], heard_at: datetime) -> list[Stored]:
    """What is new goes to the history and moves the state, under the locks of the Inventory rows concerned."""
    columns = zip(*map(_columns, entries), strict=True)
    with bound_cursor() as cursor:
        cursor.execute(_STORE, [device.pk, heard_at, *(_ARRAY(",".join(column)) for column in columns)])
        return [Stored(*row) for row in cursor.fetchall()]


def _columns(entry: Accepted) -> tuple[str, ...]:
    """One entry as the texts of its columns: only numbers, times and a flag, and quicker than the driver's own lists."""
    slot, is_level = entry.slot, "t" if entry.slot.reports_amount_left else "f"
    numbers = str(entry.epoch), str(entry.sequence), str(entry.value)
    return str(slot.pk), is_level, *numbers, entry.measured_at.isoformat()


def _changes(device: Device, entries: Sequence[Accepted], stored: Sequence[Stored]) -> list[InventoryChange]:
    """Of a level where it stands now, of a usage every use; in the device's own order."""
    told = [
        (entry, row)
        for entry, row in zip(entries, stored, strict=True)
        if (row.moved if entry.slot.reports_amount_left else row.recorded)
    ]
    return [_change(device, entry, row) for entry, row in sorted(told, key=lambda pair: pair[0].key)]


def _change(device: Device, entry: Accepted, row: Stored) -> InventoryChange:
    return InventoryChange(
        device_id=device.pk,
        slot_id=entry.slot.pk,
        instance=entry.slot.instance,
        sensor=entry.slot.sensor,
        value=entry.value,
        previous=row.previous if entry.slot.reports_amount_left else None,
        measured_at=entry.measured_at,
    )


def _answers(
    measurements: Sequence[Measurement], judged: Iterable[Accepted | Outcome], stored: Iterable[Stored]
) -> list[Outcome]:
    """Refusals and what was stored back in the order of the question."""
    waiting = iter(stored)
    return [
        verdict if isinstance(verdict, Outcome) else _answer(measurement, verdict, next(waiting))
        for measurement, verdict in zip(measurements, judged, strict=True)
    ]


def _answer(measurement: Measurement, entry: Accepted, row: Stored) -> Outcome:
    if row.recorded:
        return Outcome("recorded", entry.doubt, "measured_at" if entry.doubt else "", measurement)
    if row.stored is None or row.stored == entry.value:
        return Outcome("already known", measurement=measurement)
    reason = f"The value differs: this sequence is stored with {row.stored.normalize():f}. Use a new sequence number."
    return Outcome("already known", reason, "value", measurement)
