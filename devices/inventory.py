"""record_reading: the one way a figure enters the house, whichever door it came through.

Lock order of the house: Inventory (by slot) -> Device -> whatever the receivers of our signals lock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import reduce
from operator import or_

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from devices import presence
from devices.measurements import Accepted, Measurement, MeasurementRefused, Outcome, accept
from devices.models import Device, Inventory, Reading, Slot
from devices.signals import InventoryChange, inventory_changed

__all__ = ["LARGEST_BATCH", "Measurement", "Outcome", "record_reading"]

LARGEST_BATCH = 1000
BEFORE_ANYTHING = -1  # epoch of an Inventory row that this transaction has just made; it never outlives it

Key = tuple[int, int, int]


def record_reading(device: Device, measurements: Sequence[Measurement], heard_at: datetime) -> list[Outcome]:
    """Record 1 to 1,000 measurements of one device, each answered by itself, in the order given.

    Idempotent by (slot, epoch, sequence): "already known" means exactly that this sequence is stored; said again with
    another value it stays as first stored, and the reason says so. Transactional: history, state and whatever the
    receivers of inventory_changed write stand or fall together. Set-based: the number of queries does not grow with
    the number of measurements. Nothing on the wire.

    The state moves only forward by (epoch, sequence); what comes late goes to the history alone. Values are in the
    slot's unit, rounded half-even to 0.001. ``heard_at`` is our clock (aware). ``device`` is read for its model,
    online and last_seen_at. Refused measurements never stop the others. Raises ValueError for an empty or oversized
    batch or a naive clock. Limits: Alexa reference 2.6 and 3.
    """
    _expect(measurements, heard_at)
    slots = _slots_of(device)
    judged = [_judge(measurement, slots, heard_at) for measurement in measurements]
    accepted = [verdict for verdict in judged if isinstance(verdict, Accepted)]
    with transaction.atomic():
        replies, changes = _store(device, accepted, heard_at) if accepted else ([], [])
        presence.heard_from(device, heard_at)  # before the signal: Device is locked before what receivers lock
        if changes:
            inventory_changed.send(sender=Inventory, changes=changes)
    return _in_order(measurements, judged, replies)


def _expect(measurements: Sequence[Measurement], heard_at: datetime) -> None:
    if not 1 <= len(measurements) <= LARGEST_BATCH:
        raise ValueError(f"Send 1 to {LARGEST_BATCH} measurements at once, not {len(measurements)}.")
    if heard_at.utcoffset() is None:
        raise ValueError("heard_at must be an aware time.")


def _slots_of(device: Device) -> dict[str, Slot]:
    """The slots of the device's model by their slot ID, each knowing whether this device has a state in it."""
    has_state = Exists(Inventory.objects.filter(device_id=device.pk, slot_id=OuterRef("pk")))
    slots = Slot.objects.filter(device_model_id=device.device_model_id).annotate(has_state=has_state)
    return {slot.slot_id: slot for slot in slots}


def _judge(measurement: Measurement, slots: dict[str, Slot], heard_at: datetime) -> Accepted | Outcome:
    try:
        return accept(measurement, slots, heard_at)
    except MeasurementRefused as refusal:
        return Outcome("refused", refusal.reason, refusal.field, measurement)


def _in_order(
    measurements: Sequence[Measurement], judged: Iterable[Accepted | Outcome], replies: Iterable[Outcome]
) -> list[Outcome]:
    """Refusals and replies back in the order of the question."""
    waiting = iter(replies)
    return [
        verdict if isinstance(verdict, Outcome) else replace(next(waiting), measurement=measurement)
        for measurement, verdict in zip(measurements, judged, strict=True)
    ]


def _store(
    device: Device, entries: Sequence[Accepted], heard_at: datetime
) -> tuple[list[Outcome], list[InventoryChange]]:
    """Under the locks of their Inventory rows, what is new goes to the history and moves the state."""
    states = _lock_states(device, entries, heard_at)
    replies, new = _sort_out(entries, _already_stored(device, entries, states))
    if not new:
        return replies, []
    # No ON CONFLICT here: under the lock a conflict would be our bug, and hiding it would lose a reading.
    Reading.objects.bulk_create([_history(device, entry, heard_at) for entry in new])
    newest = _newest(new, states)
    changes = _changes(device, new, newest, states)
    _advance(newest, states, heard_at)
    return replies, changes


