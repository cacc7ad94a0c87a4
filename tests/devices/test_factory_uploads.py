"""A factory's list through the admin and through the staff API: the same verb, its secrets said once."""

import io
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from devices import factory, keys, uploads
from devices.models import Device

API, ADMIN = "/api/v1/staff/imports", "/admin/devices/device/import/"
HEADER = "serial,model,key,claim_code,mac,firmware\n"
MADE = "CRM20-0102,CREMA-20,generate,generate,,1.0.3\n"


def signed_in(django_user_model: Any, *permissions: str, **more: Any) -> Client:
    user = django_user_model.objects.create_user("sam@example.com", "a long enough password", **more)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="devices", codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def sam(db: None, django_user_model: Any) -> Client:
    """Of the staff, and may import."""
    return signed_in(django_user_model, "import_device", "view_device", is_staff=True)


def post(client: Client, text: str | bytes, **more: Any) -> Any:
    return client.post(API, text, **{"content_type": "text/csv", **more})


def upload(client: Client, text: str) -> Any:
    return client.post(ADMIN, {"list": SimpleUploadedFile("Units May.csv", text.encode())}, follow=True)


def test_the_api_says_generated_secrets_once(sam: Client, crema: Any) -> None:
    answer = post(sam, HEADER + MADE)
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    body = answer.json()
    [secret] = body.pop("secrets")
    assert body == {"listed": 1, "added": 1, "generated": 1}
    assert keys.authenticate("CRM20-0102", secret["key"]) is not None
    again = post(sam, HEADER + MADE)
    assert (again.status_code, again.json()) == (200, {"listed": 1, "added": 0, "generated": 0, "secrets": []})


def test_the_api_lists_every_fault_by_its_line(sam: Client, crema: Any) -> None:
    answer = post(
        sam, f"{HEADER}{MADE}A1,NO-SUCH,generate,generate,,\n".encode() + b"\xff,CREMA-20,generate,generate,,\n"
    )
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert [(error["line"], error["field"]) for error in answer.json()["errors"]] == [(3, "model"), (4, "serial")]
    assert not Device.objects.exists()


@pytest.mark.parametrize(
    ("permissions", "more"),
    [([], {"is_staff": True}), (["import_device"], {"is_staff": False}), (["add_device"], {"is_staff": True})],
)
def test_whoever_may_not_is_refused(django_user_model: Any, crema: Any, permissions: Any, more: Any) -> None:
    client = signed_in(django_user_model, *permissions, **more)
    assert post(client, HEADER + MADE).status_code == 403
    assert upload(client, HEADER + MADE).status_code in (403, 200)
    assert not Device.objects.exists()


def test_strangers_and_devices_are_refused(machine: Any) -> None:
    answer = post(Client(), HEADER + MADE)
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")
    import base64

    basic = base64.b64encode(f"{machine.serial_number}:{machine.key}".encode()).decode()
    assert post(Client(), HEADER + MADE, headers={"Authorization": f"Basic {basic}"}).status_code == 403
    assert Device.objects.count() == 1


def test_another_site_cannot_import_in_sams_name(django_user_model: Any, crema: Any) -> None:
    user = django_user_model.objects.create_superuser("sam@example.com", "a long enough password")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert post(client, HEADER + MADE).status_code == 403
    assert not Device.objects.exists()


def test_odd_bodies_are_answered_in_words(sam: Client, crema: Any) -> None:
    odd: list[tuple[Any, dict[str, Any], int]] = [
        ("", {}, 400),
        (HEADER, {}, 200),
        ("{}", {"content_type": "application/json"}, 415),
        ("nothing of the kind", {}, 400),
        (b"\x00\xff" * 50, {}, 400),
    ]
    for text, more, status in odd:
        answer = post(sam, text, **more)
        assert answer.status_code == status, text
        assert status == 200 or answer.json()["detail"], text
    assert sam.get(API).status_code == 405, "only POST"


def test_too_large_is_said_before_it_is_read(sam: Client, crema: Any, monkeypatch: Any) -> None:
    from devices import staff_api
    from devices.admin import unit_forms

    monkeypatch.setattr(staff_api, "LARGEST_UPLOAD", 50)
    monkeypatch.setattr(unit_forms, "LARGEST_UPLOAD", 50)
    assert post(sam, HEADER + MADE).status_code == 413
    assert "too large" in upload(sam, HEADER + MADE).content.decode()
    assert not Device.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_while_another_list_goes_in_one_is_asked_to_wait(sam: Client, crema: Any) -> None:
    import psycopg

    mine = connection.get_connection_params()
    with psycopg.connect(**{name: mine[name] for name in ("dbname", "host", "user") if name in mine}) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [factory.ONE_AT_A_TIME])
        answer = post(sam, HEADER + MADE)
    assert answer.status_code == 409
    assert "Another list" in answer.json()["detail"]


def test_the_admin_gives_the_secrets_as_a_file_once(sam: Client, crema: Any) -> None:
    assert "Import a factory" in sam.get("/admin/devices/device/").content.decode()
    assert sam.get(ADMIN, follow=True).status_code == 200
    answer = upload(sam, HEADER + MADE)
    assert answer["Content-Disposition"] == 'attachment; filename="units-may.secrets.csv"'
    assert "no-store" in answer["Cache-Control"]
    header, line = answer.content.decode().splitlines()
    assert header == "serial,model,key,claim_code"
    assert keys.authenticate("CRM20-0102", line.split(",")[2]) is not None
    again = upload(sam, HEADER + MADE)
    assert "1 units listed: 0 new, 1 there before." in again.content.decode()
    assert line.split(",")[2] not in again.content.decode()


def test_the_admin_lists_every_fault_by_its_line(sam: Client, crema: Any) -> None:
    answer = upload(sam, f"{HEADER}{MADE}A1,<b>NO</b>,generate,generate,,\n")
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "<td>3</td><td>model</td>" in page
    assert "<b>NO</b>" not in page
    assert not Device.objects.exists()


def test_many_faults_are_counted_and_the_first_are_shown(crema: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(uploads, "FAULTS_SHOWN", 3)
    text = HEADER + "".join(f"A{n},NO,generate,generate,,\n" for n in range(10))
    with pytest.raises(uploads.UploadRefused) as refused:
        uploads.import_upload(io.BytesIO(text.encode()))
    assert (len(refused.value.faults), refused.value.count) == (3, 10)
