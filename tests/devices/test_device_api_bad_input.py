"""What the device API says to nonsense: the right status, problem+json, nothing stored, and never our fault (5xx)."""

import gzip
import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices import throttles
from devices.models import Reading
from devices.parsers import LARGEST_BODY
from tests.devices.test_device_api import ME, READINGS, Firmware, problem
from tests.effort import examples

GOOD = {"slot": "beans", "sequence": 1, "value": 42.5}


@pytest.fixture
def firmware(machine: Any) -> Firmware:
    return Firmware(machine.serial_number, machine.key)


NO_READINGS = [
    b"",
    b"{",
    b"beans",
    b"null",
    b"7",
    b"[]",
    b'[{"slot": "beans", "sequence": 1, "value": 5}]',
    b"\xff\xfe{}",
    b"\x00",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"slot": "beans", "sequence": ' + b"9" * 5000 + b', "value": 1}',
    b'{"slot": "beans", "sequence": 1, "value": 5, "value": 6}',
    b'{"readings": []}',
    b'{"readings": {}}',
    b'{"readings": null}',
    b'{"readings": "beans"}',
    b'{"readings": [{"slot": "beans", "sequence": 1, "value": 5}], "more": 1}',
    b'{"readings": [{"slot": "beans", "slot": "milk", "sequence": 1, "value": 5}]}',
    json.dumps({"readings": [GOOD] * 1001}).encode(),
    b'{"slot": "beans", "sequence": 1, "value": 5} trailing',
]


def test_a_body_that_is_not_a_reading(firmware: Firmware) -> None:
    for body in NO_READINGS:
        problem(firmware.post(body), 400, body[:40])
    assert not Reading.objects.exists()


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"value": -0.5}, "value"),
    ({"value": 100.01}, "value"),
    ({"value": True}, "value"),
    ({"value": "many"}, "value"),
    ({"value": None}, "value"),
    ({"value": [1]}, "value"),
    ({"value": float("nan")}, "value"),
    ({"value": float("inf")}, "value"),
    ({"value": float("-inf")}, "value"),
    ({"value": 10**4000}, "value"),
    ({"sequence": -1}, "sequence"),
    ({"sequence": 2**63}, "sequence"),
    ({"sequence": 1.5}, "sequence"),
    ({"sequence": True}, "sequence"),
    ({"sequence": "1"}, "sequence"),
    ({"sequence": None}, "sequence"),
    ({"epoch": 2**31}, "epoch"),
    ({"epoch": -1}, "epoch"),
    ({"epoch": None}, "epoch"),
    ({"slot": "milk"}, "slot"),
    ({"slot": None}, "slot"),
    ({"slot": "\ud800"}, "slot"),
    ({"slot": "\x00"}, "slot"),
    ({"slot": "x" * 100_000}, "slot"),
    ({"measured_at": "yesterday"}, "measured_at"),
    ({"measured_at": 1763719200}, "measured_at"),
    ({"measured_at": "2026-11-21"}, "measured_at"),
    ({"measured_at": "2026-11-21T10:00:00"}, "measured_at"),
    ({"measured_at": "\ud800"}, "measured_at"),
    ({"level": 5}, "level"),
    ({"\ud800": 5}, "\\ud800"),
]


def test_a_reading_that_cannot_be_true(firmware: Firmware) -> None:
    for change, field in IMPOSSIBLE:
        answer = firmware.post(GOOD | change)
        body = problem(answer, 400, change)
        assert [error["field"] for error in body["errors"]] == [field], change
        assert len(answer.content) < 1000, change
    assert not Reading.objects.exists()
    assert firmware.post(GOOD).status_code == 201


def test_everything_that_is_missing_is_named(firmware: Firmware) -> None:
    body = problem(firmware.post({"level": 5}), 400)
    assert [error["field"] for error in body["errors"]] == ["slot", "sequence", "value", "level"]


