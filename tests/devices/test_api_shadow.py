"""The shadow, events and the key as a coffee machine's firmware sees them."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from devices import documents, registry, shadow
from devices.models import Device, DeviceEvent, Inventory, Reading, Shadow
from devices.signals import doorbell_pressed
from tests.devices.test_device_api import basic, problem

SHADOW, EVENTS, KEY = "/api/v1/shadow", "/api/v1/events", "/api/v1/key"


class Firmware:
    """Alice's machine on the wire."""

    def __init__(self, serial: str, key: str) -> None:
        self.client, self.headers = Client(raise_request_exception=False), basic(serial, key)

    def get(self, path: str = SHADOW) -> Any:
        return self.client.get(path, headers=self.headers)

    def patch(self, body: Any) -> Any:
        return self.client.patch(SHADOW, _raw(body), content_type="application/json", headers=self.headers)

    def post(self, path: str, body: Any) -> Any:
        return self.client.post(path, _raw(body), content_type="application/json", headers=self.headers)


def _raw(body: Any) -> Any:
    return body if isinstance(body, str | bytes) else json.dumps(body)


@pytest.fixture
def firmware(machine: Any) -> Firmware:
    return Firmware(machine.serial_number, machine.key)


@pytest.fixture
def presses() -> Any:
    found: list[dict[str, Any]] = []

    def listen(**signal: Any) -> None:
        found.append({name: signal[name] for name in ("device_id", "event_id", "pressed_at")})

    doorbell_pressed.connect(listen)
    yield found
    doorbell_pressed.disconnect(listen)


def test_what_alice_wished_while_the_machine_was_away_waits_for_it(firmware: Firmware, machine: Device) -> None:
    shadow.desire(machine, {"powerState": "OFF"})
    answer = firmware.get()
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    body = answer.json()
    assert body["state"] == {"desired": {"powerState": "OFF"}, "reported": {}, "delta": {"powerState": "OFF"}}
    assert body["version"] == 1
    done = firmware.patch({"state": {"reported": {"powerState": "OFF"}}, "version": 1}).json()
    assert done["state"]["delta"] == {}
    assert done["version"] == 2


def test_a_machine_without_a_shadow_has_an_empty_one(firmware: Firmware) -> None:
    body = firmware.get().json()
    assert body["state"] == {"desired": {}, "reported": {}, "delta": {}}
    assert body["version"] == 0
    assert not Shadow.objects.exists()


def test_an_old_version_is_a_conflict_and_nothing_is_kept(firmware: Firmware, machine: Device) -> None:
    shadow.desire(machine, {"powerState": "OFF"})
    reading = {"slot": "beans", "sequence": 1, "value": 40}
    answer = firmware.patch({"state": {"reported": {"powerState": "ON", "readings": [reading]}}, "version": 0})
    [error] = problem(answer, 409)["errors"]
    assert error["field"] == "version"
    assert "version is 1" in error["reason"]
    assert not Reading.objects.exists()


def test_readings_may_travel_in_the_shadow_and_are_not_kept_there(firmware: Firmware) -> None:
    readings = [{"slot": "beans", "sequence": 1, "value": 40}, {"slot": "milk", "sequence": 1, "value": 1}, 7]
    for status in ("recorded", "already known"):
        answer = firmware.patch({"state": {"reported": {"readings": readings, "temperature": 91.5}}})
        assert answer.status_code == 200
        assert [result["status"] for result in answer.json()["results"]] == [status, "refused", "refused"]
        assert answer.json()["state"]["reported"] == {"temperature": 91.5}
        assert answer.json()["version"] == 1
    assert Inventory.objects.get().value == Decimal(40)


def test_a_plain_number_under_a_slot_is_its_level_as_in_amazons_workshop(firmware: Firmware, crema: Any) -> None:
    crema.slots.create(slot_id="pods", name="Pods", sensor="usage", measurement="Count", instance="Pods.Drawer")
    answer = firmware.patch({"state": {"reported": {"beans": 0, "pods": 1, "battery": 97}}})
    results = {result["slot"]: result for result in answer.json()["results"]}
    assert results["beans"]["status"] == "recorded"
    assert results["pods"]["status"] == "refused", "a use said twice could not be told from two uses"
    assert "readings" in results["pods"]["reason"]
    assert answer.json()["state"]["reported"] == {"battery": 97}
    assert Inventory.objects.get().value == 0
    firmware.patch({"state": {"reported": {"beans": 5}}})
    assert Inventory.objects.get().value == 5


