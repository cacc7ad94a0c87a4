"""record_reading, the one way in: once, again, late, after a factory reset, and when something breaks halfway."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import psycopg
import pytest

from devices import registry
from devices.inventory import Measurement, record_reading
from devices.models import Device, Inventory, Reading
from devices.signals import InventoryChange, inventory_changed

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def beans(sequence: int, value: str = "50", *, epoch: int = 0, minutes: int = 0) -> Measurement:
    return Measurement("beans", sequence, Decimal(value), NOW - timedelta(minutes=minutes), epoch)


def pods(sequence: int, value: str = "1") -> Measurement:
    return Measurement("pods", sequence, Decimal(value), NOW)


def said(outcomes: list[Any]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def level_of(machine: Device) -> tuple[int, int, Decimal]:
    state = Inventory.objects.get(device=machine, slot__slot_id="beans")
    return state.epoch, state.sequence, state.value


@pytest.fixture
def heard() -> Iterator[list[list[InventoryChange]]]:
    """What the rooms above were told, one list a call."""
    calls: list[list[InventoryChange]] = []

    def listen(changes: list[InventoryChange], **_: Any) -> None:
        calls.append(changes)

    inventory_changed.connect(listen)
    yield calls
    inventory_changed.disconnect(listen)


@pytest.fixture
def counted(machine: Device) -> Device:
    """Alice's machine also counts the pods it uses."""
    machine.device_model.slots.create(
        slot_id="pods", name="Pods", sensor="usage", measurement="Count", instance="Pod.Coffee"
    )
    return machine


def test_a_reading_is_kept_in_history_and_becomes_the_state(machine: Device, heard: list[Any]) -> None:
    [outcome] = record_reading(machine, [beans(17, "42.5", minutes=3)], NOW)

    assert (outcome.status, outcome.reason, outcome.measurement) == ("recorded", "", beans(17, "42.5", minutes=3))
    reading, state = Reading.objects.get(), Inventory.objects.get()
    for row in (reading, state):
        assert (row.device, row.slot.slot_id, row.epoch, row.sequence) == (machine, "beans", 0, 17)
        assert (row.value, row.measured_at, row.heard_at) == (Decimal("42.5"), NOW - timedelta(minutes=3), NOW)
    assert heard == [
        [
            InventoryChange(
                device_id=machine.pk,
                slot_id=state.slot_id,
                instance="Beans.Hopper",
                sensor="level",
                value=Decimal("42.500"),
                previous=None,
                measured_at=NOW - timedelta(minutes=3),
                cause="PHYSICAL_INTERACTION",
            )
        ]
    ]


def test_the_same_reading_again_changes_nothing(machine: Device, heard: list[Any]) -> None:
    record_reading(machine, [beans(17, "42.5")], NOW)
    [again] = record_reading(machine, [beans(17, "42.5")], NOW + timedelta(hours=1))

    assert (again.status, again.reason) == ("already known", "")
    assert Reading.objects.count() == 1
    assert Inventory.objects.get().heard_at == NOW
    assert len(heard) == 1


def test_the_same_sequence_with_another_value_stays_as_first_stored_and_says_so(machine: Device) -> None:
    record_reading(machine, [beans(17, "42.5")], NOW)
    [again] = record_reading(machine, [beans(17, "40")], NOW)

    assert (again.status, again.field) == ("already known", "value")
    assert "differs" in again.reason
    assert "42.5" in again.reason
    assert level_of(machine) == (0, 17, Decimal("42.5"))


def test_a_late_reading_is_history_only_and_no_news(machine: Device, heard: list[Any]) -> None:
    record_reading(machine, [beans(18, "40")], NOW)
    [late] = record_reading(machine, [beans(17, "42.5")], NOW)

    assert late.status == "recorded"
    assert list(Reading.objects.latest_first().values_list("sequence", flat=True)) == [18, 17]
    assert level_of(machine) == (0, 18, Decimal(40))
    assert len(heard) == 1


def test_an_unseen_older_sequence_is_never_called_known(machine: Device) -> None:
    record_reading(machine, [beans(100)], NOW)
    assert said(record_reading(machine, [beans(sequence) for sequence in (3, 99, 100, 101)], NOW)) == [
        "recorded",
        "recorded",
        "already known",
        "recorded",
    ]


def test_a_level_equal_to_the_last_is_told_with_itself_as_previous(machine: Device, heard: list[Any]) -> None:
    record_reading(machine, [beans(1, "60")], NOW)
    record_reading(machine, [beans(2, "60")], NOW)
    assert [(change.previous, change.value) for [change] in heard] == [(None, 60), (60, 60)]


def test_a_batch_is_told_once_with_where_the_level_stands(machine: Device, heard: list[Any]) -> None:
    record_reading(machine, [beans(1, "60")], NOW)
    record_reading(machine, [beans(4, "45"), beans(2, "55"), beans(3, "50"), beans(4, "45")], NOW)
    [[_], [change]] = heard
    assert (change.previous, change.value) == (60, 45)
    assert Reading.objects.count() == 4


def test_equal_sequences_in_one_batch_are_one_reading(machine: Device) -> None:
    outcomes = record_reading(machine, [beans(1, "60"), beans(1, "60"), beans(1, "59")], NOW)
    assert said(outcomes) == ["recorded", "already known", "already known"]
    assert "differs" in outcomes[2].reason
    assert level_of(machine) == (0, 1, Decimal(60))


