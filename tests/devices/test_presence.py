"""Who is there: heard now, silent for too long, back again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import presence, registry
from devices.inventory import Measurement, record_reading
from devices.models import Device
from devices.signals import endpoint_changed
from devices.tasks import mark_silent

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.fixture
def told() -> Iterator[list[tuple[list[int], str]]]:
    calls: list[tuple[list[int], str]] = []

    def listen(device_ids: list[int], what: str, **_: Any) -> None:
        calls.append((device_ids, what))

    endpoint_changed.connect(listen)
    yield calls
    endpoint_changed.disconnect(listen)


def seen(machine: Device, **ago: int) -> Device:
    Device.objects.filter(pk=machine.pk).update(last_seen_at=NOW - timedelta(**ago))
    machine.refresh_from_db()
    return machine


def speak(machine: Device, sequence: int = 1, value: str = "50") -> None:
    record_reading(machine, [Measurement("beans", sequence, Decimal(value))], NOW)


def test_a_reading_is_a_sign_of_life(machine: Device, told: list[Any]) -> None:
    speak(machine)
    machine.refresh_from_db()
    assert (machine.last_seen_at, machine.online, told) == (NOW, True, [])


def test_even_a_refused_or_repeated_reading_is_a_sign_of_life(machine: Device) -> None:
    speak(machine, value="101")
    machine.refresh_from_db()
    assert machine.last_seen_at == NOW


def test_within_a_minute_nothing_is_written(machine: Device) -> None:
    speak(machine)
    seen(machine, seconds=59)
    with CaptureQueriesContext(connection) as captured:
        presence.heard_from(machine, NOW)
    assert len(captured) == 0
    seen(machine, seconds=60)
    presence.heard_from(machine, NOW)
    machine.refresh_from_db()
    assert machine.last_seen_at == NOW


def test_a_late_message_does_not_turn_the_clock_back(machine: Device) -> None:
    old_copy = Device.objects.get(pk=machine.pk)
    speak(machine)
    presence.heard_from(old_copy, NOW - timedelta(hours=1))
    machine.refresh_from_db()
    assert machine.last_seen_at == NOW


def test_after_an_hour_of_silence_it_is_offline_and_told_once(machine: Device, told: list[Any]) -> None:
    seen(machine, minutes=61, seconds=1)
    assert presence.mark_silent(NOW) == 1
    assert presence.mark_silent(NOW) == 0
    machine.refresh_from_db()
    assert not machine.online
    assert told == [([machine.pk], "connectivity")]


def test_the_minute_in_which_nothing_was_written_is_allowed_for(machine: Device) -> None:
    seen(machine, minutes=60, seconds=59)
    assert presence.mark_silent(NOW) == 0


def test_each_model_has_its_own_patience(machine: Device) -> None:
    machine.device_model.offline_after = timedelta(days=2)
    machine.device_model.save()
    seen(machine, hours=47)
    assert presence.mark_silent(NOW) == 0
    seen(machine, hours=49)
    assert presence.mark_silent(NOW) == 1


def test_speaking_again_brings_it_back_and_is_told_once(machine: Device, told: list[Any]) -> None:
    seen(machine, hours=2)
    presence.mark_silent(NOW)
    told.clear()
    machine.refresh_from_db()
    speak(machine, 1)
    machine.refresh_from_db()
    speak(machine, 2)
    machine.refresh_from_db()
    assert machine.online
    assert told == [([machine.pk], "connectivity")]


def test_a_claimed_unit_that_never_spoke_counts_from_its_claim(machine: Device) -> None:
    assert presence.mark_silent(machine.claimed_at + timedelta(minutes=60)) == 0
    assert presence.mark_silent(machine.claimed_at + timedelta(minutes=62)) == 1


def test_a_unit_in_the_warehouse_is_not_judged(crema: Any) -> None:
    registry.register("CRM20-0009", crema)
    assert presence.mark_silent(NOW + timedelta(days=400)) == 0


def test_more_than_one_batch_is_marked_in_one_sweep(crema: Any, monkeypatch: Any, told: list[Any]) -> None:
    monkeypatch.setattr(presence, "BATCH", 3)
    for n in range(7):
        seen(registry.register(f"S-{n}", crema).device, hours=9)
    assert presence.mark_silent(NOW) == 7
    assert [len(ids) for ids, _ in told] == [3, 3, 1]


def test_when_a_receiver_fails_the_batch_stays_to_be_marked(machine: Device) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("the room above is on fire")

    seen(machine, hours=9)
    endpoint_changed.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            presence.mark_silent(NOW)
    finally:
        endpoint_changed.disconnect(fail)
    machine.refresh_from_db()
    assert machine.online


def test_the_task_that_beat_asks_for(machine: Device) -> None:
    Device.objects.update(last_seen_at=datetime.now(UTC) - timedelta(hours=9))
    assert mark_silent.name == "devices.mark_silent"
    assert mark_silent() == 1