NO_UPDATES: list[Any] = [
    "",
    "nonsense",
    "[]",
    "{}",
    {"state": 7},
    {"state": {"reported": []}},
    {"state": {"delta": {}}},
    {"state": {}, "serial": "CRM20-0002"},
    {"state": {}, "version": "1"},
    {"state": {}, "version": True},
    {"state": {}, "version": -1},
    {"state": {}, "version": 2**63},
    {"state": {}, "clientToken": 5},
    {"state": {}, "clientToken": "x" * 65},
    {"state": {"reported": {"readings": {}}}},
    {"state": {"reported": {"readings": [{}] * 1001}}},
    '{"state": {"reported": {"a": NaN}}}',
    '{"state": {"reported": {"a": 1e999999999999999999}}}',
    {"state": {"reported": {"a": "\ud800"}}},
    {"state": {"reported": {"a\x00": 1}}},
    {"state": {"reported": {"a": "x" * 9000}}},
]


def test_what_is_no_update_is_refused_in_words(firmware: Firmware) -> None:
    for body in NO_UPDATES:
        problem(firmware.patch(body), 400, body)
    assert not Shadow.objects.exists()


def test_a_machine_that_speaks_by_https_is_no_longer_told_by_mqtt(firmware: Firmware, machine: Device) -> None:
    shadow.update(machine, desired={"powerState": "OFF"}, door="mqtt")
    firmware.get()
    row = Shadow.objects.get()
    assert (row.door, row.due_at) == ("https", None)


def test_a_press_rings_once_however_often_it_is_told(firmware: Firmware, machine: Device, presses: list[Any]) -> None:
    pressed = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    said = {"type": "doorbell_press", "id": "press-1", "happened_at": pressed.isoformat()}
    first, again = firmware.post(EVENTS, said), firmware.post(EVENTS, said)
    assert (first.status_code, first.json()) == (201, {"id": "press-1", "status": "recorded"})
    assert (again.status_code, again.json()) == (200, {"id": "press-1", "status": "already known"})
    assert presses == [{"device_id": machine.pk, "event_id": "press-1", "pressed_at": pressed}]


def test_a_press_by_a_clock_that_was_never_set_happened_now(firmware: Firmware, presses: list[Any]) -> None:
    long_ago = {"type": "doorbell_press", "id": "p", "happened_at": "1970-01-01T00:00:00Z"}
    assert firmware.post(EVENTS, long_ago).status_code == 201
    assert datetime.now(UTC) - DeviceEvent.objects.get().happened_at < timedelta(minutes=1)
    assert len(presses) == 1


def test_a_press_from_the_future_happened_now(firmware: Firmware, presses: list[Any]) -> None:
    ahead = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
    assert firmware.post(EVENTS, {"type": "doorbell_press", "id": "p", "happened_at": ahead}).status_code == 201
    assert presses[0]["pressed_at"] <= datetime.now(UTC)


def test_a_press_with_an_offset_from_nowhere_is_kept(firmware: Firmware) -> None:
    """Python knows offsets up to 24 hours, PostgreSQL up to 16."""
    for number, (said, kept) in enumerate(
        [
            ("2026-11-21T10:00:00+16:00", datetime(2026, 11, 20, 18, tzinfo=UTC)),
            ("2026-11-21T10:00:00-23:59", datetime(2026, 11, 22, 9, 59, tzinfo=UTC)),
            ("0001-01-01T00:00:00+23:00", None),
            ("9999-12-31T23:59:59-23:00", None),
        ]
    ):
        press = {"type": "doorbell_press", "id": f"p{number}", "happened_at": said}
        assert firmware.post(EVENTS, press).status_code == 201, said
        row = DeviceEvent.objects.get(event_id=f"p{number}")
        assert row.happened_at == (kept or row.heard_at), said


def test_new_beans_bring_their_reading(firmware: Firmware) -> None:
    reading = {"slot": "beans", "sequence": 9, "value": 100}
    said = {"type": "consumable_replaced", "id": "bag-1", "slot": "beans", "reading": reading}
    answer = firmware.post(EVENTS, said)
    assert answer.json()["reading"] == {"slot": "beans", "sequence": 9, "status": "recorded"}
    assert Inventory.objects.get().value == 100
    assert DeviceEvent.objects.get().slot_id == "beans"
    assert firmware.post(EVENTS, said).json()["reading"]["status"] == "already known"


