"""The device API as a coffee machine's firmware sees it."""

import base64
import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from devices import registry, throttles, views
from devices.models import Device, Inventory, Reading

READINGS, ME, SHADOW = "/api/v1/readings", "/api/v1/me", "/api/v1/shadow"


def basic(serial: str, key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{serial}:{key}".encode()).decode()}


class Firmware:
    """Alice's machine on the wire."""

    def __init__(self, serial: str, key: str) -> None:
        self.client, self.headers = Client(raise_request_exception=False), basic(serial, key)

    def post(self, body: Any, content_type: str = "application/json", **headers: str) -> Any:
        raw = body if isinstance(body, str | bytes) else json.dumps(body)
        return self.client.post(READINGS, raw, content_type=content_type, headers=self.headers | headers)

    def get(self, path: str = ME, **headers: str) -> Any:
        return self.client.get(path, headers=self.headers | headers)


@pytest.fixture
def firmware(machine: Any) -> Firmware:
    return Firmware(machine.serial_number, machine.key)


def problem(answer: Any, status: int, asked: Any = "") -> dict[str, Any]:
    """What is wrong with what was asked; of many, `asked` says which one was answered otherwise."""
    assert answer.status_code == status, (asked, answer.content)
    assert answer["Content-Type"] == "application/problem+json", asked
    body = answer.json()
    assert body["type"] == "about:blank", asked
    assert body["title"], asked
    assert body["detail"], asked
    assert body["status"] == status, asked
    return body


def test_one_reading_is_recorded(firmware: Firmware) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    answer = firmware.post({"slot": "beans", "sequence": 17, "value": 42.1, "measured_at": now.isoformat(), "epoch": 2})
    assert answer.status_code == 201
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == {"slot": "beans", "sequence": 17, "status": "recorded"}
    reading = Reading.objects.get()
    assert (reading.value, reading.measured_at, reading.epoch) == (Decimal("42.1"), now, 2)


def test_the_same_again_is_known_and_stored_once(firmware: Firmware) -> None:
    said = {"slot": "beans", "sequence": 17, "value": 42.1}
    firmware.post(said)
    again = firmware.post(said)
    assert (again.status_code, again.json()) == (200, {"slot": "beans", "sequence": 17, "status": "already known"})
    other = firmware.post(said | {"value": 7})
    assert other.status_code == 200
    assert other.json()["status"] == "already known"
    assert "differs" in other.json()["reason"]
    assert Inventory.objects.get().value == Decimal("42.1")


def test_a_level_too_high_is_refused_with_field_and_advice(firmware: Firmware) -> None:
    body = problem(firmware.post({"slot": "beans", "sequence": 1, "value": 101}), 400)
    [error] = body["errors"]
    assert error["field"] == "value"
    assert "101" in error["reason"]
    assert "0 to 100" in error["reason"]
    assert not Reading.objects.exists()


def test_an_offline_buffer_is_answered_one_by_one(firmware: Firmware) -> None:
    firmware.post({"slot": "beans", "sequence": 1, "value": 90})
    answer = firmware.post(
        '{"readings": [{"slot": "beans", "sequence": 1, "value": 90}, {"slot": "beans", "sequence": 2, "value": NaN},'
        ' {"slot": "beans", "sequence": 3, "value": 85}, 7, {"slot": "milk", "sequence": 4, "value": 1},'
        ' {"slot": "beans", "sequence": 5}, {"slot": "beans", "sequence": 6, "value": 1e999999999999999999999}]}'
    )
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [
        "already known",
        "refused",
        "recorded",
        "refused",
        "refused",
        "refused",
        "refused",
    ]
    assert [result["sequence"] for result in results] == [1, 2, 3, None, 4, 5, 6]
    assert [result.get("field") for result in results] == [None, "value", None, None, "slot", "value", "value"]
    assert all("reason" in result for result in results if result["status"] == "refused")
    assert Reading.objects.count() == 2


def test_a_thousand_at_once(firmware: Firmware) -> None:
    readings = [{"slot": "beans", "sequence": n, "value": n % 101} for n in range(1000)]
    answer = firmware.post({"readings": readings})
    assert [result["status"] for result in answer.json()["results"]] == ["recorded"] * 1000
    assert Reading.objects.count() == 1000


def test_a_machine_that_lost_its_memory_asks_where_it_stood(firmware: Firmware, crema: Any) -> None:
    crema.slots.create(slot_id="milk", name="Milk", measurement="Volume", unit="MILLILITER", instance="Milk.Tank")
    firmware.post({"slot": "beans", "sequence": 41, "value": 60, "epoch": 3})
    answer = firmware.get()
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == {
        "serial": "CRM20-0001",
        "model": "CREMA-20",
        "slots": [
            {
                "slot": "beans",
                "instance": "Beans.Hopper",
                "sensor": "level",
                "measurement": "Percentage",
                "unit": None,
                "epoch": 3,
                "sequence": 41,
            },
            {
                "slot": "milk",
                "instance": "Milk.Tank",
                "sensor": "level",
                "measurement": "Volume",
                "unit": "MILLILITER",
                "epoch": None,
                "sequence": None,
            },
        ],
    }


def test_unknown_serial_wrong_key_and_no_key_look_the_same(machine: Any, crema: Any) -> None:
    other = registry.register("CRM20-0002", crema)
    answers = [
        Client().post(READINGS, "{}", content_type="application/json", headers=headers)
        for headers in (
            basic("CRM20-0001", "wrong"),
            basic("CRM20-0001", other.key),
            basic("CRM20-9999", machine.key),
            basic("nul\x00", machine.key),
            basic("", ""),
            {"Authorization": "Basic !!!"},
            {"Authorization": "Basic /////w=="},
            {"Authorization": "Bearer x"},
            {"Authorization": "Basic"},
        )
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer["WWW-Authenticate"] for answer in answers} == {'Basic realm="device"'}
    assert len({answer.content for answer in answers}) == 1
    problem(answers[0], 401)
    without = Client().post(READINGS, "{}", content_type="application/json")
    problem(without, 401)
    assert without["WWW-Authenticate"] == 'Basic realm="device"'


def test_two_keys_work_during_a_rotation_and_none_after_a_revocation(machine: Any, firmware: Firmware) -> None:
    assert firmware.get().status_code == 200
    renewed = Firmware("CRM20-0001", registry.rotate_key(machine))
    assert [firmware.get().status_code, renewed.get().status_code] == [200, 200]
    registry.revoke_keys(machine)
    problem(firmware.get(), 401)
    problem(renewed.get(), 401)


def test_a_browser_session_is_no_key(machine: Any, alice: Any, client: Any) -> None:
    client.force_login(alice)
    assert client.get(ME).status_code == 401


def test_a_machine_reports_for_itself_only(firmware: Firmware, crema: Any) -> None:
    other = registry.register("CRM20-0002", crema).device
    problem(firmware.post({"slot": "beans", "sequence": 1, "value": 5, "serial": "CRM20-0002"}), 400)
    firmware.post({"slot": "beans", "sequence": 1, "value": 5})
    assert not Reading.objects.filter(device=other).exists()


def test_too_many_failures_from_one_address_are_slowed_down_but_the_right_key_is_not(
    firmware: Firmware, monkeypatch: Any
) -> None:
    monkeypatch.setattr(throttles, "time", SimpleNamespace(time=lambda: 90.0))  # the minute does not turn meanwhile
    for _ in range(throttles.FAILURES_PER_MINUTE):
        assert Client().get(ME, headers=basic("CRM20-0001", "wrong")).status_code == 401
    slowed = Client().get(ME, headers=basic("CRM20-0001", "wrong"))
    problem(slowed, 429)
    assert 1 <= int(slowed["Retry-After"]) <= 61
    assert firmware.get().status_code == 200


def test_a_machine_gone_wild_is_told_when_to_come_back(firmware: Firmware, settings: Any, crema: Any) -> None:
    settings.DEVICE_REQUESTS_PER_MINUTE = 3
    other = registry.register("CRM20-0002", crema)
    answers = [firmware.get() for _ in range(7)]  # more than twice the limit: the minute may turn meanwhile
    assert answers[0].status_code == 200
    slowed = answers[-1]
    problem(slowed, 429)
    assert 1 <= int(slowed["Retry-After"]) <= 61
    assert Firmware("CRM20-0002", other.key).get().status_code == 200


def test_when_the_database_is_away_the_machine_is_asked_to_send_again(firmware: Firmware, monkeypatch: Any) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("server closed the connection unexpectedly: secret detail")

    monkeypatch.setattr(views, "record_reading", away)
    answer = firmware.post({"slot": "beans", "sequence": 1, "value": 5})
    assert "secret" not in str(problem(answer, 503))
    assert answer["Retry-After"] == "10"


class Dribble(BytesIO):
    """A body by a radio that is far away; or that ends before it is said to."""

    pause, breaks = 0.0, False

    def read(self, size: int | None = -1) -> bytes:
        time.sleep(self.pause)
        if self.breaks:
            raise OSError("the line is broken")
        return super().read(size)


@pytest.mark.parametrize("path", [READINGS, SHADOW])
def test_a_body_may_come_slowly(firmware: Firmware, monkeypatch: Any, path: str) -> None:
    """What is limited is the time that the database may take; else the same upload would be cut again and again."""
    monkeypatch.setattr(views, "ANSWER_SECONDS", 0.5)
    body = {"slot": "beans", "sequence": 1, "value": 5}
    raw = json.dumps(body if path == READINGS else {"state": {"reported": {"readings": [body]}}}).encode()
    said = Dribble(raw)
    said.pause = 0.8
    answer = firmware.client.generic(
        "POST" if path == READINGS else "PATCH",
        path,
        raw,
        "application/json",
        headers=firmware.headers,
        **{"wsgi.input": said},
    )
    assert answer.status_code in (200, 201), answer.content
    assert Inventory.objects.get().value == 5


def test_a_body_that_ends_early_is_refused_in_words(firmware: Firmware) -> None:
    said = Dribble(b'{"slot": ')
    said.breaks = True
    answer = firmware.client.post(
        READINGS, b"x" * 50, content_type="application/json", headers=firmware.headers, **{"wsgi.input": said}
    )
    assert "early" in problem(answer, 400)["detail"]


def test_our_own_fault_is_a_problem_without_details(firmware: Firmware, monkeypatch: Any, caplog: Any) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(views, "record_reading", broken)
    body = problem(firmware.post({"slot": "beans", "sequence": 1, "value": 5}), 500)
    assert "secret" not in str(body)
    assert "unexpected RuntimeError" in caplog.text


def test_no_key_is_ever_logged(firmware: Firmware, machine: Any, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    firmware.post({"slot": "beans", "sequence": 1, "value": 5})
    Client().get(ME, headers=basic("CRM20-0001", "a-wrong-key-of-someone"))
    assert machine.key not in caplog.text
    assert "a-wrong-key-of-someone" not in caplog.text


def test_any_accept_header_is_answered_in_json(firmware: Firmware) -> None:
    for accept in ("text/html", "application/xml;q=0.9", "nonsense", ""):
        assert firmware.get(Accept=accept).json()["serial"] == "CRM20-0001"
    assert firmware.get(f"{ME}?format=xml").status_code == 200


@pytest.mark.parametrize(("claimed", "because"), [("2099-01-01T00:00:00Z", "future"), ("1970-01-01T00:00:00Z", "2000")])
def test_a_clock_that_cannot_be_right_is_flagged_and_loses_nothing(
    firmware: Firmware, machine: Device, claimed: str, because: str
) -> None:
    said = {"slot": "beans", "sequence": 1, "value": 5, "measured_at": claimed}
    answer = firmware.post(said)
    assert (answer.status_code, answer.json()["status"], answer.json()["field"]) == (201, "recorded", "measured_at")
    assert because in answer.json()["reason"]
    reading = Reading.objects.get()
    assert reading.measured_at == reading.heard_at
    flagged = Device.objects.get(pk=machine.pk).clock_doubted_at
    assert flagged == reading.heard_at

    assert firmware.post(said).json()["status"] == "already known"
    firmware.post({"slot": "beans", "sequence": 2, "value": 4, "measured_at": datetime.now(UTC).isoformat()})
    assert Device.objects.get(pk=machine.pk).clock_doubted_at == flagged


def test_speaking_brings_a_machine_back_online(firmware: Firmware, machine: Device) -> None:
    Device.objects.update(online=False)
    firmware.get()
    machine.refresh_from_db()
    assert machine.online
