"""Staff change a model in the admin: draft, lint, difference, publication with a reason; each step for those who may."""

import re
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from devices import catalogue
from devices.admin.draft_forms import DraftForms
from devices.catalogue import Description
from devices.models import Device, DeviceModel, HandCheck, Picture, Revision
from tests.devices.products import BEANS, CREMA, PICTURE


@pytest.fixture
def staff(db: None, django_user_model: Any) -> Client:
    client = Client()
    client.force_login(django_user_model.objects.create_superuser("sam@example.com", "a long enough password"))
    return client


def somebody(django_user_model: Any, *permissions: str) -> Client:
    """Somebody of the staff who may do these things and nothing else."""
    user = django_user_model.objects.create_user("rita@example.com", "a long enough password", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="devices", codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def page(name: str, model: DeviceModel) -> str:
    return reverse(f"admin:devices_model_{name}", args=[model.pk])


def typed(description: Description, seen: Description, **more: Any) -> dict[str, Any]:
    """What a browser sends when it shows this description."""
    forms = DraftForms(description)
    data: dict[str, Any] = {"seen": seen.digest()}
    for formset in (forms.sales, forms.slots):
        data |= {
            f"{formset.prefix}-TOTAL_FORMS": len(formset.forms),
            f"{formset.prefix}-INITIAL_FORMS": formset.initial_form_count(),
        }
    for form in (forms.model, *forms.sales.forms, *forms.slots.forms):
        for field in form:
            value = field.value()
            if value is not None and value is not False:
                data[field.html_name] = value
    return data | more


def test_the_forms_say_back_what_they_were_given(db: None) -> None:
    forms = DraftForms(CREMA, typed(CREMA, CREMA))
    assert forms.is_valid(), (forms.model.errors, forms.sales.errors, forms.slots.errors)
    assert forms.description() == CREMA


def test_from_draft_to_live(staff: Client, crema: DeviceModel, machine: Device) -> None:
    live = catalogue.live(crema)
    answer = staff.post(page("draft", crema), typed(CREMA, live, _publish="1"))
    assert (answer.status_code, answer.headers["Location"]) == (302, page("publish", crema))
    assert catalogue.live(crema) == live

    shown = staff.get(page("publish", crema)).content.decode()
    assert "arn:live:beans" in shown
    assert "touches <strong>1 owned device(s) of 1 customer(s), 0 of them linked</strong>" in shown
    seen = re.search(r'name="seen" value="(\w{64})"', shown)
    assert seen
    form = {"seen": seen[1], "reason": "Names for Germany"}
    assert (
        "1 owned device(s) of 1 customer(s), 0 of them linked"
        in staff.post(page("publish", crema), form, follow=True).content.decode()
    )
    crema.refresh_from_db()
    assert catalogue.live(crema) == CREMA
    assert "Names for Germany" in LogEntry.objects.get().change_message
    revision = Revision.objects.get()
    assert (revision.reason, revision.published_by.email, revision.devices) == (
        "Names for Germany",
        "sam@example.com",
        1,
    )
    assert "Names for Germany" in staff.get("/admin/devices/revision/").content.decode()
    assert staff.get(f"/admin/devices/revision/{revision.pk}/change/").status_code == 200


def test_no_publication_without_a_reason_or_of_what_nobody_saw(staff: Client, crema: DeviceModel) -> None:
    drafted(crema)
    form = {"seen": catalogue.fingerprint(crema, CREMA), "reason": " "}
    assert "This field is required" in staff.post(page("publish", crema), form).content.decode()
    form = {"seen": "0" * 64, "reason": "Because"}
    assert "changed since you looked" in staff.post(page("publish", crema), form).content.decode()
    assert Revision.objects.get().state == "draft"


def test_errors_of_lint_hide_the_button(staff: Client, crema: DeviceModel) -> None:
    broken = replace(CREMA, slots=(replace(BEANS, sensor="usage"),))
    drafted(crema, broken)
    shown = staff.get(page("publish", crema)).content.decode()
    assert "A usage sensor counts in Count, Volume or Weight." in shown
    assert "Publish now" not in shown
    form = {"seen": catalogue.fingerprint(crema, broken), "reason": "Because"}
    assert "nothing was published" in staff.post(page("publish", crema), form).content.decode()


def test_a_draft_saved_by_somebody_else_is_not_overwritten(staff: Client, crema: DeviceModel) -> None:
    live = catalogue.live(crema)
    drafted(crema)
    answer = staff.post(page("draft", crema), typed(replace(CREMA, name="Mine"), live))
    assert "Somebody else has saved this draft" in answer.content.decode()
    assert "Mine" in answer.content.decode()
    assert Description.from_json(Revision.objects.get().snapshot) == CREMA


def test_lines_that_cannot_be_read_are_named(staff: Client, crema: DeviceModel) -> None:
    form = typed(CREMA, catalogue.live(crema))
    form["slots-0-products"] = "US; B0CREMABNS; 1; KILOGRAM\nUS\nUS; B0CREMABN2; many; count"
    form["slots-0-names"] = "Coffee beans"
    shown = staff.post(page("draft", crema), form).content.decode()
    assert "Line 2: write marketplace; ASIN" in shown
    assert "Line 3: many is no quantity" in shown
    assert "Line 1: write a language, a colon" in shown
    assert not Revision.objects.exists()


def test_a_number_that_no_draft_can_hold_is_marked(staff: Client, crema: DeviceModel) -> None:
    wrong = {"warranty_months": "3000000000", "offline_after": "30000 00:00:00"}
    answer = staff.post(page("draft", crema), typed(CREMA, catalogue.live(crema), **wrong))
    assert answer.status_code == 200
    shown = answer.content.decode()
    assert "Nothing was saved" in shown
    for field, most in {"warranty_months": "240", "offline_after": "31 days"}.items():
        assert f"less than or equal to {most}" in shown
        assert wrong[field] in shown, "what was typed stays"
    assert not Revision.objects.exists()


def test_products_can_be_pasted_from_a_spreadsheet(staff: Client, crema: DeviceModel) -> None:
    form = typed(CREMA, catalogue.live(crema))
    form["slots-0-products"] = (
        "US\tB0CREMABNS\t0.5\tKILOGRAM\ton\tBeans; half a kilo\nDE\tB0CREMADE1\t1\tKILOGRAM\toff\tBohnen"
    )
    staff.post(page("draft", crema), form)
    german, american = Description.from_json(Revision.objects.get().snapshot).slots[0].products
    assert (american.title, str(american.quantity), german.active) == ("Beans; half a kilo", "0.5", False)


def test_a_slot_is_taken_out_and_another_added(staff: Client, crema: DeviceModel) -> None:
    form = typed(CREMA, catalogue.live(crema)) | {"slots-0-DELETE": "on"}
    form |= {"slots-1-slot_id": "milk", "slots-1-instance": "Milk.Tank", "slots-1-names": "en-US: Milk"}
    form |= {"slots-1-sensor": "level", "slots-1-measurement": "Percentage"}
    staff.post(page("draft", crema), form)
    [slot] = Description.from_json(Revision.objects.get().snapshot).slots
    assert (slot.slot_id, slot.main_name, slot.raw_factor) == ("milk", ("Milk", "en-US"), 1)


def test_a_picture_is_kept_and_shown_harmlessly(staff: Client, crema: DeviceModel) -> None:
    form = typed(CREMA, catalogue.live(crema))
    staff.post(page("draft", crema), form | {"picture": SimpleUploadedFile("crema.png", PICTURE)})
    digest = Description.from_json(Revision.objects.get().snapshot).picture
    answer = staff.get(reverse("admin:devices_model_picture", args=[digest]))
    assert (answer.content, answer.headers["Content-Type"]) == (PICTURE, "image/png")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    refused = staff.post(page("draft", crema), form | {"picture": SimpleUploadedFile("x.png", b"<script>")})
    assert "BMP, JPEG, PNG and GIF" in refused.content.decode()
    assert Picture.objects.count() == 1


def test_a_draft_is_thrown_away(staff: Client, crema: DeviceModel) -> None:
    drafted(crema)
    staff.post(page("draft", crema), {"discard": "1"})
    assert Revision.objects.get().state == "discarded"
    assert "away" in LogEntry.objects.get().change_message
    assert staff.get(page("publish", crema)).status_code == 302


def test_a_new_model_gets_an_id_and_then_a_draft(staff: Client) -> None:
    shown = staff.get("/admin/devices/devicemodel/add/").content.decode()
    assert re.search(r'name="model_id" value="[0-9A-Z]{12}"', shown)
    form = {
        "model_id": "MILK-1",
        "name": "Milk",
        "manufacturer": "Nordkap",
        "description": "By Nordkap",
        "display_category": "OTHER",
    }
    answer = staff.post("/admin/devices/devicemodel/add/", form)
    model = DeviceModel.objects.get()
    assert (model.drs_state, answer.headers["Location"]) == ("draft", page("draft", model))
    assert staff.get(page("draft", model)).status_code == 200


def test_what_is_live_cannot_be_typed_over(staff: Client, crema: DeviceModel) -> None:
    before = catalogue.live(crema)
    address = f"/admin/devices/devicemodel/{crema.pk}/change/"
    shown = staff.get(address).content.decode()
    assert "Edit draft" in shown
    assert staff.post(address, {"name": "Typed over"}).status_code == 403
    slot = crema.slots.get()
    assert staff.post(f"/admin/devices/slot/{slot.pk}/change/", {"instance": "Other"}).status_code == 403
    assert catalogue.live(DeviceModel.objects.get()) == before


PAGES = ("draft", "publish", "readiness")


def test_who_may_see_what(django_user_model: Any, crema: DeviceModel) -> None:
    drafted(crema)
    client = somebody(django_user_model)
    rita = django_user_model.objects.get()
    for permission, answers in {
        "": (403, 403, 403),
        "view_devicemodel": (403, 403, 200),
        "change_devicemodel": (200, 200, 200),
        "publish_devicemodel": (403, 200, 200),
    }.items():
        rita.user_permissions.set(Permission.objects.filter(codename=permission))
        assert tuple(client.get(page(name, crema)).status_code for name in PAGES) == answers, permission


def drafted(model: DeviceModel, description: Description = CREMA) -> None:
    catalogue.save_draft(catalogue.open_draft(model), description, catalogue.live(model).digest())


def test_who_may_edit_may_not_publish_and_the_other_way_round(django_user_model: Any, crema: DeviceModel) -> None:
    drafted(crema)
    client = somebody(django_user_model, "change_devicemodel")
    form = {"seen": catalogue.fingerprint(crema, CREMA), "reason": "Because"}
    assert "Publish now" not in client.get(page("publish", crema)).content.decode()
    assert client.post(page("publish", crema), form).status_code == 403
    rita = django_user_model.objects.get()
    rita.user_permissions.set(Permission.objects.filter(codename="publish_devicemodel"))
    assert client.post(page("draft", crema), typed(CREMA, CREMA)).status_code == 403
    assert client.post(page("publish", crema), form).status_code == 302
    assert Revision.objects.get().state == "published"


def test_a_person_ticks_what_only_a_person_sees(staff: Client, crema: DeviceModel) -> None:
    staff.post(page("readiness", crema), {"item": "test-order", "note": "Order 1234 on 12 March"})
    assert "Order 1234 on 12 March" in staff.get(page("readiness", crema)).content.decode()
    assert "test-order" in LogEntry.objects.get().change_message
    staff.post(page("readiness", crema), {"item": "test-order", "note": ""})
    assert not HandCheck.objects.exists()
    staff.post(page("readiness", crema), {"item": "no-such-line", "note": "x"})
    assert not HandCheck.objects.exists()


def test_a_looker_ticks_nothing(django_user_model: Any, crema: DeviceModel) -> None:
    client = somebody(django_user_model, "view_devicemodel")
    assert client.post(page("readiness", crema), {"item": "test-order", "note": "x"}).status_code == 403
    assert not HandCheck.objects.exists()
