"""Everything at once on one machine, through all its doors: no dead lock, nothing lost, each thing once."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from devices import documents, events, presence, registry, shadow, talkback
from devices.models import Device, DeviceEvent, Door, Reading
from devices.signals import doorbell_pressed
from tests.devices.together import together

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 12


def report(device: Device, number: int, door: str) -> Callable[[], Any]:
    readings = [{"slot": "beans", "sequence": number, "value": 50}]
    said = {"state": {"reported": {"readings": readings, "count": number, "powerState": "ON" if number % 2 else "OFF"}}}
    return lambda: documents.hear(device, documents.parse(said), timezone.now(), door)


def tell(device: Device, event: str, number: int) -> Callable[[], Any]:
    reading = documents.serializers.read({"slot": "beans", "sequence": number, "value": 99})
    return lambda: events.tell(device, events.Happening(event, f"{event}-{number}", reading=reading), timezone.now())


def test_all_doors_at_once(machine: Device) -> None:
    rung: list[str] = []

    def listen(event_id: str, **_: Any) -> None:
        rung.append(event_id)

    doorbell_pressed.connect(listen)
    Device.objects.update(online=False)
    with together(8) as run:
        for number in range(ROUNDS):
            run(
                [
                    report(machine, number, Door.MQTT),
                    report(machine, number, Door.HTTPS),
                    tell(machine, "doorbell_press", number),
                    tell(machine, "doorbell_press", number),
                    lambda n=number: registry.rename(machine, f"Kitchen {n}"),
                    lambda n=number: shadow.desire(machine, {"light": n}),
                    lambda: presence.mark_silent(timezone.now()),
                    lambda: [talkback.settle(entry) for entry in talkback.claim(Door.MQTT)],
                ]
            )
    doorbell_pressed.disconnect(listen)
    row = shadow.read(machine)
    assert row.desired == {"name": f"Kitchen {ROUNDS - 1}", "light": ROUNDS - 1}
    assert row.reported["count"] == ROUNDS - 1
    assert Reading.objects.count() == ROUNDS
    assert sorted(rung) == sorted(f"doorbell_press-{n}" for n in range(ROUNDS))
    assert DeviceEvent.objects.count() == ROUNDS


def test_a_reset_and_a_report_at_once_leave_no_trace_of_alice(machine: Device, alice: Any) -> None:
    with together(3) as run:
        for number in range(ROUNDS):
            shadow.update(machine, desired={"name": "Alice's kitchen"}, reported={"wifi": "alice"}, door=Door.MQTT)
            fresh = Device.objects.select_related("device_model").get()
            reset = events.Happening("factory_reset", f"reset-{number}", timezone.now(), epoch=number + 1)
            jobs = [lambda happening=reset, unit=fresh: events.tell(unit, happening, timezone.now())]
            run([*jobs, report(fresh, number, Door.MQTT), report(fresh, number + 1000, Door.HTTPS)])
            row = shadow.read(Device.objects.get())
            assert row.desired == {}
            assert "wifi" not in row.reported
            new = {"owner": alice, "ownership": uuid.uuid4(), "claimed_at": timezone.now()}
            Device.objects.update(**new)
            machine = Device.objects.select_related("device_model").get()


def test_who_speaks_with_an_old_idea_of_the_owner_takes_nothing_from_the_new_one(machine: Device, bob: Any) -> None:
    before = Device.objects.select_related("device_model").get()
    registry.release(machine)
    Device.objects.update(owner=bob, ownership=uuid.uuid4(), claimed_at=timezone.now())
    shadow.desire(Device.objects.get(), {"name": "Bob's"})
    report(before, 1, Door.MQTT)()
    assert shadow.read(Device.objects.get()).desired == {"name": "Bob's"}
