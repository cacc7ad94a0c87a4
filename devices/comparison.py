"""What the portal holds beside what units say that they told it: nothing lost, nothing twice. Only reads.

For the simulator's --verify; the registry, the history, the state and the days are looked at as the pages see them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from django.db import connection, transaction

from devices.models import DailyUse, Inventory, Reading, Slot

Key = tuple[str, int, int]  # slot ID, epoch, sequence
Told = Mapping[Key, tuple[float, datetime | None]]  # value, and the unit's clock if it has one
MOST_SHOWN = 20


@dataclass
class Comparison:
    """``faults`` is empty when all is as it should be; each says what is wrong with which unit."""

    units: int = 0
    readings: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = "nothing lost, nothing twice" if not self.faults else f"{len(self.faults)} FAULTS"
        shown = [f"  {fault}" for fault in self.faults[:MOST_SHOWN]]
        return "\n".join([f"{self.units} units, {self.readings} readings: {verdict}", *shown])


def compare(fleet: Iterable[tuple[str, Told]]) -> Comparison:
    """Compare everything that the portal holds of these units (by serial number) with what they told it."""
    found = Comparison()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for serial, told in fleet:
            found.units += 1
            found.readings += len(told)
            found.faults += [f"{serial}: {fault}" for fault in _faults(serial, told)]
    return found


def _faults(serial: str, told: Told) -> Iterator[str]:
    held = list(
        Reading.objects.filter(device__serial_number=serial)
        .order_by("slot_id", "epoch", "sequence")
        .values_list("slot__slot_id", "epoch", "sequence", "value", "measured_at")
    )
    stored = {(slot, epoch, sequence): (value, at) for slot, epoch, sequence, value, at in held}
    yield from (f"twice: {key}" for key in _twice(held))
    yield from (f"lost: {key}" for key in told.keys() - stored.keys())
    yield from (f"never said: {key}" for key in stored.keys() - told.keys())
    yield from (f"changed: {key}" for key in told.keys() & stored.keys() if _differs(told[key], stored[key]))
    yield from _wrong_states(serial, told)
    yield from _wrong_days(serial, held)


def _twice(held: list[tuple]) -> Iterator[Key]:
    return (one[:3] for one, other in pairwise(held) if one[:3] == other[:3])


def _differs(told: tuple[float, datetime | None], stored: tuple[Decimal, datetime]) -> bool:
    return Decimal(str(told[0])) != stored[0] or (told[1] is not None and told[1] != stored[1])


def _wrong_states(serial: str, told: Told) -> Iterator[str]:
    """The state must be the newest that was told."""
    newest: dict[str, tuple[int, int]] = {}
    for slot, epoch, sequence in told:
        newest[slot] = max(newest.get(slot, (-1, -1)), (epoch, sequence))
    rows = Inventory.objects.filter(device__serial_number=serial)
    held = {slot: (epoch, sequence) for slot, epoch, sequence in rows.values_list("slot__slot_id", "epoch", "sequence")}
    if held != newest:
        yield f"stands at {held} instead of {newest}"


def _wrong_days(serial: str, held: list[tuple]) -> Iterator[str]:
    """The days must be what the readings add up to."""
    levels = set(
        Slot.objects.filter(device_model__devices__serial_number=serial, sensor="level").values_list(
            "slot_id", flat=True
        )
    )
    added: dict[tuple, list[Decimal | int]] = {}
    before: tuple | None = None
    for slot, epoch, sequence, value, at in held:
        fall = max(before[3] - value, 0) if before and before[0] == slot else 0
        day = added.setdefault((slot, at.date()), [0, Decimal(0)])
        day[0], day[1] = day[0] + 1, day[1] + (fall if slot in levels else value)
        before = (slot, epoch, sequence, value)
    days = DailyUse.objects.filter(device__serial_number=serial).values_list(
        "slot__slot_id", "day", "readings", "consumed"
    )
    if (kept := {(slot, day): [readings, consumed] for slot, day, readings, consumed in days}) != added:
        wrong = sorted(str(key) for key in kept.keys() | added.keys() if kept.get(key) != added.get(key))
        yield f"days that do not add up: {', '.join(wrong)}"
