"""Any interleaving, duplication and delay of a device's readings ends as hearing each once, in order, would."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.inventory import Measurement, record_reading
from devices.models import Device, Inventory, Reading
from devices.signals import inventory_changed
from tests.effort import examples

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SLOTS = ("beans", "pods")


@dataclass(frozen=True)
class Said:
    """What a device measured, as it would be told in an ideal world."""

    slot: str
    epoch: int
    sequence: int
    value: int

    def measurement(self) -> Measurement:
        at = NOW - timedelta(hours=1) + timedelta(seconds=self.sequence)
        return Measurement(self.slot, self.sequence, Decimal(self.value), at, self.epoch)


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Said], list[list[Said]]]:
    """A device's true history, and what a bad network makes of it: batches with repeats in any order."""
    keys = st.tuples(st.sampled_from(SLOTS), st.integers(0, 2), st.integers(0, 6))
    true = [
        Said(slot, epoch, sequence, draw(st.integers(1, 100)))
        for slot, epoch, sequence in draw(st.lists(keys, unique=True, min_size=1, max_size=12))
    ]
    repeats = draw(st.lists(st.sampled_from(true), max_size=12))
    heard = draw(st.permutations(true + repeats))
    cuts = sorted(draw(st.sets(st.integers(1, len(heard)), max_size=6)) | {len(heard)})
    starts = [0, *cuts[:-1]]
    return true, [list(heard[start:end]) for start, end in zip(starts, cuts, strict=True) if start < end]


def expected_state(true: list[Said]) -> dict[str, tuple[int, int, Decimal]]:
    newest: dict[str, tuple[int, int, Decimal]] = {}
    for said in sorted(true, key=lambda said: (said.epoch, said.sequence)):
        newest[said.slot] = (said.epoch, said.sequence, Decimal(said.value))
    return newest


def actual_state() -> dict[str, tuple[int, int, Decimal]]:
    rows = Inventory.objects.values_list("slot__slot_id", "epoch", "sequence", "value")
    return {slot: (epoch, sequence, value) for slot, epoch, sequence, value in rows}


@pytest.fixture
def counted(machine: Device) -> Device:
    machine.device_model.slots.create(
        slot_id="pods", name="Pods", sensor="usage", measurement="Count", instance="Pod.Coffee"
    )
    return machine


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=lives())
def test_whatever_the_network_does_the_truth_is_the_same(
    counted: Device, life: tuple[list[Said], list[list[Said]]]
) -> None:
    true, batches = life
    uses: list[tuple[Any, ...]] = []

    def listen(changes: list[Any], **_: Any) -> None:
        uses.extend((change.measured_at, change.value) for change in changes if change.sensor == "usage")

    inventory_changed.connect(listen)
    try:
        with transaction.atomic():
            recorded = [o for batch in batches for o in record_reading(counted, [s.measurement() for s in batch], NOW)]
            stored = {Said(*row) for row in _history()}
            state = actual_state()
            transaction.set_rollback(True)
    finally:
        inventory_changed.disconnect(listen)

    assert stored == set(true)
    assert state == expected_state(true)
    assert sum(outcome.status == "recorded" for outcome in recorded) == len(true)
    told_once = [replace(said).measurement() for said in true if said.slot == "pods"]
    assert sorted(uses) == sorted((use.measured_at, use.value) for use in told_once)


def _history() -> list[tuple[str, int, int, int]]:
    rows = Reading.objects.values_list("slot__slot_id", "epoch", "sequence", "value")
    return [(slot, epoch, sequence, int(value)) for slot, epoch, sequence, value in rows]
