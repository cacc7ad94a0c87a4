"""One figure said by a device, and whether it can be true. Pure rules: no database, no wire, the clock is an argument.

Here: what a Measurement is, what is refused and with which words. Not here: JSON (serializers.py), storing
(inventory.py).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Literal

from devices.models import MeasurementType, Slot

Status = Literal["recorded", "already known", "refused"]

AHEAD = timedelta(minutes=5)  # how far a device's clock may run ahead of ours
OLDEST = datetime(2000, 1, 1, tzinfo=UTC)  # before it a clock has not been set
STEP = Decimal("0.001")
LARGEST = Decimal("999999999.999")  # what the columns hold: 12 digits, 3 of them decimals
LARGEST_SEQUENCE = 2**63 - 1
LARGEST_EPOCH = 2**31 - 1
_OURS = "; our time was taken. Set the clock, or leave it out."
_DECIMAL_TEXT = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)


@dataclass(frozen=True)
class Measurement:
    """What a device says about one slot; the unit is the slot's. ``value``: what is left, or what was used.

    ``sequence`` rises with every measurement of the slot; ``epoch`` rises when the device has lost its count (factory
    reset). ``measured_at`` is the device's clock, None where it has none.
    """

    slot: str
    sequence: int
    value: Decimal
    measured_at: datetime | None = None
    epoch: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of one measurement. ``reason`` and ``field`` are empty where there is nothing to explain."""

    status: Status
    reason: str = ""
    field: str = ""
    measurement: Measurement | None = None


@dataclass(frozen=True)
class Accepted:
    """A measurement that fits the slot and the columns. ``doubt``: why the device's clock was not believed, else empty."""

    slot: Slot
    epoch: int
    sequence: int
    value: Decimal
    measured_at: datetime
    doubt: str = ""

    @property
    def order(self) -> tuple[int, int]:
        """Its place in the device's own order."""
        return self.epoch, self.sequence

    @property
    def key(self) -> tuple[int, int, int]:
        """By what it is known: the same key is the same reading."""
        return self.slot.pk, self.epoch, self.sequence


class MeasurementRefused(ValueError):
    """A measurement that cannot be true: which field, and what to do."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


def accept(said: Measurement, slots: dict[str, Slot], heard_at: datetime) -> Accepted:
    """Check one measurement against its slot and our clock; raises MeasurementRefused. Values are rounded to 0.001.

    A time that cannot be (more than AHEAD from now, or before OLDEST) is no reason to lose a reading: ours is taken.
    """
    slot = slot_of(said.slot, slots)
    measured_at, doubt = _moment(said.measured_at, heard_at)
    return Accepted(
        slot=slot,
        epoch=whole("epoch", said.epoch, LARGEST_EPOCH),
        sequence=whole("sequence", said.sequence, LARGEST_SEQUENCE),
        value=_value(said.value, slot),
        measured_at=measured_at,
        doubt=doubt,
    )


def shown(raw: Any) -> str:
    """A piece of input as it may be repeated in an answer: short and printable."""
    text = ascii(str(raw))[1:-1]
    return text if len(text) <= 40 else f"{text[:37]}..."


def slot_of(name: Any, slots: dict[str, Slot]) -> Slot:
    """The slot of this name; raises MeasurementRefused with those that there are."""
    if isinstance(name, str) and name in slots:
        return slots[name]
    known = ", ".join(sorted(slots)) or "none"
    raise MeasurementRefused("slot", f"This model has no slot '{shown(name)}'. Its slots: {known}.")


def whole(field: str, raw: Any, largest: int) -> int:
    """A whole number from 0; raises MeasurementRefused."""
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise MeasurementRefused(field, f"{field} is '{shown(raw)}'; send a whole number from 0 to {largest}.")
    if not 0 <= raw <= largest:
        raise MeasurementRefused(field, f"{field} is outside 0 to {largest}; send a number within.")
    return raw


def _value(raw: Any, slot: Slot) -> Decimal:
    """Brought to the slot's measurement, judged, then rounded half-even to 0.001.

    So 100.0004 % is refused, and 41.0004 % is 41.
    """
    number = _number(raw)
    if -LARGEST <= number <= LARGEST:  # compared as it is: abs() of 1e1000000 overflows
        number = slot.from_raw(number)
    if number < 0:
        raise MeasurementRefused("value", f"value is {shown(raw)}; a consumable is never below 0. Send 0 when empty.")
    if number > LARGEST:
        raise MeasurementRefused("value", f"value is {shown(raw)}; the largest that is kept is {LARGEST}.")
    _fits_measurement(number, raw, slot)
    rounded = number.quantize(STEP, ROUND_HALF_EVEN) + 0  # + 0 turns -0.000 into 0.000
    if not slot.reports_amount_left and rounded == 0:
        raise MeasurementRefused("value", f"value is {shown(raw)}; a use is at least {STEP}. Send nothing if unused.")
    return rounded


def _fits_measurement(number: Decimal, raw: Any, slot: Slot) -> None:
    if slot.measurement == MeasurementType.PERCENTAGE and number > 100:
        raise MeasurementRefused("value", f"value is {shown(raw)}; '{slot.slot_id}' is a percentage, send 0 to 100.")
    if slot.measurement == MeasurementType.COUNT and number != number.to_integral_value():
        raise MeasurementRefused("value", f"value is {shown(raw)}; '{slot.slot_id}' is a count, send a whole number.")


def _number(raw: Any) -> Decimal:
    text = isinstance(raw, str) and _DECIMAL_TEXT.fullmatch(raw)
    if isinstance(raw, bool) or not (text or isinstance(raw, int | float | Decimal)):
        raise MeasurementRefused("value", f"value is '{shown(raw)}', which is not a number; send a JSON number.")
    try:
        number = Decimal(str(raw)) if isinstance(raw, float) else Decimal(raw)
    except InvalidOperation as error:
        raise MeasurementRefused("value", f"value is {shown(raw)}, which is out of any range.") from error
    if not number.is_finite():
        raise MeasurementRefused("value", f"value is {shown(raw)}; send a finite number, or nothing if unknown.")
    return number


def _moment(measured_at: Any, heard_at: datetime) -> tuple[datetime, str]:
    """When it was measured, and why that is not what the device says."""
    if measured_at is None:
        return heard_at, ""
    if not isinstance(measured_at, datetime) or measured_at.utcoffset() is None:
        raise MeasurementRefused("measured_at", "measured_at needs its offset from UTC, e.g. 2026-11-21T10:00:00Z.")
    if measured_at < OLDEST:
        return heard_at, f"measured_at is before the year 2000{_OURS}"
    if measured_at - heard_at > AHEAD:
        return heard_at, f"measured_at is from the future, {_shown(measured_at - heard_at)} ahead of our clock{_OURS}"
    return measured_at.astimezone(UTC), ""


def _shown(ahead: timedelta) -> str:
    return f"{timedelta(seconds=int(ahead.total_seconds()))} (h:m:s)"
