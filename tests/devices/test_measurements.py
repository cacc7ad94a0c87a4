"""What a device may not say, and that every refusal names the field, the value and what to do."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.measurements import Accepted, Measurement, MeasurementRefused, accept
from devices.models import Slot
from devices.parsers import loads

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SLOTS = {
    "beans": Slot(pk=1, slot_id="beans", sensor="level", measurement="Percentage"),
    "cups": Slot(pk=2, slot_id="cups", sensor="level", measurement="Count"),
    "salt": Slot(pk=3, slot_id="salt", sensor="level", measurement="Weight", unit="KILOGRAM"),
    "pods": Slot(pk=4, slot_id="pods", sensor="usage", measurement="Count"),
    "cleaner": Slot(pk=5, slot_id="cleaner", sensor="usage", measurement="Volume", unit="MILLILITER"),
    "filter": Slot(pk=6, slot_id="filter", sensor="level_usage", measurement="Percentage"),
}


def judge(slot: Any = "beans", sequence: Any = 1, value: Any = Decimal(50), at: Any = None, epoch: Any = 0) -> Accepted:
    return accept(Measurement(slot, sequence, value, at, epoch), SLOTS, NOW)


def refusal(**said: Any) -> MeasurementRefused:
    with pytest.raises(MeasurementRefused) as caught:
        judge(**said)
    return caught.value


FITTING: list[tuple[str, Any, str]] = [
    ("beans", Decimal(0), "0"),
    ("beans", 100, "100"),
    ("beans", 42.1, "42.1"),
    ("beans", "42.5", "42.5"),
    ("beans", Decimal("-0"), "0"),
    ("beans", Decimal("1e1"), "10"),
    ("beans", Decimal("41.0005"), "41"),  # half to even
    ("beans", Decimal("41.0015"), "41.002"),
    ("beans", Decimal("1e-400"), "0"),
    ("cups", Decimal("3.0"), "3"),
    ("cups", 999999999, "999999999"),
    ("salt", Decimal("24.9996"), "25"),
    ("salt", Decimal("999999999.999"), "999999999.999"),
    ("pods", 1, "1"),
    ("cleaner", Decimal("0.001"), "0.001"),
    ("filter", Decimal("1.5"), "1.5"),
]


def test_a_value_that_fits_is_kept_to_three_decimals() -> None:
    for slot, value, kept in FITTING:
        accepted = judge(slot=slot, value=value)
        assert accepted.value == Decimal(kept), value
        assert accepted.value.as_tuple().exponent == -3, value
        assert not accepted.value.is_signed(), value


UNTRUE: list[tuple[str, Any, str]] = [
    ("beans", 101, "percentage"),
    ("beans", Decimal("100.0004"), "percentage"),
    ("beans", -1, "below 0"),
    ("beans", Decimal("-0.0001"), "below 0"),
    ("beans", float("nan"), "finite"),
    ("beans", Decimal("NaN"), "finite"),
    ("beans", Decimal("sNaN"), "finite"),
    ("beans", float("inf"), "finite"),
    ("beans", float("-inf"), "finite"),
    ("beans", True, "not a number"),
    ("beans", None, "not a number"),
    ("beans", "half", "not a number"),
    ("beans", "NaN", "not a number"),
    ("beans", "1_0", "not a number"),
    ("beans", " 10", "not a number"),
    ("beans", "٤٢", "not a number"),
    ("beans", "", "not a number"),
    ("beans", [50], "not a number"),
    ("beans", {"@type": "Percentage"}, "not a number"),
    ("cups", Decimal("1.5"), "whole number"),
    ("salt", Decimal("1000000000"), "largest"),
    ("salt", Decimal("999999999.9999"), "largest"),
    ("salt", Decimal("1e999999"), "largest"),
    ("salt", 10**4000, "largest"),
    ("salt", Decimal("1e1000000"), "largest"),
    ("cups", Decimal("-1e1000000"), "below 0"),
    ("pods", 0, "at least"),
    ("cleaner", Decimal("0.0004"), "at least"),
    ("filter", 0, "at least"),
    ("filter", 101, "percentage"),
]


def test_a_value_that_cannot_be_true_is_refused_with_the_reason() -> None:
    for slot, value, because in UNTRUE:
        refused = refusal(slot=slot, value=value)
        assert refused.field == "value", (slot, refused)
        assert because in refused.reason, (slot, refused)
        assert "value" in refused.reason, (slot, refused)
        assert len(refused.reason) < 200, (slot, refused)


@pytest.mark.parametrize("field", ["sequence", "epoch"])
def test_sequence_and_epoch_are_whole_numbers_that_fit_the_database(field: str) -> None:
    for number in (-1, 2**63, 10**3999, True, 1.0, Decimal(1), "1", None):
        refused = refusal(**{field: number})
        assert refused.field == field, refused
        assert field in refused.reason, refused
        assert len(refused.reason) < 200, refused


def test_the_largest_numbers_are_taken() -> None:
    assert judge(sequence=2**63 - 1, epoch=2**31 - 1).order == (2**31 - 1, 2**63 - 1)
    assert refusal(epoch=2**31).field == "epoch"


def test_an_unknown_slot_is_answered_with_the_known_ones() -> None:
    for name in ("milk", "", "Beans", None, 7, ["beans"], "x" * 5000, "\ud800", "\x00"):
        refused = refusal(slot=name)
        assert refused.field == "slot", refused
        assert "beans, cleaner, cups" in refused.reason
        assert refused.reason.isascii()
        assert len(refused.reason) < 200


def test_a_clock_that_runs_a_little_ahead_is_believed() -> None:
    assert judge(at=NOW + timedelta(minutes=5)).measured_at == NOW + timedelta(minutes=5)


def test_a_reading_from_the_future_is_kept_at_our_time_and_told_by_how_much() -> None:
    kept = judge(at=NOW + timedelta(minutes=5, seconds=1))
    assert kept.measured_at == NOW
    assert "0:05:01" in kept.doubt
    assert "leave it out" in kept.doubt


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=23))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-23))),
    ],
)
def test_a_clock_that_was_never_set_loses_no_reading(moment: datetime) -> None:
    kept = judge(at=moment)
    assert kept.measured_at == NOW
    assert "our time was taken" in kept.doubt


@pytest.mark.parametrize(
    "moment",
    [
        NOW.replace(tzinfo=None),
        "2026-11-21T10:00:00Z",
        0,
    ],
)
def test_what_is_no_moment_is_refused(moment: Any) -> None:
    assert refusal(at=moment).field == "measured_at"


def test_another_offset_is_the_same_moment() -> None:
    east = timezone(timedelta(hours=9))
    accepted = judge(at=NOW.astimezone(east))
    assert (accepted.measured_at, accepted.measured_at.tzinfo) == (NOW, UTC)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(), st.datetimes(), st.just("beans")
)


@given(anything, anything, anything, anything, anything)
def test_whatever_is_said_is_either_kept_or_refused(slot: Any, sequence: Any, value: Any, at: Any, epoch: Any) -> None:
    try:
        accepted = judge(slot, sequence, value, at, epoch)
    except MeasurementRefused:
        return
    assert 0 <= accepted.value <= Decimal("999999999.999")
    assert 0 <= accepted.sequence < 2**63


@given(st.sampled_from(sorted(SLOTS)), st.integers(-99, 99), st.integers(-(10**18), 10**18))
def test_no_exponent_is_an_error_of_ours(slot: str, digits: int, exponent: int) -> None:
    """JSON knows 1e1000000; each operation on such a number must be one that cannot overflow."""
    number = loads(f"{digits}e{exponent}".encode())
    calibrated = Slot(pk=7, slot_id=slot, sensor="level", measurement="Volume", raw_zero=5, raw_factor=Decimal("0.1"))
    for slots in (SLOTS, {slot: calibrated}):
        try:
            assert 0 <= accept(Measurement(slot, 1, number), slots, NOW).value <= Decimal("999999999.999")
        except MeasurementRefused:
            continue
