"""A hotel on a bad day: what Amazon refuses, what we cannot ask for, and how a person gets rid of it."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from notifications import asp, asp_api, health, operations, tasks
from notifications.models import PropertyOperation
from tests.notifications.conftest import refused, undone
from tests.notifications.hotel import ECHO, ROOM, SERIAL, Hotel
from tests.notifications.signing_amazon import ARN
from tests.notifications.test_operations import BOB, ROLE, set_up, the_row, work
from tests.notifications.test_properties import apply, event

pytestmark = pytest.mark.django_db
STRANGE = "amzn1.alexa.endpoint.STRANGE"


def test_a_revocation_is_not_done_while_the_role_stands_on_a_later_page(hotel: Hotel) -> None:
    PropertyOperation.objects.create(
        kind="revoke", role_id=ROLE, principal_id=BOB, propagate=True, state="asked", due_at=timezone.now()
    )
    others = [[f"amzn1.alexa.role.did.{number}", BOB] for number in range(25)]
    for before in (9, 10, 25):
        hotel.memory["roles"] = [*others[:before], [ROLE, BOB]]
        PropertyOperation.objects.update(due_at=timezone.now())
        assert (tasks.operate(), the_row().state) == (1, "asked"), before
    hotel.memory["roles"] = others
    work()
    assert (the_row().state, the_row().reason) == ("done", "No event came; Amazon says that it is so.")


def test_a_role_whose_id_is_the_beginning_of_another_is_not_that_other(hotel: Hotel) -> None:
    hotel.memory["roles"] = [[ROLE + "2", BOB]]
    operations.ask_for_role("revoke", ROLE, BOB)
    work()
    assert (the_row().state, the_row().reason) == ("done", "It was so already.")


def test_a_device_that_amazon_does_not_know_is_withdrawn_and_the_alarm_is_gone(hotel: Hotel) -> None:
    apply(set_up(endpoint=STRANGE))
    work()
    assert (the_row().state, len(health.refused_operations())) == ("failed", 1)
    assert operations.withdraw(the_row())
    assert not operations.withdraw(the_row())
    assert (the_row().state, health.refused_operations()) == ("withdrawn", [])
    apply(set_up(endpoint=STRANGE))
    assert (tasks.operate(), the_row().state) == (0, "withdrawn"), "a repetition"
    apply(set_up("again", "2026-11-21T11:00:00Z", endpoint=STRANGE))
    assert tasks.operate() == 1, "a new set-up is looked at"


def test_a_withdrawn_device_that_is_planned_by_its_serial_number_is_found_again(hotel: Hotel) -> None:
    known = hotel.memory["endpoints"].pop(ECHO)
    apply(set_up())
    work()
    operations.withdraw(the_row())
    hotel.memory["endpoints"][ECHO] = known
    operations.plan(SERIAL, ROOM)
    work()
    work()
    work()
    assert (the_row().state, the_row().unit_id, hotel.device["unit"]) == ("done", ROOM, ROOM)


def test_a_plan_that_is_withdrawn_is_not_carried_out_and_can_be_made_again(hotel: Hotel) -> None:
    operations.plan(ECHO, ROOM)
    apply(set_up())
    assert operations.withdraw(the_row())
    work()
    assert (the_row().state, hotel.asked("PUT")) == ("withdrawn", 0)
    operations.plan(ECHO, ROOM)
    work()
    work()
    assert (the_row().state, hotel.device["unit"]) == ("done", ROOM)


def test_without_credentials_a_set_up_is_no_alarm(hotel: Hotel, settings: Any) -> None:
    token, settings.ASP_REFRESH_TOKEN = settings.ASP_REFRESH_TOKEN, ""
    apply(set_up())
    assert (tasks.operate(), the_row().state, health.refused_operations()) == (0, "waiting", [])
    settings.ASP_REFRESH_TOKEN = token
    operations.plan(SERIAL, ROOM)
    work()
    work()
    work()
    assert (the_row().state, the_row().serial_number, hotel.device["unit"]) == ("done", SERIAL, ROOM)


@pytest.mark.parametrize("broken", ["", "Atzr|revoked"])
def test_credentials_that_are_mended_are_enough(broken: str, hotel: Hotel, settings: Any) -> None:
    token, settings.ASP_REFRESH_TOKEN = settings.ASP_REFRESH_TOKEN, broken
    asp_api.forget_token()
    operations.plan(ECHO, ROOM)
    apply(event(asp.ACTIVATION, "ready"), set_up())
    for _ in range(5):
        work()
    assert the_row().state == "queued"
    assert "access token" in health.refused_operations()[0] or "ASP_REFRESH_TOKEN" in health.refused_operations()[0]
    settings.ASP_REFRESH_TOKEN = token
    work()
    assert (the_row().state, health.refused_operations()) == ("done", [])


def test_set_ups_that_contradict_each_other_count_for_neither_device(db: None) -> None:
    """One ID, two devices: whichever comes first, and whether together or one after the other."""
    twins = [set_up("same", endpoint=ECHO), set_up("same", endpoint=STRANGE)]
    rows = PropertyOperation.objects.order_by("endpoint_id").values_list("endpoint_id", "state", "set_up_at", "reason")
    for batches in ([(0, 1)], [(1, 0)], [(0,), (1,)], [(1,), (0,)]):
        with undone():
            operations.plan(ECHO, ROOM)
            for batch in batches:
                apply(*(twins[number] for number in batch))
            expected = [(name, "waiting", None, operations.NO_SET_UP) for name in (ECHO, STRANGE)]
            assert list(rows.all()) == expected, batches


def test_a_plan_without_names_is_refused_in_words(admin_client: Any) -> None:
    apply(set_up())
    address = reverse("admin:notifications_propertyoperation_add")
    odd = [("", ROOM), (" ", ROOM), (SERIAL, ""), ("S" * 256, ROOM), (SERIAL, "u" * 513), ("\x07", ROOM)]
    for device, unit in odd:
        with refused((device, unit), CommandError, match="printable"):
            call_command("asp", "plan", device, unit)
        page = admin_client.post(address, {"device": device, "unit": unit})
        assert page.status_code == 200, f"the form again, with what is wrong: {device!r} {unit!r}"
    assert PropertyOperation.objects.exclude(unit_id="").count() == 0


def test_staff_see_whose_token_it_is_or_why_it_may_not_say_so_and_the_rest_all_the_same(
    hotel: Hotel, admin_client: Any, settings: Any
) -> None:
    configuration = asp_api.create_configuration(ARN, "once")
    page = admin_client.get(reverse("admin:notifications_property_subscriptions")).content.decode()
    assert (configuration in page, "amzn1.account.SANDBOXHOTEL" in page) == (True, True)
    settings.ASP_PROFILE_URL = hotel.url + "/nowhere"
    page = admin_client.get(reverse("admin:notifications_property_subscriptions")).content.decode()
    assert (configuration in page, "Amazon answered 404" in page) == (True, True)


def test_a_late_activation_frees_what_was_refused_before_it(hotel: Hotel) -> None:
    hotel.begin_anew(units=())
    operations.plan(ECHO, ROOM)
    apply(set_up())
    work()
    work()
    assert the_row().state == "failed"
    hotel.memory["units"].append(ROOM)
    apply(event(asp.ACTIVATION, "ready"))
    assert (the_row().state, the_row().attempts) == ("queued", 0)
    work()
    assert (the_row().state, hotel.device["unit"]) == ("done", ROOM)
