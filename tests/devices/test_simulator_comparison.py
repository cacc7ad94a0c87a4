"""--verify must be able to fail: each way in which a portal could be wrong is seen."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from devices.comparison import compare
from devices.inventory import Measurement, record_reading
from devices.models import DailyUse, Device, Inventory, Reading

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
TOLD: dict[tuple[str, int, int], tuple[float, datetime | None]] = {
    ("beans", 0, number): (90.5 - 2.5 * number, NOW - timedelta(hours=30 - number)) for number in range(10)
} | {("beans", 1, 0): (99.0, None)}


@pytest.fixture
def faithful(transactional_db: None, machine: Device) -> Device:
    """Alice's machine, all of whose readings have been kept."""
    told = [
        Measurement(slot, number, Decimal(str(value)), at, epoch) for (slot, epoch, number), (value, at) in TOLD.items()
    ]
    record_reading(machine, told, NOW)
    return machine


def faults(machine: Device, told: Any = TOLD) -> list[str]:
    return compare([(machine.serial_number, told)]).faults


def test_what_was_kept_is_found_clean(faithful: Device) -> None:
    found = compare([(faithful.serial_number, TOLD)])
    assert found.faults == []
    assert str(found) == "1 units, 11 readings: nothing lost, nothing twice"


def copy_one() -> None:
    reading = Reading.objects.get(epoch=0, sequence=4)
    Reading.objects.create(**{f.attname: getattr(reading, f.attname) for f in Reading._meta.fields if f.name != "id"})


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (lambda: Reading.objects.filter(epoch=0, sequence=4).delete(), "lost: ('beans', 0, 4)"),
        (copy_one, "twice: ('beans', 0, 4)"),
        (lambda: Reading.objects.filter(epoch=0, sequence=4).update(sequence=44), "never said: ('beans', 0, 44)"),
        (lambda: Reading.objects.filter(epoch=0, sequence=4).update(value=1), "changed: ('beans', 0, 4)"),
        (lambda: Reading.objects.filter(epoch=0, sequence=4).update(measured_at=NOW), "changed: ('beans', 0, 4)"),
        (lambda: Inventory.objects.update(epoch=0, sequence=9), "stands at"),
        (lambda: Inventory.objects.all().delete(), "stands at"),
        (lambda: DailyUse.objects.filter(day=NOW.date()).update(consumed=99), "do not add up"),
        (lambda: DailyUse.objects.filter(day=NOW.date()).delete(), "do not add up"),
    ],
)
def test_every_fault_is_seen(faithful: Device, wrong: Callable[[], Any], word: str) -> None:
    wrong()
    assert any(word in fault for fault in faults(faithful)), faults(faithful)


def test_a_unit_of_which_nothing_is_held_has_lost_everything(machine: Device, transactional_db: None) -> None:
    assert len([fault for fault in faults(machine) if "lost" in fault]) == len(TOLD)
