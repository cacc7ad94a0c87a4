"""The registry as support sees it: the same verbs, no secrets, no full counts."""

import csv
import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices import paging, registry
from devices.inventory import Measurement, record_reading
from devices.models import Device, DeviceModel, Reading
from devices.paging import EstimatedPaginator

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
DEVICES = "/admin/devices/device/"


@pytest.fixture
def staff(db: None, django_user_model: Any) -> Client:
    client = Client()
    client.force_login(django_user_model.objects.create_superuser("sam@example.com", "a long enough password"))
    return client


def reader(django_user_model: Any) -> Client:
    """Somebody of the staff who may look at devices and nothing else."""
    user = django_user_model.objects.create_user("rita@example.com", "a long enough password", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="devices", codename__startswith="view"))
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, action: str, *devices: Device, **manner: bool) -> Any:
    form = {"action": action, "_selected_action": [device.pk for device in devices]}
    return client.post(DEVICES, form | {"reason": "Ticket 4711"}, **manner)


def test_every_list_and_page_opens_without_a_secret_and_ledgers_are_for_looking(staff: Client, machine: Device) -> None:
    record_reading(machine, [Measurement("beans", 1, Decimal(50))], NOW)
    for name in ("devicemodel", "slot", "device", "inventory", "reading"):
        listed = staff.get(f"/admin/devices/{name}/")
        assert listed.status_code == 200, name
        first = re.search(rf'href="(/admin/devices/{name}/\d+/)change/', listed.content.decode())
        assert first, name
        shown = staff.get(f"{first[1]}change/")
        assert shown.status_code == 200, name
        for secret in (machine.key_hash, machine.claim_code_hash):
            assert secret not in listed.content.decode() + shown.content.decode(), name
        if name in ("inventory", "reading"):
            assert staff.get(f"/admin/devices/{name}/add/").status_code == 403, name
            assert staff.post(f"{first[1]}change/", {"value": 1}).status_code == 403, name
            assert staff.post(f"{first[1]}delete/", {"post": "yes"}).status_code == 403, name


def test_search_finds_a_unit_by_serial_number_or_owner(staff: Client, machine: Device, crema: DeviceModel) -> None:
    registry.register("ZZZ-1", crema)
    for asked in ("CRM20-0001", "alice@example.com"):
        page = staff.get(DEVICES, {"q": asked}).content.decode()
        assert "CRM20-0001" in page
        assert "ZZZ-1" not in page


def test_adding_a_unit_registers_it_and_shows_its_secrets_once(staff: Client, crema: DeviceModel, alice: Any) -> None:
    form = {"serial_number": "CRM20-0077", "device_model": crema.pk, "name": ""}
    form |= {"inventories-TOTAL_FORMS": 0, "inventories-INITIAL_FORMS": 0}
    page = staff.post(f"{DEVICES}add/", form, follow=True).content.decode()
    shown = re.search(r"key (\S{43}), claim code (\w{8})", page)
    assert shown, page
    device = Device.objects.get()
    assert device.key_hash == registry.hash_key(shown[1])
    assert device.name == "Crema 20"
    assert registry.claim(alice, "CRM20-0077", shown[2]).owner_id == alice.pk
    assert shown[1] not in staff.get(DEVICES).content.decode()


def test_renaming_is_the_verb_with_its_refusals(staff: Client, machine: Device) -> None:
    rows = ("inventories", "endpoints", "orders")
    form = {"name": "Kitchen!"} | {f"{name}-{count}_FORMS": 0 for name in rows for count in ("TOTAL", "INITIAL")}
    page = staff.post(f"{DEVICES}{machine.pk}/change/", form)
    assert "please leave out: !" in page.content.decode()
    staff.post(f"{DEVICES}{machine.pk}/change/", form | {"name": " Kitchen  two ", "key_hash": "0" * 64})
    machine.refresh_from_db()
    assert machine.name == "Kitchen two"
    assert machine.key_hash != "0" * 64


def test_a_new_key_is_shown_once(staff: Client, machine: Device) -> None:
    page = act(staff, "rotate_keys", machine, follow=True).content.decode()
    shown = re.search(r"new key (\S{43})\.", page)
    assert shown, page
    machine.refresh_from_db()
    assert machine.key_hash == registry.hash_key(shown[1])
    assert shown[1] not in staff.get(DEVICES).content.decode()
    assert shown[1] not in staff.get(f"{DEVICES}{machine.pk}/history/").content.decode()


