"""A hotel: devices into their rooms, roles given and taken, as Amazon's events and plans come, in any order. Amazon is the sandbox."""

import contextlib
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from notifications import asp, asp_api, certificates, health, operating, operations, tasks
from notifications.models import EndpointAlias, Message, PropertyEvent, PropertyOperation, Topic
from tests.effort import examples
from tests.notifications.conftest import undone
from tests.notifications.hotel import ECHO, ROOM, SERIAL, Hotel, point_at, sandbox
from tests.notifications.test_properties import apply, event
from tests.the_house import until

TOPIC = "arn:aws:sns:us-east-1:000000000000:properties-sandbox"
BOB, ROLE = "amzn1.account.BOB", "amzn1.alexa.role.did.R"


def set_up(number: str = "set-up", at: str = "2026-11-21T09:00:00Z", endpoint: str = ECHO) -> dict[str, Any]:
    return event(asp.SETUP, number, at, endpoint={"id": endpoint})


def work() -> None:
    """As the worker does, with time passing for what waits."""
    tasks.operate()
    PropertyOperation.objects.filter(due_at__isnull=False).update(due_at=timezone.now(), leased_until=None)
    tasks.operate()


def the_row() -> PropertyOperation:
    return PropertyOperation.objects.get()


@pytest.mark.django_db
@pytest.mark.parametrize("name", [ECHO, SERIAL])
def test_a_planned_device_goes_into_its_room_when_it_is_set_up(name: str, hotel: Hotel) -> None:
    assert operations.plan(name, ROOM).reason == operations.NO_SET_UP
    apply(event(asp.ACTIVATION, "ready"), set_up())
    assert tasks.operate() > 0
    row = the_row()
    assert (row.state, row.unit_id, row.serial_number) == ("done", ROOM, SERIAL)
    assert (hotel.device["unit"], hotel.device["associations"]) == (ROOM, 1)
    assert row.endpoint_id == hotel.device["id"] != ECHO
    assert EndpointAlias.objects.get().alias == ECHO
    apply(set_up())
    assert (tasks.operate(), hotel.device["associations"]) == (0, 1)


@pytest.mark.django_db
def test_a_device_without_a_plan_waits_for_one_by_either_name(hotel: Hotel) -> None:
    apply(set_up())
    work()
    assert (the_row().state, the_row().reason, the_row().serial_number) == ("waiting", operations.NO_UNIT, SERIAL)
    operations.plan(SERIAL, ROOM)
    work()
    assert (the_row().state, hotel.device["unit"]) == ("done", ROOM)


@pytest.mark.django_db
def test_activation_releases_what_waits_for_its_unit(hotel: Hotel) -> None:
    operations.plan(ECHO, ROOM)
    apply(set_up())
    PropertyOperation.objects.update(identified=True)
    assert (the_row().state, tasks.operate()) == ("queued", 0)
    apply(event(asp.ACTIVATION, "ready"))
    assert (tasks.operate(), the_row().state) == (1, "done")


@pytest.mark.django_db
def test_set_up_anew_it_goes_into_its_room_again_under_its_old_name(hotel: Hotel) -> None:
    operations.plan(ECHO, ROOM)
    apply(event(asp.ACTIVATION, "ready"), set_up())
    work()
    hotel.device["unit"] = ""
    apply(set_up("again", "2026-11-21T11:00:00Z"))
    work()
    assert (the_row().state, hotel.device["unit"], hotel.device["associations"]) == ("done", ROOM, 2)
    assert the_row().endpoint_id == hotel.device["id"]
    apply(set_up("an older one", "2026-11-21T08:00:00Z"))
    assert tasks.operate() == 0


@pytest.mark.django_db
def test_a_device_that_is_in_its_room_is_not_put_there_again(hotel: Hotel) -> None:
    """Its settings would be wiped. A worker died after Amazon had answered."""
    operations.plan(ECHO, ROOM)
    hotel.device["unit"] = ROOM
    apply(event(asp.ACTIVATION, "ready"), set_up())
    work()
    assert (the_row().reason, hotel.asked("PUT")) == ("It was in its unit already.", 0)


@pytest.mark.django_db
def test_nor_is_it_when_the_plan_has_the_consoles_name_of_the_room(hotel: Hotel) -> None:
    operations.plan(ECHO, ROOM.replace(".did.", ".console."))
    hotel.device["unit"] = ROOM
    apply(set_up())
    work()
    work()
    assert (the_row().reason, hotel.asked("PUT")) == ("It was in its unit already.", 0)


