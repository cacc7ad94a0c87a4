"""What was ugly, unclear or missing in the admin when somebody looked at it in a browser; each mended once."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from devices import registry
from devices.admin import units
from notifications import asp_api
from notifications.models import DrsRegistration, PropertyEvent, PropertyOperation, SlotSubscription, Topic
from portal.models import Alarm
from skill.models import AnswerCount, Application
from tests.portal.household import ordered, reported

UNIT = "/admin/devices/device/"


@pytest.fixture
def desk(client: Any, django_user_model: Any) -> Any:
    """A browser in which support is signed in."""
    client.force_login(django_user_model.objects.create_superuser("sam@example.com", "support-please"))
    return client


def page_of(desk: Any, row: Any) -> str:
    address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return str(desk.get(address).content.decode())


def test_a_state_and_what_is_subscribed_are_said_in_words(desk: Any) -> None:
    registration = DrsRegistration.objects.create(model_id="CREMA", serial_number="S1", state="REGISTERED")
    chosen = [{"asin": "B0CREMABNS", "quantity": 1, "unit": "count"}]
    SlotSubscription.objects.create(
        registration=registration, slot_name="beans", subscribed=True, products=chosen, last_at=timezone.now()
    )
    operation = PropertyOperation.objects.create(kind="assign", state="failed")
    pages = [(row, page_of(desk, row)) for row in (registration, operation)]
    for row, page in pages:
        assert row.get_state_display() in page
        assert "(&#x27;" not in page, "a pair of Python"
    assert "B0CREMABNS (1 count)" in pages[0][1]


def test_the_passwords_of_a_new_user_have_fields_that_can_be_seen(desk: Any) -> None:
    page = desk.get("/admin/portal/user/add/").content.decode()
    for name in ("password1", "password2"):
        (field,) = re.findall(rf'<input[^>]*name="{name}"[^>]*>', page)
        assert "border" in field
    assert "Alexa links" not in page, "who is not there yet has none"


def test_an_oauth_client_has_no_page_on_the_site(desk: Any) -> None:
    alexa = Application.objects.create(name="Alexa", client_id="alexa", redirect_uris="https://layla.amazon.com/")
    assert "View on site" not in page_of(desk, alexa)


def test_the_list_of_alarms_says_which_are_open(desk: Any) -> None:
    now = timezone.now()
    states: dict[str, Any] = {"open": {}, "taken": {"acknowledged_at": now}, "closed": {"closed_at": now}}
    for state, columns in states.items():
        Alarm.objects.create(condition=state, title=f"Messages {state}", **columns)
    found = desk.get("/admin/portal/alarm/?q=Messages").content.decode()
    for state in states:
        (row,) = [row for row in re.findall(r"<tr.*?</tr>", found, re.DOTALL) if f"Messages {state}" in row]
        assert re.search(rf">\s*{state}\s*</span>", row), state


def test_events_of_smart_properties_are_found_by_kind(desk: Any) -> None:
    kinds = [".".join(asp_api.EVENTS["setup"]), "Alexa.New.Thing"]
    for kind in kinds:
        PropertyEvent.objects.create(event_id=kind, digest="d", kind=kind, happened_at=timezone.now(), parsed={})
    events = "/admin/notifications/propertyevent/?kind="
    for asked, shown, hidden in (("setup", *kinds), ("other", *reversed(kinds))):
        rows = re.findall(r"field-event_id.*?</t[hd]>", desk.get(events + asked).content.decode(), re.DOTALL)
        assert [shown in row for row in rows] == [True], asked
        assert not any(hidden in row for row in rows)


def test_a_new_topic_is_asked_for_what_staff_know(desk: Any) -> None:
    page = desk.get("/admin/notifications/topic/add/").content.decode()
    assert 'name="arn"' in page
    assert "Drift" not in page
    topic = Topic.objects.create(arn="arn:aws:sns:us-east-1:000000000000:dash", drift=["Its policy is another."])
    assert "Its policy is another." in page_of(desk, topic)


class TestAUnitsPage:
    """What support does with one unit is done on its page."""

    def test_it_says_and_leads_to_all_that_is_known_of_the_unit(self, desk: Any, machine: Any) -> None:
        reported(machine, "42.5")
        page = page_of(desk, machine)
        assert "42.5 %" in page, "as people write it"
        assert f"{machine.claimed_at:%Y-%m-%d %H:%M} UTC" in page, "and on which clock"
        for name in (
            "devices_reading",
            "devices_shadow",
            "devices_claimattempt",
            "skill_miss",
            "notifications_message",
        ):
            address = f"{reverse(f'admin:{name}_changelist')}?q={machine}"
            assert address in page
            answer = desk.get(address)
            assert answer.status_code == 200
            assert name != "devices_reading" or "42.5 %" in answer.content.decode()
        assert "42.5 %" in desk.get("/admin/devices/inventory/").content.decode()

    def test_a_new_unit_has_nothing_left_to_show(self, desk: Any) -> None:
        assert "What is left" not in desk.get(f"{UNIT}add/").content.decode()

    def test_a_deed_is_asked_for_once_more_and_then_done(self, desk: Any, machine: Any) -> None:
        address = f"{UNIT}{machine.pk}/release/"
        assert "Release from the owner" in desk.get(address, follow=True).content.decode()
        machine.refresh_from_db()
        assert machine.owner, "asking does nothing"
        desk.post(address, {"reason": ""}, follow=True)
        machine.refresh_from_db()
        assert machine.owner, "a reason is needed"
        done = desk.post(address, {"reason": "Ticket 4711"})
        assert done.url == f"{UNIT}{machine.pk}/change/"
        machine.refresh_from_db()
        assert machine.owner is None
        assert "Ticket 4711" in LogEntry.objects.get().change_message

    def test_a_new_key_is_shown_once(self, desk: Any, machine: Any) -> None:
        before = machine.key_hash
        page = desk.post(f"{UNIT}{machine.pk}/rotate-key/", {"reason": "Ticket"}, follow=True).content.decode()
        machine.refresh_from_db()
        assert machine.key_hash != before
        assert "It is shown this once" in page

    def test_only_who_may(self, client: Any, django_user_model: Any, machine: Any) -> None:
        rita = django_user_model.objects.create_user("rita@example.com", "a long enough password", is_staff=True)
        rita.user_permissions.set(Permission.objects.filter(codename__in=["view_device", "change_device"]))
        client.force_login(rita)
        assert f"/{machine.pk}/release/" not in page_of(client, machine)
        for deed in ("rotate-key", "revoke-keys", "release"):
            assert client.post(f"{UNIT}{machine.pk}/{deed}/", {"reason": "x"}).status_code == 403
        machine.refresh_from_db()
        assert machine.owner

    def test_a_unit_that_is_not_there(self, desk: Any) -> None:
        assert desk.post(f"{UNIT}999999/release/", {"reason": "x"}).status_code in (302, 404)


def test_too_many_units_at_once_are_refused(desk: Any, crema: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "AT_ONCE", 1)
    made = [registry.register(f"CRM20-900{place}", crema).device for place in range(2)]
    form = {"action": "revoke_keys", "_selected_action": [unit.pk for unit in made], "reason": "x"}
    assert "too many at once" in desk.post(UNIT, form, follow=True).content.decode()
    assert {unit.key_hash for unit in made} == set(made[0].__class__.objects.values_list("key_hash", flat=True))


def test_a_unit_that_was_never_heard_is_not_called_online(desk: Any, crema: Any) -> None:
    registry.register("CRM20-9009", crema)
    row = desk.get(f"{UNIT}?q=CRM20-9009").content.decode().partition("field-shown_online")[2].partition("</td>")[0]
    assert "bg-green" not in row
    assert "check" not in row


def test_a_draft_that_was_not_saved_says_so_at_its_head(desk: Any, crema: Any) -> None:
    address = f"/admin/devices/devicemodel/{crema.pk}/draft/"
    form = {"name": "Crema", "offline_after": "soon"}
    form |= {f"{name}-{end}_FORMS": "0" for name in ("sales", "slots") for end in ("TOTAL", "INITIAL")}
    page = desk.post(address, form).content.decode()
    assert "Nothing was saved" in page
    assert 'value="soon"' in page


def test_lists_are_filtered_by_values_that_came_and_do_not_ask_all_their_rows_for_them(desk: Any) -> None:
    code = "INVALID_REQUEST_EXCEPTION"
    AnswerCount.objects.create(hour=timezone.now(), door="NA", kind="answer", label=code, count=1)
    answered = ("skill/endpoint", "skill/event", "skill/miss")
    for name in (*answered, "skill/linkingattempt", "notifications/notification"):
        with CaptureQueriesContext(connection) as asked:
            page = desk.get(f"/admin/{name}/")
        assert page.status_code == 200
        assert not [query for query in asked if f'DISTINCT "{name.replace("/", "_")}"' in query["sql"]], name
        assert name not in answered or code in page.content.decode(), name
    for name in answered:
        assert desk.get(f"/admin/{name}/?answer={code}").status_code == 200


def test_orders_are_exported_as_they_are_chosen(desk: Any, machine: Any) -> None:
    chosen, other = ordered(machine), ordered(machine)
    chosen.items.create(place=1, asin="=B00SECOND", quantity=1, unit="count")
    form = {"action": "export", "_selected_action": [chosen.pk]}
    answer = desk.post("/admin/notifications/order/", form)
    assert answer["Content-Disposition"] == 'attachment; filename="orders.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.getvalue().decode()))
    assert (row["order"], row["asins"], row["state"]) == (chosen.instance_id, "B00BEANS01 =B00SECOND", "PLACED")
    assert other.instance_id not in answer.getvalue().decode()
