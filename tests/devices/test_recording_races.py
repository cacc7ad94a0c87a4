"""The same readings from many threads at once, on a real PostgreSQL: one row each, one truth, no dead lock."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from devices import presence, registry
from devices.inventory import Measurement, record_reading
from devices.models import Device, Inventory, Reading
from devices.signals import InventoryChange, endpoint_changed, inventory_changed
from tests.devices.together import at_once, together
from tests.people import owned

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
THREADS = 8


def beans(sequence: int, value: str = "50", slot: str = "beans") -> Measurement:
    return Measurement(slot, sequence, Decimal(value), NOW)


@pytest.fixture
def told() -> Iterator[list[InventoryChange]]:
    changes: list[InventoryChange] = []

    def listen(**signal: Any) -> None:
        changes.extend(signal["changes"])

    inventory_changed.connect(listen)
    yield changes
    inventory_changed.disconnect(listen)


def test_the_same_sequence_from_eight_threads_is_one_row(machine: Device, told: list[InventoryChange]) -> None:
    with together(THREADS) as run:
        for sequence in range(10):
            replies = run([lambda s=sequence: record_reading(machine, [beans(s)], NOW)] * THREADS)
            statuses = sorted(reply.status for [reply] in replies)
            assert statuses == ["already known"] * (THREADS - 1) + ["recorded"]
    assert Reading.objects.count() == 10
    assert len(told) == 10


def test_overlapping_batches_in_any_order_are_each_stored_once(machine: Device, crema: Any) -> None:
    crema.slots.create(slot_id="milk", name="Milk", sensor="usage", measurement="Count", instance="Milk.Tank")
    batches = [
        [beans(n) for n in range(0, 40)],
        [beans(n) for n in range(59, 19, -1)],
        [beans(n, "1", "milk") for n in range(0, 40)],
        [beans(n, "1", slot) for n in range(20, 60) for slot in ("milk", "beans")],
        [beans(n, "1", slot) for n in range(60, 20, -1) for slot in ("beans", "milk")],
    ]
    replies = at_once([lambda batch=batch: record_reading(machine, batch, NOW) for batch in batches])
    assert sum(reply.status == "recorded" for answers in replies for reply in answers) == Reading.objects.count()
    assert Reading.objects.filter(slot__slot_id="beans").count() == 61
    assert Reading.objects.filter(slot__slot_id="milk").count() == 61
    assert set(Inventory.objects.values_list("sequence", flat=True)) == {60}


def test_the_state_is_the_newest_whoever_comes_last(machine: Device) -> None:
    at_once([lambda n=n: record_reading(machine, [beans(n, str(100 - n))], NOW) for n in range(THREADS)])
    state = Inventory.objects.get()
    assert (state.sequence, state.value) == (THREADS - 1, 100 - (THREADS - 1))
    assert Reading.objects.count() == THREADS


def test_who_asks_while_another_is_storing_waits_for_the_truth(machine: Device) -> None:
    """The first has stored but not committed; the second must not say recorded, nor known, before it is decided."""
    record_reading(machine, [beans(1)], NOW)
    stored, finish = threading.Event(), threading.Event()

    def hold(**_: Any) -> None:
        stored.set()
        finish.wait(10)
        raise RuntimeError("the first one fails after all")

    def first() -> str:
        inventory_changed.connect(hold)
        try:
            record_reading(machine, [beans(2)], NOW)
        except RuntimeError:
            return "failed"
        finally:
            connection.close()
        return "stored"

    def second() -> str:
        try:
            return record_reading(machine, [beans(2)], NOW)[0].status
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        assert stored.wait(10)
        inventory_changed.disconnect(hold)
        two = pool.submit(second)
        with pytest.raises(TimeoutError):
            two.result(0.3)
        finish.set()
        assert (one.result(10), two.result(10)) == ("failed", "recorded")
    assert Reading.objects.count() == 2


def test_a_unit_that_speaks_while_the_sweep_looks_ends_up_online(machine: Device) -> None:
    with together(2) as run:
        for sequence in range(10):
            Device.objects.update(online=True, last_seen_at=NOW - timedelta(hours=9))
            stale = Device.objects.get()
            run([lambda d=stale, s=sequence: record_reading(d, [beans(s)], NOW), lambda: presence.mark_silent(NOW)])
            machine.refresh_from_db()
            assert (machine.online, machine.last_seen_at) == (True, NOW)


def test_a_unit_that_speaks_in_the_middle_of_the_sweep_is_told_to_be_back(machine: Device) -> None:
    """The sweep has marked it but not committed; whoever is told "gone" must be told "back" as well."""
    Device.objects.update(last_seen_at=NOW - timedelta(hours=9))
    stale, marked, finish, told = Device.objects.get(), threading.Event(), threading.Event(), []

    def listen(device_ids: list[int], **_: Any) -> None:
        told.append(device_ids)
        if not marked.is_set():
            marked.set()
            finish.wait(10)

    def in_a_thread(job: Callable[[], Any]) -> Any:
        try:
            return job()
        finally:
            connection.close()

    endpoint_changed.connect(listen)
    with ThreadPoolExecutor(2) as pool:
        sweep = pool.submit(in_a_thread, lambda: presence.mark_silent(NOW))
        assert marked.wait(10)
        spoke = pool.submit(in_a_thread, lambda: presence.heard_from(stale, NOW))
        with pytest.raises(TimeoutError):
            spoke.result(0.3)
        finish.set()
        assert sweep.result(10) == 1
        spoke.result(10)
    endpoint_changed.disconnect(listen)
    machine.refresh_from_db()
    assert (machine.online, told) == (True, [[machine.pk], [machine.pk]])


def test_many_sweeps_at_once_tell_of_each_silent_unit_once(crema: Any, alice: Any) -> None:
    told: list[int] = []

    def listen(device_ids: list[int], **_: Any) -> None:
        told.extend(device_ids)

    devices = [owned(alice, crema, f"S-{n}") for n in range(50)]
    Device.objects.update(last_seen_at=NOW - timedelta(hours=9))
    endpoint_changed.connect(listen)
    try:
        at_once([lambda: presence.mark_silent(NOW)] * 4)
    finally:
        endpoint_changed.disconnect(listen)
    assert sorted(told) == [device.pk for device in devices]


def test_a_locked_unit_does_not_hold_up_the_sweep(crema: Any, machine: Device) -> None:
    other = registry.register("S-1", crema).device
    Device.objects.update(last_seen_at=NOW - timedelta(hours=9))
    with transaction.atomic():
        Device.objects.select_for_update().get(pk=machine.pk)
        assert at_once([lambda: presence.mark_silent(NOW)]) == [1]
    other.refresh_from_db()
    assert not other.online


def test_of_two_customers_at_once_one_gets_the_machine(crema: Any, alice: Any, bob: Any) -> None:
    def attempt(user: Any, serial: str, code: str) -> int | None:
        try:
            return registry.claim(user, serial, code).owner_id
        except registry.ClaimRefused:
            return None

    with together(2) as run:
        for serial in (f"C-{n}" for n in range(5)):
            code = registry.register(serial, crema).claim_code
            owners = run([lambda user=user, s=serial, c=code: attempt(user, s, c) for user in (alice, bob)])
            assert sorted(owner is None for owner in owners) == [False, True]
            assert Device.objects.get(serial_number=serial).owner_id in owners


def test_one_customer_twice_at_once_is_one_claim(crema: Any, alice: Any) -> None:
    code = registry.register("C-1", crema).claim_code
    claims = at_once([lambda: registry.claim(alice, "C-1", code).ownership] * 4)
    assert len(set(claims)) == 1
