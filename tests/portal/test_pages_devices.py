"""My devices, one device, renaming, removing and adding: for the owner; for everybody else they do not exist."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import inventory, registry
from devices.models import ClaimAttempt, Device, Inventory
from skill.models import AlexaGrant, Endpoint
from tests.portal.household import claimed, ordered, owned_for, reported
from tests.portal.markup import faults, page_of

ADDRESS = "/devices/CRM20-0001/"


@pytest.fixture
def hers(client: Any, machine: Any) -> Any:
    """A browser in which Alice is signed in, and her coffee machine."""
    client.force_login(machine.owner)
    return client


def test_the_list_shows_level_and_name(hers: Any, machine: Any) -> None:
    registry.rename(machine, "Kitchen machine")
    reported(machine, "41.5")
    page = page_of(hers.get("/devices/"))
    assert "Kitchen machine" in page.text
    assert "41 %" in page.text
    meter = next(e for e in page.elements if e.attributes.get("role") == "meter")
    assert meter.attributes["aria-valuenow"] == "41.5"
    assert meter.attributes["aria-valuetext"] == "41 %, fine"
    assert faults(page) == []


def test_a_new_owner_sees_no_use_and_no_hour_of_the_former_one(client: Any, machine: Any, bob: Any, crema: Any) -> None:
    """What is left in the machine stays in it; when she last filled it and how much she used is her own business."""
    crema.slots.create(slot_id="pods", name="Pods", sensor="usage", measurement="Count", instance="Pods.Drawer")
    said = [inventory.Measurement("beans", 1, Decimal(41)), inventory.Measurement("pods", 1, Decimal(7))]
    inventory.record_reading(machine, said, timezone.now() - timedelta(days=3))
    Device.objects.update(owner=bob, ownership=uuid.uuid4(), claimed_at=timezone.now())
    client.force_login(bob)
    for address in ("/devices/", ADDRESS):
        page = page_of(client.get(address))
        assert "41 %" in page.text
        assert "7 used last" not in page.text
        assert "no reading yet" in page.text
    machine.refresh_from_db()
    assert f"Measured {machine.claimed_at:%-d %b %Y, %H:%M} UTC" in page.text
    inventory.record_reading(machine, [inventory.Measurement("pods", 2, Decimal(1))], timezone.now())
    assert "1 used last" in page_of(client.get(ADDRESS)).text


def test_what_runs_low_comes_first_and_says_so(hers: Any, machine: Any, crema: Any) -> None:
    second = claimed(machine.owner, crema, "CRM20-0002", "Office")
    registry.rename(machine, "A machine that is full")
    reported(machine, "90")
    reported(second, "12")
    page = page_of(hers.get("/devices/"))
    assert [e.text for e in page.all("h3")] == ["Office", "A machine that is full"]
    assert page.text_of("article").count("Low") == 1


def test_without_devices_the_list_says_how_to_add_one(client: Any, alice: Any) -> None:
    client.force_login(alice)
    page = page_of(client.get("/devices/"))
    assert "No device yet" in page.text
    assert any(e.attributes.get("href") == "/devices/add/" for e in page.all("a"))
    assert faults(page) == []


def test_the_number_of_queries_does_not_depend_on_how_much_there_is(hers: Any, machine: Any, crema: Any) -> None:
    reported(owned_for(machine, 10), "50", "40")
    ordered(machine)
    few = queries(hers)
    for number in range(2, 6):
        other = owned_for(claimed(machine.owner, crema, f"CRM20-000{number}", f"Machine {number}"), 10)
        reported(other, "50", "40", "30")
        ordered(other)
        ordered(machine, "SHIPPED")
    assert queries(hers) == few
    assert max(few.values()) <= 14


def queries(hers: Any) -> dict[str, int]:
    """How many each page needs."""
    needed = {}
    for address in ("/devices/", "/", ADDRESS, "/orders/"):
        with CaptureQueriesContext(connection) as asked:
            assert hers.get(address).status_code == 200
        needed[address] = len(asked)
    return needed


def test_one_device_shows_level_history_orders_and_facts(hers: Any, machine: Any) -> None:
    reported(owned_for(machine, 10), "90", "80", "70", "19")
    ordered(machine)
    page = page_of(hers.get(ADDRESS))
    for words in ("19 %", "Low", "CRM20-0001", "B00BEANS01", "24 Dec 2030"):
        assert words in page.text
    assert faults(page) == []
    chart = next(e for e in page.all("svg") if e.attributes.get("role") == "img")
    for words in ("How Coffee beans went", "From 90 %", "lowest 19 %"):
        assert words in chart.text, "the chart has words"
    table = next(e for e in page.all("table") if "last reading of each day" in e.text)
    assert len([e for e in table.inside if e.tag == "tr"]) == 5, "and a table"


def test_what_alexa_knows_of_it(hers: Any, machine: Any) -> None:
    assert "Not linked" in page_of(hers.get(ADDRESS)).text
    now = timezone.now()
    link = AlexaGrant.objects.create(user=machine.owner, region="NA", accepted_at=now, expires_at=now)
    assert "First report is due" in page_of(hers.get(ADDRESS)).text
    endpoint = Endpoint.objects.create(
        grant=link, device=machine, endpoint_id=str(machine.ownership), region="NA", due_at=now
    )
    assert "First report is due" in page_of(hers.get(ADDRESS)).text
    endpoint.reported_at = datetime(2026, 11, 20, 8, 15, tzinfo=UTC)
    endpoint.save()
    page = page_of(hers.get(ADDRESS))
    assert "Alexa was last told what is left 20 Nov 2026, 08:15 UTC" in page.text
    assert faults(page) == []


def test_a_device_that_never_reported_says_so(hers: Any) -> None:
    page = page_of(hers.get(ADDRESS))
    assert "no reading yet" in page.text
    assert "It shows here as soon as the device reports." in page.text
    assert faults(page) == []


def test_readings_from_before_the_claim_are_not_shown(hers: Any, machine: Any) -> None:
    reported(owned_for(machine, 10), "11", "12", "13")
    owned_for(machine, 1)
    page = page_of(hers.get(ADDRESS))
    table = next(e for e in page.all("table") if "last reading" in e.text)
    assert "13 %" in table.text
    assert "11 %" not in table.text


def test_many_readings_are_thinned_before_they_are_fetched(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from devices.models import Reading
    from portal import pages

    monkeypatch.setattr(pages, "CHART_POINTS", 50)
    now = timezone.now()
    slot = machine.device_model.slots.get()
    Reading.objects.bulk_create(
        Reading(device=machine, slot=slot, sequence=n, value=50, measured_at=at, heard_at=at)
        for n in range(500)
        for at in [now - timedelta(minutes=500 - n)]
    )
    points = pages._points(owned_for(machine, 10), now)[slot.pk]
    assert pages.CHART_POINTS <= len(points) <= pages.CHART_POINTS + 2
    assert max(point.at for point in points) == now - timedelta(minutes=1)


def test_a_stranger_is_told_that_it_does_not_exist(client: Any, machine: Any, bob: Any) -> None:
    client.force_login(bob)
    for name in ("", "rename/", "release/"):
        ask = client.post if name else client.get
        answers = [ask(address + name, {"name": "Mine now"}) for address in (ADDRESS, "/devices/NOWHERE-1/")]
        assert [answer.status_code for answer in answers] == [404, 404], name
    machine.refresh_from_db()
    assert (machine.owner.email, machine.name) == ("alice@example.com", "Crema 20")


def test_a_stranger_sees_none_of_her_devices_in_his_list(client: Any, machine: Any, bob: Any) -> None:
    client.force_login(bob)
    assert "Crema 20" not in page_of(client.get("/devices/")).text


def test_signed_out_one_is_asked_to_sign_in_first(client: Any, machine: Any) -> None:
    for address in ("/devices/", ADDRESS, ADDRESS + "release/", "/devices/add/", "/orders/", "/account/"):
        answer = client.get(address)
        assert (answer.status_code, answer.url) == (302, f"/accounts/login/?next={address}")


def test_an_impossible_serial_number_is_not_found(hers: Any) -> None:
    for serial in ("%00", "a%00b", "..%2F..", "x" * 500, "%F0%9F%92%A9"):
        assert hers.get(f"/devices/{serial}/").status_code == 404, serial


def test_renaming(hers: Any, machine: Any) -> None:
    answer = hers.post(ADDRESS + "rename/", {"name": "  Espresso corner "}, follow=True)
    assert answer.redirect_chain == [(ADDRESS, 302)]
    assert "This device is now called “Espresso corner”." in page_of(answer).text
    machine.refresh_from_db()
    assert machine.name == "Espresso corner"


def test_a_name_that_is_refused_is_answered_at_the_field(hers: Any, machine: Any) -> None:
    for name in ("", "   ", "x" * 129, "Coffee <b>"):
        answer = hers.post(ADDRESS + "rename/", {"name": name})
        page = page_of(answer)
        assert answer.status_code == 400, name
        field = next(e for e in page.all("input") if e.attributes.get("name") == "name")
        assert field.attributes["aria-invalid"] == "true", name
        assert "id_name_error" in field.attributes["aria-describedby"], name
        assert page.text_of("h1") == "Crema 20", name
        assert faults(page) == [], name
    machine.refresh_from_db()
    assert machine.name == "Crema 20"


def test_renaming_is_post_only(hers: Any) -> None:
    assert hers.get(ADDRESS + "rename/").status_code == 405


def test_removing_asks_first_and_does_it_once(hers: Any, machine: Any) -> None:
    page = page_of(hers.get(ADDRESS + "release/"))
    assert "Remove “Crema 20” from your account?" in page.text
    assert faults(page) == []
    machine.refresh_from_db()
    assert machine.owner is not None
    answer = hers.post(ADDRESS + "release/", follow=True)
    assert "“Crema 20” is no longer in your account." in page_of(answer).text
    machine.refresh_from_db()
    assert machine.owner is None
    assert hers.post(ADDRESS + "release/").status_code == 404


def test_adding_a_device_with_what_is_printed_on_it(client: Any, bob: Any, crema: Any) -> None:
    code = registry.register("CRM20-0009", crema).claim_code
    client.force_login(bob)
    answer = client.post("/devices/add/", {"serial_number": " CRM20-0009 ", "claim_code": code.lower()}, follow=True)
    assert answer.redirect_chain == [("/devices/CRM20-0009/", 302)]
    assert Device.objects.get(serial_number="CRM20-0009").owner == bob


def value_of(page: Any, name: str) -> str:
    field = next(e for e in page.all("input") if e.attributes.get("name") == name)
    return str(field.attributes.get("value", ""))


def test_the_labels_link_fills_the_form_in_and_claims_nothing_by_itself(client: Any, bob: Any, crema: Any) -> None:
    code = registry.register("CRM20-0009", crema).claim_code
    link = f"/devices/add/?serial=CRM20-0009&code={code}"
    assert client.get(link).url == f"/accounts/login/?next=/devices/add/%3Fserial%3DCRM20-0009%26code%3D{code}"
    client.force_login(bob)
    page = page_of(client.get(link))
    assert (value_of(page, "serial_number"), value_of(page, "claim_code")) == ("CRM20-0009", code)
    assert "Press Add" in page.text
    assert faults(page) == []
    assert Device.objects.get(serial_number="CRM20-0009").owner is None
    client.post(link, {"serial_number": "CRM20-0009", "claim_code": code})
    assert Device.objects.get(serial_number="CRM20-0009").owner == bob


def test_a_strange_link_is_only_a_form(client: Any, bob: Any) -> None:
    client.force_login(bob)
    for asked, shown in (("", ""), ("?serial=a%00b", ""), ("?serial=" + "x" * 999, "x" * 64)):
        answer = client.get(f"/devices/add/{asked}")
        assert answer.status_code == 200, asked
        assert value_of(page_of(answer), "serial_number") == shown
    escaped = client.get("/devices/add/", {"serial": '"><script>alert(1)</script>'}).content
    assert b"<script>alert" not in escaped


def test_support_knows_from_where_a_refused_claim_came(client: Any, bob: Any) -> None:
    client.force_login(bob)
    page = page_of(client.post("/devices/add/", {"serial_number": "CRM20-9999", "claim_code": "WRNGC0DE"}))
    reference = next(e.text for e in page.all("span") if e.attributes.get("class") == "code")
    attempt = ClaimAttempt.objects.get(reference=reference)
    assert (attempt.cause, attempt.address, attempt.customer) == ("unknown", "127.0.0.1", bob)


def test_behind_the_proxy_an_address_cannot_be_invented(client: Any, bob: Any, settings: Any) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    client.force_login(bob)
    said = {"serial_number": "CRM20-9999", "claim_code": "WRNGC0DE"}
    client.post("/devices/add/", said, headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.9"})
    assert ClaimAttempt.objects.get().address == "203.0.113.9"


def test_unknown_wrong_and_taken_read_the_same(client: Any, bob: Any, machine: Any, crema: Any) -> None:
    registry.register("CRM20-0009", crema)
    client.force_login(bob)
    texts = set()
    for serial in ("CRM20-9999", "CRM20-0009", machine.serial_number, "not a serial / at all"):
        answer = client.post("/devices/add/", {"serial_number": serial, "claim_code": "WRNGC0DE"})
        assert answer.status_code == 400
        page = page_of(answer)
        reference = next(e.text for e in page.all("span") if e.attributes.get("class") == "code")
        texts.add(page.text.replace(reference, ""))
        assert faults(page) == []
    assert len(texts) == 1
    assert "We could not add this device." in texts.pop()


def test_the_cause_of_a_refused_claim_is_in_our_log_under_the_reference(
    client: Any, bob: Any, crema: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(bob)
    page = page_of(client.post("/devices/add/", {"serial_number": "CRM20-9999", "claim_code": "SECRETCODE"}))
    reference = next(e.text for e in page.all("span") if e.attributes.get("class") == "code")
    [line] = [record.getMessage() for record in caplog.records if "claim refused" in record.getMessage()]
    assert reference in line
    assert "SECRETCODE" not in caplog.text


def test_too_many_attempts_are_told_to_wait(client: Any, bob: Any, machine: Any) -> None:
    client.force_login(bob)
    wrong = {"serial_number": machine.serial_number, "claim_code": "WRNGC0DE"}
    answers = [client.post("/devices/add/", wrong) for _ in range(12)]
    assert [answer.status_code for answer in answers[:3]] == [400, 400, 400]
    assert answers[-1].status_code == 429
    assert "wait an hour" in page_of(answers[-1]).text


def test_adding_without_a_code_is_answered_at_the_field(client: Any, bob: Any) -> None:
    client.force_login(bob)
    answer = client.post("/devices/add/", {"serial_number": "CRM20-0009", "claim_code": ""})
    page = page_of(answer)
    assert answer.status_code == 400
    field = next(e for e in page.all("input") if e.attributes.get("name") == "claim_code")
    assert field.attributes["aria-invalid"] == "true"
    assert "We could not add" not in page.text
    assert faults(page) == []


def test_the_level_on_the_page_is_the_state_not_the_last_arrival(hers: Any, machine: Any) -> None:
    reported(owned_for(machine, 10), "60", "55", first=5)
    reported(machine, "99", first=1)
    assert Inventory.objects.get(device=machine).value == 55
    assert "55 %" in page_of(hers.get("/devices/")).text
