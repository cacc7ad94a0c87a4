"""What a day adds up to: always what its readings say, in whatever order and however often they came."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.inventory import Measurement, record_reading
from devices.models import DailyUse, Device, Reading
from tests.effort import examples

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
TODAY, YESTERDAY = NOW.date(), NOW.date() - timedelta(days=1)


def beans(sequence: int, value: str, *, hours_ago: float = 0, epoch: int = 0) -> Measurement:
    return Measurement("beans", sequence, Decimal(value), NOW - timedelta(hours=hours_ago), epoch)


def tell(device: Device, *measurements: Measurement) -> None:
    for outcome in record_reading(device, measurements, NOW):
        assert outcome.status != "refused", outcome


def days(device: Device, slot: str = "beans") -> dict[date, tuple[Any, ...]]:
    """By day: how many readings, the lowest, the highest, the last, and what was consumed."""
    rows = DailyUse.objects.filter(device=device, slot__slot_id=slot)
    return {row.day: (row.readings, row.minimum, row.maximum, row.last, row.consumed) for row in rows}


def added_up(device: Device, slot: str = "beans") -> dict[date, tuple[Any, ...]]:
    """The same, from the readings themselves, the slow way."""
    rows = Reading.objects.filter(device=device, slot__slot_id=slot).select_related("slot")
    told = list(rows.order_by("epoch", "sequence"))
    is_level = bool(told) and told[0].slot.reports_amount_left
    falls = [None, *(max(earlier.value - later.value, Decimal(0)) for earlier, later in pairwise(told))]
    found: dict[date, list[tuple[Decimal, Decimal]]] = {}
    for reading, fall in zip(told, falls[: len(told)], strict=True):
        used = (fall or Decimal(0)) if is_level else reading.value
        found.setdefault(reading.measured_at.date(), []).append((reading.value, used))
    return {
        day: (len(rows), min(v for v, _ in rows), max(v for v, _ in rows), rows[-1][0], sum(u for _, u in rows))
        for day, rows in found.items()
    }


@pytest.fixture
def counted(machine: Device) -> Device:
    """Alice's machine also counts the pods it uses."""
    machine.device_model.slots.create(
        slot_id="pods", name="Pods", sensor="usage", measurement="Count", instance="Pod.Coffee"
    )
    return machine


def test_a_day_knows_its_lowest_highest_last_and_what_was_used(machine: Device) -> None:
    tell(machine, beans(1, "80", hours_ago=30), beans(2, "60", hours_ago=20))
    tell(machine, beans(3, "55", hours_ago=2))
    tell(machine, beans(4, "50", hours_ago=1))
    assert days(machine) == {YESTERDAY: (2, 60, 80, 60, 20), TODAY: (2, 50, 55, 50, 10)}


def test_a_refill_is_not_negative_use(machine: Device) -> None:
    tell(machine, beans(1, "10"), beans(2, "4"), beans(3, "100"), beans(4, "95"))
    assert days(machine) == {TODAY: (4, 4, 100, 95, 11)}


def test_a_late_reading_corrects_its_day_and_the_day_after(machine: Device) -> None:
    tell(machine, beans(1, "80", hours_ago=30), beans(3, "70", hours_ago=1))
    assert days(machine)[TODAY][-1] == 10
    tell(machine, beans(2, "73", hours_ago=25))
    assert days(machine) == {YESTERDAY: (2, 73, 80, 73, 7), TODAY: (1, 70, 70, 70, 3)}


def test_a_late_refill_shows_what_was_hidden(machine: Device) -> None:
    tell(machine, beans(1, "20", hours_ago=30), beans(4, "90", hours_ago=1))
    assert [row[-1] for row in days(machine).values()] == [0, 0]
    tell(machine, beans(3, "100", hours_ago=20), beans(2, "5", hours_ago=21))
    assert days(machine) == {YESTERDAY: (3, 5, 100, 100, 15), TODAY: (1, 90, 90, 90, 10)}


def test_the_same_again_adds_nothing(machine: Device) -> None:
    told = [beans(1, "80"), beans(2, "60"), beans(2, "59"), beans(3, "50")]
    for _ in range(3):
        tell(machine, *told)
    assert days(machine) == {TODAY: (3, 50, 80, 50, 30)}


def test_uses_are_summed(counted: Device) -> None:
    tell(counted, *(Measurement("pods", n, Decimal(2), NOW - timedelta(hours=n)) for n in (3, 1, 2, 30)))
    assert days(counted, "pods") == {TODAY: (3, 2, 2, 2, 6), YESTERDAY: (1, 2, 2, 2, 2)}


def test_a_late_reading_counts_when_its_neighbours_are_long_gone(machine: Device) -> None:
    tell(machine, beans(1, "80"), beans(9, "40"))
    Reading.objects.all().delete()
    tell(machine, beans(5, "60"))
    assert days(machine)[TODAY][0] == 3
    tell(machine, beans(10, "30"))
    assert days(machine)[TODAY] == (4, 30, 80, 30, 70)  # 20 of them twice: what 80 fell to had been forgotten


def test_when_the_room_above_fails_the_day_is_as_it_was(machine: Device) -> None:
    from devices.signals import inventory_changed

    tell(machine, beans(1, "80"))

    def fail(**_: Any) -> None:
        raise RuntimeError("the room above is on fire")

    inventory_changed.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            record_reading(machine, [beans(2, "60")], NOW)
    finally:
        inventory_changed.disconnect(fail)
    assert days(machine) == {TODAY: (1, 80, 80, 80, 0)}


def test_the_new_owner_sees_no_day_that_another_may_have_begun(machine: Device) -> None:
    tell(machine, beans(1, "80", hours_ago=30), beans(2, "60"))
    machine.claimed_at = NOW - timedelta(hours=30)
    assert [row.day for row in DailyUse.objects.shown_to_owner(machine)] == [TODAY]
    machine.claimed_at = NOW
    assert not DailyUse.objects.shown_to_owner(machine).exists()
    machine.claimed_at = None
    assert not DailyUse.objects.shown_to_owner(machine).exists()


@st.composite
def weeks(draw: st.DrawFn) -> list[list[Measurement]]:
    """Any readings of both slots with any clock, some twice, in batches in any order."""
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(["beans", "pods"]), st.integers(0, 1), st.integers(0, 70)),
            unique=True,
            min_size=1,
            max_size=14,
        )
    )
    told = [
        Measurement(slot, n, Decimal(draw(st.integers(1, 100))), NOW - timedelta(hours=draw(st.integers(0, 90))), epoch)
        for slot, epoch, n in keys
    ]
    heard = draw(st.permutations(told + draw(st.lists(st.sampled_from(told), max_size=8))))
    size = draw(st.integers(1, 6))
    return [heard[start : start + size] for start in range(0, len(heard), size)]


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=weeks())
def test_whatever_comes_when_the_days_are_what_the_readings_add_up_to(
    counted: Device, batches: list[list[Measurement]]
) -> None:
    with transaction.atomic():
        for batch in batches:
            tell(counted, *batch)
            for slot in ("beans", "pods"):
                assert days(counted, slot) == added_up(counted, slot)
        transaction.set_rollback(True)


def test_a_day_holds_the_largest_uses_however_many(counted: Device) -> None:
    largest = [Measurement("pods", number, Decimal(999999999)) for number in range(1001)]
    tell(counted, *largest[:1000])
    tell(counted, *largest[1000:])
    assert DailyUse.objects.get().consumed == 1001 * Decimal(999999999)
