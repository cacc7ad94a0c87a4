"""How full is it, in a customer's words: one slot and its newest reading become a name, a number and a tone.

Pure: no database, no HTML. What "low" means here is only for the eye: Amazon decides by its own threshold when to
reorder (Alexa reference 3), and we do not know it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Literal, Protocol

LOW_PERCENT = Decimal(20)

Tone = Literal["good", "low", "empty", "unknown"]
WORDS: dict[Tone, str] = {"good": "fine", "low": "low", "empty": "empty", "unknown": "not known"}
SHORT_UNITS = {
    "GRAM": "g", "KILOGRAM": "kg", "MILLIGRAM": "mg", "LITER": "l", "MILLILITER": "ml", "OUNCE": "oz", "POUND": "lb",
}  # fmt: skip


class SlotLike(Protocol):
    """What of a slot matters for showing it."""

    name: str
    sensor: str
    measurement: str
    unit: str
    capacity: Decimal | None


@dataclass(frozen=True)
class Level:
    """One slot as a page shows it: `percent` is None where nobody knows how full it is; `suffix` follows numbers."""

    name: str
    text: str
    percent: Decimal | None
    tone: Tone
    measured_at: datetime | None = None
    suffix: str = ""

    @property
    def word(self) -> str:
        return WORDS[self.tone]

    @property
    def runs_low(self) -> bool:
        return self.tone in ("low", "empty")

    @property
    def fill(self) -> str:
        """Percent for SVG: a dot whatever the reader's language, and never more than full."""
        return f"{min(self.percent or Decimal(0), Decimal(100)):.1f}"


def level_of(slot: SlotLike, value: Decimal | None, measured_at: datetime | None = None) -> Level:
    """The slot with its newest value, in the slot's own unit; None if it has never reported."""
    if value is None:
        return Level(slot.name, "no reading yet", None, "unknown")
    if slot.sensor != "level":
        return Level(slot.name, f"{amount(value, slot)} used last", None, "unknown", measured_at)
    percent = percent_of(slot, value)
    return Level(slot.name, amount(value, slot), percent, tone_of(percent, value), measured_at, _suffix(slot))


def percent_of(slot: SlotLike, value: Decimal) -> Decimal | None:
    """How full, 0 to 100; None without a capacity to compare with."""
    if slot.measurement == "Percentage":
        return value
    if not slot.capacity:
        return None
    return min(value * 100 / slot.capacity, Decimal(100))


def tone_of(percent: Decimal | None, value: Decimal) -> Tone:
    """Empty is said only of nothing at all; without a capacity nobody knows what is low."""
    if value == 0:
        return "empty"
    if percent is None:
        return "unknown"
    return "low" if percent <= LOW_PERCENT else "good"


def amount(value: Decimal, slot: SlotLike) -> str:
    """A value with its unit: 42 %, 3, 350 g, 1.5 US fluid ounce."""
    if slot.measurement == "Percentage":
        return f"{_whole_unless_tiny(value)} %"
    return plain(value) + _suffix(slot)


def plain(value: Decimal) -> str:
    """A decimal as people write it: no exponent, no idle zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def unit_words(unit: str) -> str:
    """US_FLUID_OUNCE → US fluid ounce; GRAM → g."""
    if unit in SHORT_UNITS:
        return SHORT_UNITS[unit]
    return " ".join(word if word in {"US", "UK", "AU"} else word.lower() for word in unit.split("_"))


def _suffix(slot: SlotLike) -> str:
    return f" {'%' if slot.measurement == 'Percentage' else unit_words(slot.unit)}".rstrip()


def _whole_unless_tiny(percent: Decimal) -> str:
    """Rounded down, so that 20.9 is not shown as above the mark it is at; below 1 it is not nothing."""
    return "under 1" if 0 < percent < 1 else str(percent.quantize(Decimal(1), ROUND_FLOOR))