def test_only_json_is_taken(firmware: Firmware) -> None:
    for content_type in ("text/plain", "application/xml", "multipart/form-data; boundary=x", "", "json"):
        problem(firmware.post(json.dumps(GOOD), content_type=content_type), 415, content_type)
    problem(firmware.post("slot=beans&sequence=1", content_type="application/x-www-form-urlencoded"), 415)
    for sequence, spelling in enumerate(("application/json; charset=utf-8", "APPLICATION/JSON")):
        answer = firmware.post(json.dumps(GOOD | {"sequence": sequence}), content_type=spelling)
        assert answer.status_code == 201, spelling


def test_a_body_in_chunks_is_not_taken_for_an_empty_one(firmware: Firmware) -> None:
    headers = firmware.headers | {"Transfer-Encoding": "chunked"}
    chunked = firmware.client.generic("POST", READINGS, b"", "application/json", headers=headers)
    assert "errors" not in problem(firmware.post(b""), 400)  # nothing was refused, so nothing may be thrown away
    assert "Content-Length" in problem(chunked, 411)["detail"]


def test_a_body_that_is_too_large_is_said_to_be(firmware: Firmware) -> None:
    for size in (LARGEST_BODY + 1, 10 * 1024 * 1024):
        problem(firmware.post(b" " * size), 413, size)
        problem(Client().post(READINGS, b" " * size, content_type="application/json"), 413, size)


def test_a_body_just_small_enough_is_read(firmware: Firmware) -> None:
    raw = json.dumps(GOOD).encode()
    assert firmware.post(raw + b" " * (LARGEST_BODY - len(raw))).status_code == 201


def test_a_wrong_method_is_405(firmware: Firmware) -> None:
    for method, path in [("put", READINGS), ("delete", READINGS), ("post", ME), ("options", ME), ("patch", ME)]:
        answer = getattr(firmware.client, method)(path, headers=firmware.headers)
        problem(answer, 405, (method, path))
        assert answer["Allow"], (method, path)


def test_an_unknown_address_is_404(client: Client) -> None:
    for path in ("", "nothing", "readings/", "me/", "readings/1", "..%2fadmin"):
        for method in ("get", "post", "put", "options"):
            problem(getattr(client, method)(f"/api/v1/{path}"), 404, (method, path))


def test_the_rest_of_the_site_keeps_its_own_errors(client: Client, db: None) -> None:
    assert "json" not in client.get("/no-such-page")["Content-Type"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["beans", 1, 50]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
readings = st.dictionaries(st.sampled_from(["slot", "sequence", "value", "measured_at", "epoch", "x"]), json_values)


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=json_values | readings | st.fixed_dictionaries({"readings": st.lists(readings | json_values, max_size=4)}))
def test_no_json_whatever_makes_us_fail(firmware: Firmware, body: Any) -> None:
    throttles.forget()
    assert firmware.post(json.dumps(body)).status_code in {200, 201, 400}


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200),
    header=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60),
)
def test_no_bytes_whatever_make_us_fail(firmware: Firmware, body: bytes, header: str) -> None:
    throttles.forget()
    assert firmware.post(body).status_code in {200, 201, 400}
    assert firmware.client.get(ME, headers={"Authorization": header}).status_code == 401
    assert firmware.client.get(ME, headers={"Authorization": f"Basic {header}"}).status_code == 401


def test_a_number_of_thousands_of_digits_spoils_only_its_own_reading(firmware: Firmware) -> None:
    items = [json.dumps(GOOD | {"sequence": number}) for number in (1, 2, 3)]
    items += [
        f'{{"slot": "beans", "sequence": {"9" * 5000}, "value": 1}}',
        f'{{"slot": "beans", "sequence": 4, "value": {"9" * 5000}}}',
    ]
    results = firmware.post(f'{{"readings": [{", ".join(items)}]}}').json()["results"]
    assert [result["status"] for result in results] == ["recorded"] * 3 + ["refused"] * 2
    assert [result["field"] for result in results[3:]] == ["sequence", "value"]


def test_a_compressed_body_is_turned_away_in_words(firmware: Firmware) -> None:
    packed = gzip.compress(json.dumps(GOOD).encode())
    answer = firmware.post(packed, **{"Content-Encoding": "gzip"})
    assert "without Content-Encoding" in problem(answer, 415)["detail"]
    assert firmware.post(GOOD, **{"Content-Encoding": "identity"}).status_code == 201
