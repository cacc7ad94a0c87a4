"""A machine reads back what is recorded of it, page by page, as far as it is its owner's."""

import uuid
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from devices.models import Device
from tests.devices.test_device_api import READINGS, Firmware, problem


@pytest.fixture
def firmware(machine: Any) -> Firmware:
    return Firmware(machine.serial_number, machine.key)


def said(firmware: Firmware, *sequences: int, epoch: int = 0) -> None:
    readings = [{"slot": "beans", "sequence": n, "value": n % 101, "epoch": epoch} for n in sequences]
    assert {result["status"] for result in firmware.post({"readings": readings}).json()["results"]} == {"recorded"}


def walked(firmware: Firmware, address: str) -> list[list[int]]:
    """The sequences of each page, from this one on."""
    pages = []
    while address:
        answer = firmware.get(address)
        assert answer.status_code == 200, answer.content
        pages.append([row["sequence"] for row in answer.json()["results"]])
        address = answer.json()["next"]
    return pages


def test_a_reading_is_given_back_as_it_is_kept(firmware: Firmware) -> None:
    at = "2030-01-01T00:00:00Z"
    firmware.post({"slot": "beans", "sequence": 17, "value": 42.5, "measured_at": at})
    body = firmware.get(f"{READINGS}?slot=beans").json()
    [row] = body["results"]
    heard = row["heard_at"]
    assert row == {"slot": "beans", "epoch": 0, "sequence": 17, "value": 42.5, "measured_at": heard, "heard_at": heard}
    assert (body["next"], body["previous"]) == (None, None)


def test_pages_go_back_in_the_machines_own_order_and_miss_nothing(firmware: Firmware) -> None:
    said(firmware, 5, 1, 4, 2, 3, 2**63 - 1)
    assert walked(firmware, f"{READINGS}?slot=beans&page_size=4") == [[2**63 - 1, 5, 4, 3], [2, 1]]
    second = firmware.get(firmware.get(f"{READINGS}?slot=beans&page_size=4").json()["next"]).json()
    assert [row["sequence"] for row in firmware.get(second["previous"]).json()["results"]] == [2**63 - 1, 5, 4, 3]


def test_a_page_holds_a_thousand_at_most(firmware: Firmware) -> None:
    said(firmware, *range(1000))
    said(firmware, 1000)
    assert [len(page) for page in walked(firmware, f"{READINGS}?slot=beans&page_size=5000")] == [1000, 1]


def test_the_present_epoch_unless_another_is_asked_for(firmware: Firmware) -> None:
    said(firmware, 8, 9)
    said(firmware, 1, epoch=2)
    assert walked(firmware, f"{READINGS}?slot=beans") == [[1]]
    assert walked(firmware, f"{READINGS}?slot=beans&epoch=0") == [[9, 8]]


def test_a_new_owners_machine_gives_back_nothing_of_the_former_ones(firmware: Firmware, bob: Any) -> None:
    said(firmware, 1, 2)
    Device.objects.update(owner=bob, ownership=uuid.uuid4(), claimed_at=timezone.now())
    said(firmware, 3)
    assert walked(firmware, f"{READINGS}?slot=beans") == [[3]]
    Device.objects.update(owner=None, ownership=None, claimed_at=None)
    assert walked(firmware, f"{READINGS}?slot=beans") == [[]]


def test_what_cannot_be_answered_says_which_field(firmware: Firmware) -> None:
    for query in ("", "slot=milk", "slot=%00"):
        assert problem(firmware.get(f"{READINGS}?{query}"), 400, query)["errors"][0]["field"] == "slot", query
    for epoch in ("-1", "x", "99999999999"):
        answer = firmware.get(f"{READINGS}?slot=beans&epoch={epoch}")
        assert problem(answer, 400, epoch)["errors"][0]["field"] == "epoch", epoch


def test_a_cursor_of_somebody_elses_making_is_not_found(firmware: Firmware) -> None:
    for cursor in ("nonsense", "p=x", "p=-1", f"p={2**63}", f"p={'9' * 5000}", "o=x"):
        packed = quote(b64encode(cursor.encode()).decode())
        for text in (cursor, packed):
            answer = firmware.get(f"{READINGS}?slot=beans&cursor={quote(text)}")
            assert answer.status_code in (200, 404), (cursor, answer.content)
        if cursor.startswith("p="):
            problem(firmware.get(f"{READINGS}?slot=beans&cursor={packed}"), 404, cursor)


def test_a_stranger_reads_nothing(machine: Any) -> None:
    problem(Client().get(f"{READINGS}?slot=beans"), 401)
    problem(Firmware(machine.serial_number, "wrong").get(f"{READINGS}?slot=beans"), 401)


def test_a_host_that_is_not_ours_gets_no_links(firmware: Firmware) -> None:
    assert firmware.get(f"{READINGS}?slot=beans", Host="evil.example").status_code == 400