@pytest.mark.django_db
@pytest.mark.parametrize("name", [ECHO, SERIAL])
def test_a_set_up_that_was_never_told_is_found_by_asking(name: str, hotel: Hotel) -> None:
    operations.plan(name, ROOM)
    assert (tasks.operate(), the_row().state) == (0, "waiting"), "the event has a quarter of an hour"
    work()
    work()
    assert (the_row().state, the_row().serial_number, hotel.device["unit"]) == ("done", SERIAL, ROOM)
    apply(set_up())
    work()
    assert (the_row().state, hotel.device["associations"]) == ("done", 1), "the event was late: it is the same set-up"
    hotel.device["unit"] = ""
    apply(set_up("again", "2030-01-01T09:00:00Z"))
    work()
    assert (the_row().state, hotel.device["associations"]) == ("done", 2)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["amzn1.alexa.endpoint.UNSEEN", "ECHO-9999"])
def test_a_device_that_amazon_does_not_know_goes_on_waiting_without_an_alarm(name: str, hotel: Hotel) -> None:
    operations.plan(name, ROOM)
    for _ in range(6):
        work()
    row = the_row()
    assert (row.state, row.reason, row.attempts) == ("waiting", operations.NO_SET_UP, 0)
    assert row.due_at > timezone.now() + timedelta(minutes=50)
    assert health.refused_operations() == []
    assert operations.withdraw(row)
    assert tasks.operate() == 0


@pytest.mark.django_db
def test_a_refusal_is_an_alarm_and_is_asked_again_by_staff(hotel: Hotel) -> None:
    hotel.begin_anew(units=())
    operations.plan(ECHO, ROOM)
    apply(event(asp.ACTIVATION, "ready"), set_up())
    work()
    assert the_row().state == "failed"
    assert "exactly one unit that exists" in health.refused_operations()[0]
    apply(set_up())
    assert (tasks.operate(), the_row().state) == (0, "failed")
    hotel.memory["units"].append(ROOM)
    assert operations.retry(the_row())
    work()
    assert (the_row().state, health.refused_operations()) == ("done", [])


@pytest.mark.django_db
def test_amazon_out_of_reach_loses_nothing(hotel: Hotel, settings: Any) -> None:
    settings.ASP_API_URL = "http://127.0.0.1:9"
    operations.plan(ECHO, ROOM)
    apply(event(asp.ACTIVATION, "ready"), set_up())
    assert tasks.operate() == 1
    row = the_row()
    assert (row.state, row.attempts) == ("queued", 1)
    assert "no answer" in row.reason
    assert row.due_at > timezone.now() + timedelta(seconds=3)
    settings.ASP_API_URL = hotel.url
    work()
    assert the_row().state == "done"


@pytest.mark.django_db
def test_a_token_that_ran_out_is_renewed_once(hotel: Hotel) -> None:
    assert asp_api.user_id() == "amzn1.account.SANDBOXHOTEL"
    hotel.amazon.state.lwa["access"].clear()
    assert asp_api.user_id() == "amzn1.account.SANDBOXHOTEL"


@pytest.mark.django_db
def test_a_role_that_is_propagated_is_done_when_its_event_has_come(hotel: Hotel) -> None:
    row = operations.ask_for_role("assign", ROLE, BOB, propagate=True)
    assert operations.ask_for_role("assign", ROLE, BOB, propagate=True) == row
    assert (tasks.operate(), the_row().state) == (1, "asked")
    apply(event(asp.REVOCATION, "other", "2027-01-01T00:00:00Z", principal=BOB, role=ROLE))
    apply(event(asp.ASSIGNMENT, "earlier", "2026-01-01T00:00:00Z", principal=BOB, role=ROLE))
    assert the_row().state == "asked"
    apply(event(asp.ASSIGNMENT, "this", "2027-01-01T00:00:00Z", principal=BOB, role=ROLE))
    assert (the_row().state, the_row().reason) == ("done", "Amazon's event says so.")
    apply(event(asp.ASSIGNMENT, "this", "2027-01-01T00:00:01Z", principal=BOB, role=ROLE))
    row = the_row()
    assert (row.state, row.reason) == ("asked", operations.PROPAGATED), "Amazon said otherwise of the same event"
    assert row.due_at <= timezone.now()
    assert (tasks.operate(), the_row().reason) == (1, "No event came; Amazon says that it is so.")


