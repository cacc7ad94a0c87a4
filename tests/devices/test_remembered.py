"""Models and slots are remembered for seconds, keys never; and figures come as the device counts."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from devices import keys, remembered
from devices.inventory import Measurement, record_reading
from devices.models import Device, Inventory, Slot

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    remembered.forget()


def say(device: Device, sequence: int, value: Any, slot: str = "beans") -> str:
    return record_reading(device, [Measurement(slot, sequence, value, NOW)], NOW)[0].status


def test_the_unit_is_read_whole(machine: Device, django_assert_num_queries: Any) -> None:
    found = remembered.device(machine.serial_number)
    with django_assert_num_queries(0):
        assert found == machine
        ours = {field.attname: getattr(found, field.attname) for field in Device._meta.concrete_fields}
    machine.refresh_from_db()
    assert ours == {name: getattr(machine, name) for name in ours}
    assert remembered.device("NOBODY") is None


def test_a_second_request_reads_only_the_unit(machine: Device, django_assert_num_queries: Any) -> None:
    keys.authenticate(machine.serial_number, machine.key)
    with django_assert_num_queries(1):
        assert keys.authenticate(machine.serial_number, machine.key).device_model.name == "Crema 20"


def test_a_new_slot_is_heard_at_once_wherever_it_was_made(machine: Device) -> None:
    say(machine, 1, 50)
    facts = {"device_model": machine.device_model, "name": "Milk", "instance": "Milk.Tank"}
    Slot.objects.bulk_create([Slot(slot_id="milk", **facts)])  # as another process would: nothing is signalled here
    assert say(machine, 1, 50, "milk") == "recorded"


def test_a_changed_slot_is_heard_at_once_here_and_soon_elsewhere(
    machine: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(machine, 1, 50)
    slot = machine.device_model.slots.get()
    slot.measurement = "Count"
    slot.save()
    assert say(machine, 2, 500) == "recorded"
    Slot.objects.update(measurement="Percentage")
    assert say(machine, 3, 500) == "recorded"
    later = remembered.time.monotonic() + remembered.SECONDS
    monkeypatch.setattr(remembered.time, "monotonic", lambda: later)
    assert say(machine, 4, 500) == "refused"


def test_a_revoked_key_is_never_remembered(machine: Device) -> None:
    assert keys.authenticate(machine.serial_number, machine.key) == machine
    keys.revoke_keys(machine)
    assert keys.authenticate(machine.serial_number, machine.key) is None


def test_a_calibrated_slot_is_kept_in_its_own_measurement(machine: Device) -> None:
    """A sensor that says 23 when empty and 1023 when full; a little beyond either is its noise."""
    slot = machine.device_model.slots.get()
    slot.raw_zero, slot.raw_factor = Decimal(23), Decimal("0.1")
    slot.save()
    figures = [(1023, "100"), (523, "50"), (23, "0"), (20, "0"), (1030, "100"), ("273", "25"), (23.5, "0.05")]
    for sequence, (raw, kept) in enumerate(figures):
        assert say(machine, sequence, raw) == "recorded", raw
        assert Inventory.objects.get().value == Decimal(kept), raw
    for nonsense in (float("nan"), Decimal("1E+999999"), "x", True, None):
        assert say(machine, 99, nonsense) == "refused", nonsense


def test_a_slot_that_is_no_text_is_refused(machine: Device) -> None:
    for slot in (["beans"], {"beans": 1}, None, 7):
        assert say(machine, 1, 50, slot) == "refused", slot  # type: ignore[arg-type]