def _lock_states(device: Device, entries: Iterable[Accepted], heard_at: datetime) -> dict[int, Inventory]:
    """Lock the state of every slot concerned. Missing rows are made first: two first readings at once must meet."""
    slots = {entry.slot.pk: entry.slot for entry in entries}
    missing = sorted(pk for pk, slot in slots.items() if not slot.has_state)  # type: ignore[attr-defined]
    if missing:
        blank = {"value": 0, "measured_at": heard_at, "heard_at": heard_at, "epoch": BEFORE_ANYTHING, "sequence": 0}
        rows = [Inventory(device=device, slot_id=pk, **blank) for pk in missing]
        Inventory.objects.bulk_create(rows, ignore_conflicts=True)
    locked = Inventory.objects.select_for_update(no_key=True).filter(device=device, slot_id__in=slots)
    return {row.slot_id: row for row in locked.order_by("slot_id")}


def _order(state: Inventory) -> tuple[int, int]:
    return state.epoch, state.sequence


def _already_stored(device: Device, entries: Iterable[Accepted], states: dict[int, Inventory]) -> dict[Key, Decimal]:
    """Which of these are in the history, and with which value. Whatever is newer than the state cannot be."""
    asked: dict[tuple[int, int], list[int]] = {}
    for entry in entries:
        if entry.order <= _order(states[entry.slot.pk]):
            asked.setdefault((entry.slot.pk, entry.epoch), []).append(entry.sequence)
    if not asked:
        return {}
    these = reduce(or_, (Q(slot_id=pk, epoch=epoch, sequence__in=wanted) for (pk, epoch), wanted in asked.items()))
    stored = Reading.objects.filter(these, device=device).values_list("slot_id", "epoch", "sequence", "value")
    return {(pk, epoch, sequence): value for pk, epoch, sequence, value in stored}


def _sort_out(entries: Iterable[Accepted], known: dict[Key, Decimal]) -> tuple[list[Outcome], list[Accepted]]:
    """What to answer to each, and which are new; the second of two equal keys in one batch is known already."""
    replies, new = [], []
    for entry in entries:
        if entry.key in known:
            replies.append(_known(known[entry.key], entry.value))
            continue
        known[entry.key] = entry.value
        new.append(entry)
        replies.append(Outcome("recorded"))
    return replies, new


def _known(stored: Decimal, said: Decimal) -> Outcome:
    if stored == said:
        return Outcome("already known")
    reason = f"The value differs: this sequence is stored with {stored.normalize():f}. Use a new sequence number."
    return Outcome("already known", reason, "value")


def _history(device: Device, entry: Accepted, heard_at: datetime) -> Reading:
    return Reading(
        device=device,
        slot=entry.slot,
        epoch=entry.epoch,
        sequence=entry.sequence,
        value=entry.value,
        measured_at=entry.measured_at,
        heard_at=heard_at,
    )


def _newest(new: Iterable[Accepted], states: dict[int, Inventory]) -> dict[int, Accepted]:
    """By slot, the reading that moves the state; slots where all came late are left out."""
    newest: dict[int, Accepted] = {}
    for entry in new:
        best = newest[entry.slot.pk].order if entry.slot.pk in newest else _order(states[entry.slot.pk])
        if entry.order > best:
            newest[entry.slot.pk] = entry
    return newest


def _changes(
    device: Device, new: Iterable[Accepted], newest: dict[int, Accepted], states: dict[int, Inventory]
) -> list[InventoryChange]:
    """Of a level where it stands now, of a usage every use; in the device's own order."""
    told = [entry for entry in new if not entry.slot.reports_amount_left or newest.get(entry.slot.pk) is entry]
    return [_change(device, entry, states[entry.slot.pk]) for entry in sorted(told, key=lambda entry: entry.key)]


def _change(device: Device, entry: Accepted, before: Inventory) -> InventoryChange:
    had_level = entry.slot.reports_amount_left and before.epoch != BEFORE_ANYTHING
    return InventoryChange(
        device_id=device.pk,
        slot_id=entry.slot.pk,
        instance=entry.slot.instance,
        sensor=entry.slot.sensor,
        value=entry.value,
        previous=before.value if had_level else None,
        measured_at=entry.measured_at,
    )


def _advance(newest: dict[int, Accepted], states: dict[int, Inventory], heard_at: datetime) -> None:
    moved = [states[pk] for pk in sorted(newest)]
    for state in moved:
        entry = newest[state.slot_id]
        state.epoch, state.sequence, state.value = entry.epoch, entry.sequence, entry.value
        state.measured_at, state.heard_at = entry.measured_at, heard_at
    if moved:
        Inventory.objects.bulk_update(moved, ["epoch", "sequence", "value", "measured_at", "heard_at"])