def test_a_factory_reset_begins_a_new_epoch_with_low_numbers(machine: Device) -> None:
    record_reading(machine, [beans(900, "10")], NOW)
    assert said(record_reading(machine, [beans(1, "99", epoch=1)], NOW)) == ["recorded"]
    assert level_of(machine) == (1, 1, Decimal(99))
    assert said(record_reading(machine, [beans(901, "9"), beans(1, "99", epoch=1)], NOW)) == [
        "recorded",
        "already known",
    ]
    assert level_of(machine) == (1, 1, Decimal(99))


def test_every_use_is_told_once_late_or_not_in_the_devices_order(counted: Device, heard: list[Any]) -> None:
    record_reading(counted, [pods(5, "2")], NOW)
    record_reading(counted, [pods(4), pods(3, "3"), pods(5, "2"), pods(6)], NOW)
    assert [[(change.value, change.previous) for change in call] for call in heard] == [
        [(2, None)],
        [(3, None), (1, None), (1, None)],
    ]
    assert Inventory.objects.get(slot__slot_id="pods").sequence == 6


def test_an_empty_hopper_is_a_level(machine: Device, heard: list[Any]) -> None:
    record_reading(machine, [beans(1, "0")], NOW)
    assert level_of(machine) == (0, 1, Decimal(0))
    assert heard[0][0].value == 0


def test_without_a_clock_of_its_own_the_time_is_ours(machine: Device) -> None:
    record_reading(machine, [Measurement("beans", 1, Decimal(5))], NOW)
    assert Reading.objects.get().measured_at == NOW


def test_a_refused_measurement_stops_nobody_else(machine: Device) -> None:
    outcomes = record_reading(machine, [beans(1, "101"), beans(2, "60"), beans(3, "-1")], NOW)
    assert said(outcomes) == ["refused", "recorded", "refused"]
    assert [outcome.measurement.sequence for outcome in outcomes] == [1, 2, 3]
    assert Reading.objects.count() == 1


def test_a_refused_sequence_can_still_be_used(machine: Device) -> None:
    record_reading(machine, [beans(1, "101")], NOW)
    assert said(record_reading(machine, [beans(1, "100")], NOW)) == ["recorded"]


@pytest.mark.parametrize("how_many", [0, 1001])
def test_a_batch_has_one_to_a_thousand(machine: Device, how_many: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        record_reading(machine, [beans(1)] * how_many, NOW)


def test_our_clock_must_know_where_it_is(machine: Device) -> None:
    with pytest.raises(ValueError, match="aware"):
        record_reading(machine, [beans(1)], NOW.replace(tzinfo=None))


def test_bobs_machine_of_the_same_model_has_its_own_numbers(machine: Device, crema: Any) -> None:
    other = registry.register("CRM20-0002", crema).device
    record_reading(machine, [beans(1, "60")], NOW)
    assert said(record_reading(other, [beans(1, "30")], NOW)) == ["recorded"]
    assert level_of(machine) == (0, 1, Decimal(60))
    assert level_of(other) == (0, 1, Decimal(30))


def test_a_unit_that_nobody_has_claimed_may_report(crema: Any) -> None:
    device = registry.register("CRM20-0003", crema).device
    assert said(record_reading(device, [beans(1)], NOW)) == ["recorded"]


def test_when_a_receiver_fails_nothing_was_recorded(machine: Device) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("the room above is on fire")

    inventory_changed.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            record_reading(machine, [beans(1, "60")], NOW)
    finally:
        inventory_changed.disconnect(fail)
    assert not Reading.objects.exists()
    assert not Inventory.objects.exists()
    machine.refresh_from_db()
    assert machine.last_seen_at is None
    assert said(record_reading(machine, [beans(1, "60")], NOW)) == ["recorded"]


def test_the_new_owner_does_not_see_the_former_owners_history(machine: Device) -> None:
    record_reading(machine, [beans(1)], NOW - timedelta(days=9))
    assert not Reading.objects.shown_to_owner(machine).exists()
    machine.claimed_at = NOW - timedelta(days=10)
    assert not Reading.objects.shown_to_owner(registry.release(machine)).exists()


def queries(machine: Device, batch: list[Measurement], now: datetime) -> int:
    """The statements of one call, without the savepoint that stands for its transaction in a test."""
    with mock.patch("psycopg.Cursor.execute", autospec=True, side_effect=psycopg.Cursor.execute) as execute:
        record_reading(machine, batch, now)
    return sum("SAVEPOINT" not in str(call.args[1]) for call in execute.call_args_list)


def test_a_hundred_readings_cost_as_many_queries_as_one(counted: Device) -> None:
    record_reading(counted, [beans(0), pods(0)], NOW)
    counted.refresh_from_db()
    one = queries(counted, [beans(1)], NOW)
    hundred = queries(counted, [beans(n) for n in range(2, 102)], NOW)
    both = queries(counted, [beans(n) for n in range(102, 152)] + [pods(n) for n in range(1, 51)], NOW)
    assert (one, hundred, both) == (1, 1, 1)


def test_a_hundred_late_readings_cost_as_many_queries_as_one(machine: Device) -> None:
    record_reading(machine, [beans(1000)], NOW)
    machine.refresh_from_db()
    assert queries(machine, [beans(1)], NOW) == 1
    assert queries(machine, [beans(n, epoch=0) for n in range(1, 101)], NOW) == 1
