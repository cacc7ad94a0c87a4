"""Two people publish at once, a reading comes in between, two sweeps meet: on a real PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from devices import catalogue
from devices.catalogue import PublishRefused, SlotDescription, publishing
from devices.inventory import Measurement, record_reading
from devices.models import Device, DeviceModel, Revision, Slot
from devices.signals import endpoint_changed
from tests.devices.together import at_once
from tests.people import owned

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.fixture
def told() -> Iterator[list[int]]:
    devices: list[int] = []

    def listen(device_ids: list[int], what: str, **_: Any) -> None:
        if what == "description":
            devices.extend(device_ids)

    endpoint_changed.connect(listen)
    yield devices
    endpoint_changed.disconnect(listen)


def renamed(model: DeviceModel, name: str) -> Revision:
    live = catalogue.live(model)
    return catalogue.save_draft(catalogue.open_draft(model), replace(live, name=name), live.digest())


def outcome(draft: Revision) -> str:
    try:
        return f"published for {catalogue.publish(draft, 'Because.').devices}"
    except PublishRefused as refusal:
        return str(refusal)


def test_of_many_who_publish_one_draft_one_does(crema: DeviceModel, machine: Device, told: list[int]) -> None:
    draft = renamed(crema, "Crema twenty")
    answers = sorted(at_once([lambda: outcome(draft)] * 4))
    assert answers == ["This draft has been published or thrown away meanwhile."] * 3 + ["published for 1"]
    assert told == [machine.pk]


def test_of_many_who_open_a_draft_all_get_the_same(crema: DeviceModel) -> None:
    drafts = at_once([lambda: catalogue.open_draft(crema).pk] * 4)
    assert len(set(drafts)) == 1
    assert Revision.objects.count() == 1


def test_one_id_does_not_go_to_two_models_at_once(crema: DeviceModel) -> None:
    other = DeviceModel.objects.create(model_id="MILK-1", name="Milk", manufacturer="N", description="N")
    drafts = []
    for model in (crema, other):
        live = catalogue.live(model)
        slot = SlotDescription("milk", "Milk.Tank", (("en-US", ("Milk",)),), live_replenishment_id="arn:live:milk")
        description = replace(live, slots=(*live.slots, slot))
        drafts.append(catalogue.save_draft(catalogue.open_draft(model), description, live.digest()))
    answers = sorted(at_once([lambda draft=draft: outcome(draft) for draft in drafts]))
    refused = ("Lint found errors", "Something that does not fit")
    assert sorted(answer.startswith(refused) for answer in answers) == [False, True], answers
    assert Slot.objects.filter(live_replenishment_id="arn:live:milk").count() == 1


def test_readings_go_on_while_a_model_is_published(crema: DeviceModel, machine: Device) -> None:
    def publish_often() -> None:
        for turn in range(10):
            catalogue.publish(renamed(DeviceModel.objects.get(), f"Crema {turn}"), "Because.")

    def report_often() -> set[str]:
        said = [Measurement("beans", sequence, Decimal(50)) for sequence in range(40)]
        return {record_reading(machine, [one], NOW)[0].status for one in said}

    assert at_once([publish_often, report_often])[1] == {"recorded"}


def test_two_sweeps_tell_each_device_once(crema: DeviceModel, alice: Any, told: list[int], monkeypatch: Any) -> None:
    monkeypatch.setattr(publishing, "AT_ONCE", 2)
    ids = [owned(alice, crema, f"CRM20-{number:04}").pk for number in range(9)]
    catalogue.publish(renamed(crema, "Crema twenty"), "Because.", seconds=0)
    assert at_once([catalogue.tell_waiting] * 3)
    catalogue.tell_waiting()
    assert sorted(told) == sorted(ids)