def test_staff_is_asked_for_a_reason_first(staff: Client, machine: Device) -> None:
    before = Device.objects.values().get()
    for action in ("rotate_keys", "revoke_keys", "release_devices"):
        for reason in ({}, {"reason": " "}):
            form = {"action": action, "_selected_action": [machine.pk]} | reason
            page = staff.post(DEVICES, form).content.decode()
            assert 'name="reason"' in page, (action, reason)
            assert "CRM20-0001" in page, (action, reason)
    assert Device.objects.values().get() == before


def test_revoking_by_support_and_its_reason_is_kept_with_the_unit(staff: Client, machine: Device) -> None:
    act(staff, "revoke_keys", machine)
    assert registry.authenticate("CRM20-0001", machine.key) is None  # type: ignore[attr-defined]
    assert "Revoke all keys at once: Ticket 4711" in staff.get(f"{DEVICES}{machine.pk}/history/").content.decode()


def test_release_by_support(staff: Client, machine: Device) -> None:
    act(staff, "release_devices", machine)
    machine.refresh_from_db()
    assert machine.owner is None


def test_who_may_only_look_changes_nothing(django_user_model: Any, machine: Device) -> None:
    before = Device.objects.values().get()
    client = reader(django_user_model)
    assert client.get(DEVICES).status_code == 200
    for action in ("rotate_keys", "revoke_keys", "release_devices"):
        act(client, action, machine)
    assert client.get(f"{DEVICES}import/").status_code == 403
    assert client.post(f"{DEVICES}import/", {}).status_code == 403
    client.post(f"{DEVICES}{machine.pk}/change/", {"name": "Mine"})
    assert Device.objects.values().get() == before


def test_a_large_table_is_never_counted_whole(machine: Device, monkeypatch: Any) -> None:
    monkeypatch.setattr(paging, "COUNTED", 10)
    record_reading(machine, [Measurement("beans", n, Decimal(50)) for n in range(50)], NOW)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE devices_reading")
    with CaptureQueriesContext(connection) as captured:
        everything = EstimatedPaginator(Reading.objects.order_by("-id"), 5).count
        some = EstimatedPaginator(Reading.objects.filter(sequence__gt=1).order_by("-id"), 5).count
        few = EstimatedPaginator(Reading.objects.filter(sequence__lt=3).order_by("-id"), 5).count
    assert (everything, some, few) == (50, 10, 3)
    assert all("LIMIT 10" in query["sql"] for query in captured if "COUNT(" in query["sql"])


def test_a_slot_that_amazon_would_not_take_is_refused(crema: DeviceModel) -> None:
    from django.core.exceptions import ValidationError

    slot = crema.slots.get()
    for wrong in ({"unit": "GRAM"}, {"measurement": "Weight"}, {"measurement": "Weight", "unit": "LITER"}):
        for field, value in ({"unit": "", "measurement": "Percentage"} | wrong).items():
            setattr(slot, field, value)
        with pytest.raises(ValidationError):
            slot.full_clean()
    slot.measurement, slot.unit = "Weight", "GRAM"
    slot.full_clean()


def test_chosen_units_go_into_a_spreadsheet_without_a_secret_or_a_formula(
    machine: Device, crema: DeviceModel, django_user_model: Any
) -> None:
    _, key, code = registry.register("CRM20-0002", crema)
    Device.objects.filter(serial_number="CRM20-0002").update(firmware_version='=HYPERLINK("http://evil.example")')
    chosen = {"action": "export", "_selected_action": list(Device.objects.values_list("pk", flat=True))}
    answer = reader(django_user_model).post(DEVICES, chosen)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "no-store" in answer["Cache-Control"]
    text = b"".join(answer.streaming_content).decode()
    head, alices, nobodys = csv.DictReader(io.StringIO(text)).fieldnames, *csv.DictReader(io.StringIO(text))
    assert head[:3] == ["serial", "model", "owner"]
    assert (alices["serial"], alices["owner"], alices["online"]) == ("CRM20-0001", "alice@example.com", "True")
    assert alices["claimed_at"].startswith("20")
    assert (nobodys["owner"], nobodys["firmware"]) == ("", '\'=HYPERLINK("http://evil.example")')
    secrets = [key, code, machine.key, *Device.objects.values_list("key_hash", flat=True)]
    assert not [secret for secret in secrets if secret in text]


def test_an_export_asks_in_pieces(machine: Device, crema: DeviceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from devices.admin import export

    monkeypatch.setattr(export, "AT_ONCE", 2)
    for number in range(2, 6):
        registry.register(f"CRM20-000{number}", crema)
    text = b"".join(export.as_csv(Device.objects.all(), export.UNITS, "units")).decode()
    assert [line.split(",")[0] for line in text.splitlines()] == ["serial", *(f"CRM20-000{n}" for n in range(1, 6))]
