"""How full it is, in a customer's words."""

from dataclasses import dataclass
from decimal import Decimal

import pytest

from portal.levels import Level, level_of


@dataclass
class FakeSlot:
    name: str = "Coffee beans"
    sensor: str = "level"
    measurement: str = "Percentage"
    unit: str = ""
    capacity: Decimal | None = None


@pytest.mark.parametrize(
    ("value", "text", "tone"),
    [
        ("100", "100 %", "good"),
        ("42.5", "42 %", "good"),
        ("20.9", "20 %", "good"),
        ("20", "20 %", "low"),
        ("0.4", "under 1 %", "low"),
        ("0.000", "0 %", "empty"),
    ],
)
def test_a_percentage(value: str, text: str, tone: str) -> None:
    level = level_of(FakeSlot(), Decimal(value))
    assert (level.text, level.tone) == (text, tone)


@pytest.mark.parametrize(
    ("measurement", "unit", "capacity", "value", "text", "percent", "tone"),
    [
        ("Count", "", Decimal(12), "3.000", "3", 25, "good"),
        ("Count", "", Decimal(12), "2.000", "2", Decimal(200) / 12, "low"),
        ("Weight", "GRAM", Decimal(1000), "1500.000", "1500 g", 100, "good"),
        ("Volume", "US_FLUID_OUNCE", None, "1.500", "1.5 US fluid ounce", None, "unknown"),
        ("Volume", "LITER", None, "0.000", "0 l", None, "empty"),
    ],
)
def test_other_measurements(
    measurement: str, unit: str, capacity: Decimal | None, value: str, text: str, percent: Decimal | None, tone: str
) -> None:
    level = level_of(FakeSlot(measurement=measurement, unit=unit, capacity=capacity), Decimal(value))
    assert (level.text, level.percent, level.tone) == (text, percent, tone)


def test_a_slot_that_never_reported_has_no_level() -> None:
    assert level_of(FakeSlot(), None) == Level("Coffee beans", "no reading yet", None, "unknown")


def test_a_usage_sensor_says_what_was_used_and_never_how_full() -> None:
    level = level_of(FakeSlot(sensor="usage", measurement="Count", capacity=Decimal(12)), Decimal("2.000"))
    assert (level.text, level.percent, level.runs_low) == ("2 used last", None, False)


def test_the_fill_of_a_bar_never_leaves_it_and_has_a_dot_in_every_language() -> None:
    assert level_of(FakeSlot(), Decimal("12.34")).fill == "12.3"
    assert level_of(FakeSlot(measurement="Count", capacity=Decimal(2)), Decimal(9)).fill == "100.0"