@pytest.mark.django_db
def test_a_unit_whose_activation_is_contradicted_is_not_ready(hotel: Hotel) -> None:
    apply(set_up())
    PropertyOperation.objects.update(identified=True)
    operations.plan(ECHO, ROOM)
    apply(event(asp.ACTIVATION, "ready"), event(asp.ACTIVATION, "ready", "2026-11-21T10:00:00Z"))
    assert the_row().due_at > timezone.now()


@pytest.mark.django_db
def test_a_role_whose_event_was_lost_is_asked_for(hotel: Hotel) -> None:
    operations.ask_for_role("assign", ROLE, BOB, propagate=True)
    work()
    assert the_row().reason == "No event came; Amazon says that it is so."


@pytest.mark.django_db
def test_a_role_that_is_not_propagated_is_done_at_once(hotel: Hotel) -> None:
    operations.ask_for_role("assign", ROLE, BOB)
    assert (tasks.operate(), the_row().state, hotel.memory["roles"]) == (1, "done", [[ROLE, BOB]])
    for kind in ("assign", "revoke", "revoke"):
        operations.ask_for_role(kind, ROLE, BOB)
        work()
    assert {row.state for row in PropertyOperation.objects.all()} == {"done"}
    assert hotel.memory["roles"] == []


STEPS = st.permutations(
    ["plan", "set up", "set up", "later", "ready", "work", "work", "crash", "other", "set up again"]
)  # fmt: skip


@pytest.mark.django_db
def test_any_order_repetition_and_crash_come_to_the_same(hotel: Hotel) -> None:
    documents = {
        "set up": set_up(), "ready": event(asp.ACTIVATION, "ready"), "other": event("Alexa.New.Thing", "new"),
        "later": set_up("later", "2026-11-21T10:00:00Z"), "set up again": set_up(),
    }  # fmt: skip

    def do(step: str) -> None:
        if step == "plan":
            operations.plan(SERIAL, ROOM)
        elif step == "crash" and (row := operating._claim()):
            if row.identified and row.unit_id:  # else we die before we have asked for anything
                with contextlib.suppress(asp_api.AspError):  # Amazon has done it, and we die before we note it
                    asp_api.associate(row.endpoint_id, ROOM)
        elif step in documents:
            apply(documents[step])
        else:
            work()

    @hypothesis.settings(max_examples=examples(5))
    @given(STEPS)
    def check(steps: list[str]) -> None:
        hotel.begin_anew()
        with undone():
            for step in (*steps, "work", "work"):
                do(step)
            row = the_row()
            assert (row.unit_id, row.serial_number, hotel.device["unit"]) == (ROOM, SERIAL, ROOM)
            assert (row.state, row.set_up_at, row.served_at) == ("done", row.set_up_at, row.set_up_at), row.reason
            assert (PropertyEvent.objects.count(), Message.objects.filter(state="waiting").count()) == (4, 0)

    check()


@pytest.mark.django_db
def test_two_workers_do_not_ask_twice(hotel: Hotel) -> None:
    operations.ask_for_role("assign", ROLE, BOB)
    assert operating._claim() is not None
    assert operating._claim() is None
    PropertyOperation.objects.update(leased_until=timezone.now())
    claimed = operating._claim()
    assert claimed is not None, "the first has died: its lease is over"
    assert claimed.attempts == the_row().attempts == 2


def asp_command(*arguments: str) -> str:
    out = io.StringIO()
    call_command("asp", *arguments, stdout=out)
    return out.getvalue().strip()