def test_a_reset_frees_the_machine_and_its_repetition_does_not_free_it_again(
    firmware: Firmware, machine: Device, bob: Any, crema: Any
) -> None:
    said = {"type": "factory_reset", "id": "reset-1", "epoch": 1}
    firmware.get()
    assert firmware.post(EVENTS, said).status_code == 201
    machine.refresh_from_db()
    assert machine.owner is None
    claimed_by_bob(machine, bob)
    assert firmware.post(EVENTS, said).json()["status"] == "already known"
    assert firmware.post(EVENTS, {"type": "factory_reset", "id": "reset-1b", "epoch": 1}).status_code == 201
    before = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    firmware.post(EVENTS, {"type": "factory_reset", "id": "late", "happened_at": before})
    machine.refresh_from_db()
    assert machine.owner == bob, "neither the repetition nor the old reset takes it from Bob"


def test_a_reset_without_a_time_by_a_machine_that_was_silent_since_the_claim_is_its_former_owners(
    firmware: Firmware, machine: Device, bob: Any
) -> None:
    """Alice reset it offline and sold it; Bob claimed it before he switched it on."""
    firmware.get()
    claimed_by_bob(machine, bob)
    assert firmware.post(EVENTS, {"type": "factory_reset", "id": "alices", "epoch": 1}).json()["status"] == "recorded"
    machine.refresh_from_db()
    assert (machine.owner, machine.reset_epoch) == (bob, 1)
    Device.objects.update(last_seen_at=datetime.now(UTC))
    firmware.post(EVENTS, {"type": "factory_reset", "id": "bobs", "epoch": 2})
    machine.refresh_from_db()
    assert machine.owner is None


def claimed_by_bob(machine: Device, bob: Any) -> None:
    import uuid

    Device.objects.filter(pk=machine.pk).update(owner=bob, ownership=uuid.uuid4(), claimed_at=datetime.now(UTC))


NO_EVENTS: list[tuple[Any, str]] = [
    ({"type": "explosion"}, "type"),
    ({"type": ["doorbell_press"]}, "type"),
    ({"id": ""}, "id"),
    ({"id": "a b"}, "id"),
    ({"id": "x" * 65}, "id"),
    ({"slot": 5}, "slot"),
    ({"slot": "\x00"}, "slot"),
    ({"slot": "milk"}, "slot"),
    ({"happened_at": "yesterday"}, "happened_at"),
    ({"happened_at": "2026-11-21T10:00:00"}, "happened_at"),
    ({"epoch": -1}, "epoch"),
    ({"epoch": True}, "epoch"),
    ({"reading": 5}, "reading"),
    ({"reading": {"slot": "beans"}}, "reading.sequence"),
    ({"owner": "me"}, "owner"),
]


def test_an_event_that_makes_no_sense_is_refused_by_field(firmware: Firmware) -> None:
    for change, field in NO_EVENTS:
        answer = firmware.post(EVENTS, {"type": "doorbell_press", "id": "1"} | change)
        assert field in [error["field"] for error in problem(answer, 400, change)["errors"]], change
    assert not DeviceEvent.objects.exists()


def test_a_machine_changes_its_own_key_and_a_lost_answer_is_no_harm(firmware: Firmware, machine: Device) -> None:
    lost = firmware.post(KEY, "")
    assert (lost.status_code, lost["Cache-Control"]) == (201, "no-store")
    kept = firmware.post(KEY, "").json()["key"]
    anew = Firmware(machine.serial_number, kept)
    assert anew.get().status_code == 200
    problem(Firmware(machine.serial_number, lost.json()["key"]).get(), 401)
    problem(firmware.post(KEY, ""), 409)
    assert firmware.get().status_code == 200, "the old key works a little longer"


def test_strangers_and_wrong_methods(machine: Device, firmware: Firmware) -> None:
    for path in (SHADOW, KEY, EVENTS):
        problem(Client().get(path), 401)
        assert problem(firmware.client.put(path, "{}", headers=firmware.headers), 405)
    problem(firmware.post(SHADOW, {}), 405)


def test_a_machine_touches_its_own_shadow_only(firmware: Firmware, crema: Any) -> None:
    other = registry.register("CRM20-0002", crema).device
    firmware.patch({"state": {"reported": {"powerState": "ON"}}})
    assert not Shadow.objects.filter(device=other).exists()


def test_when_the_database_is_away_the_machine_is_asked_to_send_again(firmware: Firmware, monkeypatch: Any) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("secret detail")

    monkeypatch.setattr(documents.shadow, "update", away)
    answer = firmware.patch({"state": {"reported": {"a": 1}}})
    assert "secret" not in str(problem(answer, 503))