@pytest.mark.django_db(transaction=True)
def test_the_whole_way_by_the_command(live_server: Any, settings: Any, tmp_path: Path) -> None:
    """Subscribe, then Amazon's six events come through the real door, signed, and do what they should."""
    Topic.objects.create(arn=TOPIC, kind=Topic.Kind.ASP, subscription="confirmed")
    with sandbox(tmp_path, live_server.url) as hotel:
        point_at(settings, hotel)
        settings.SNS_CERTIFICATE_MIRROR = hotel.url
        certificates.forget()
        hotel.begin_anew()
        assert asp_command("user-id") == "amzn1.account.SANDBOXHOTEL"
        configuration = asp_command("create-configuration", TOPIC)
        for name in asp_api.EVENTS:
            asp_command("subscribe", name, configuration, ROOM, "--skill", "amzn1.ask.skill.1")
        assert len(asp_command("subscriptions").splitlines()) == 6
        assert TOPIC in asp_command("configurations")
        asp_command("plan", SERIAL, ROOM)
        asp_command("assign-role", ROLE, BOB, "--propagate")
        for name in asp_api.EVENTS:
            about = {"event": name, "serial": SERIAL, "unit": ROOM}
            requests.post(f"{hotel.url}/actions/property_event", json=about, timeout=20).raise_for_status()
        until(lambda: Message.objects.count() == 6, 20, "six events came")
        tasks.process()
        assert {found.kind for found in PropertyEvent.objects.all()} == set(asp.KNOWN)
        tasks.operate()
        until(lambda: Message.objects.count() == 7, 20, "the role's event came")
        tasks.process()
        assert "done" in asp_command("plans")
        assert {row.state for row in PropertyOperation.objects.all()} == {"done"}
        assert hotel.device["unit"] == ROOM
        assert len(health.failing_automations()) == 1
    certificates.forget()
    asp_api.forget_token()


@pytest.mark.django_db
def test_deleting_asks_first_and_refusals_are_said(hotel: Hotel) -> None:
    configuration = asp_command("create-configuration", TOPIC)
    with pytest.raises(CommandError, match="Nothing was deleted"):
        asp_command("delete-configuration", configuration)
    assert asp_command("delete-configuration", configuration, "--yes") == "Deleted."
    assert asp_command("delete-configuration", configuration, "--yes") == "There was none with this ID."
    with pytest.raises(CommandError, match="not the ARN"):
        asp_command("create-configuration", "arn:aws:sqs:us-east-1:1:x")
    with pytest.raises(CommandError, match="no such subscription configuration"):
        asp_command("subscribe", "automation", "nonsense", ROOM)
    with pytest.raises(CommandError, match=r"amzn1\.ask\.skill"):
        asp_command("subscribe", "skill", "nonsense", ROOM)
    with pytest.raises(CommandError, match="no such number"):
        asp_command("withdraw", "7")


@pytest.mark.django_db
def test_without_credentials_it_says_what_is_missing(settings: Any) -> None:
    settings.ASP_REFRESH_TOKEN = ""
    asp_api.forget_token()
    with pytest.raises(CommandError, match="ASP_REFRESH_TOKEN"):
        asp_command("user-id")


@pytest.mark.django_db
def test_more_than_one_page_is_listed(hotel: Hotel) -> None:
    for number in range(120):
        hotel.memory["subscriptionConfigurations"][f"c-{number}"] = {"id": f"c-{number}", "deliveryChannels": []}
    assert len(asp_api.listed("subscriptionConfigurations")) == 120


@pytest.mark.django_db
def test_staff_plan_and_subscribe_in_the_admin(hotel: Hotel, client: Any, django_user_model: Any) -> None:
    page = reverse("admin:notifications_property_subscriptions")
    stranger = django_user_model.objects.create_user("sam@example.com", "support all the way", is_staff=True)
    client.force_login(stranger)
    assert client.get(page).status_code == 403
    client.force_login(django_user_model.objects.create_superuser("root@example.com", "support all the way"))
    client.post(reverse("admin:notifications_propertyoperation_add"), {"device": SERIAL, "unit": ROOM})
    assert (the_row().serial_number, the_row().unit_id) == (SERIAL, ROOM)
    assert SERIAL in client.get(reverse("admin:notifications_propertyoperation_changelist")).content.decode()
    assert client.get(reverse("admin:notifications_propertyoperation_change", args=[the_row().pk])).status_code == 200
    topic = Topic.objects.create(arn=TOPIC, kind=Topic.Kind.ASP)
    client.post(page, {"configure": "", "topic": topic.pk})
    [configuration] = hotel.memory["subscriptionConfigurations"]
    client.post(page, {"subscribe": "", "event": "setup", "configuration": configuration, "unit": ROOM})
    [subscription] = hotel.memory["subscriptions"]
    assert subscription in client.get(page).content.decode()
    asked = client.post(page, {"ask_delete": f"subscriptions/{subscription}"}).content.decode()
    assert "cannot be undone" in asked
    client.post(page, {"delete": f"subscriptions/{subscription}"})
    assert hotel.memory["subscriptions"] == {}
    withdraw = {"action": "withdraw", "_selected_action": [the_row().pk]}
    client.post(reverse("admin:notifications_propertyoperation_changelist"), withdraw)
    assert not PropertyOperation.objects.exists()
