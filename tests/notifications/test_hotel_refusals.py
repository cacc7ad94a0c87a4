"""A hotel on a bad day: what Amazon refuses, what we cannot ask for, and how a person gets rid of it."""

from typing import Any

import pytest
from django.utils import timezone

from notifications import asp, asp_api, health, operations, tasks
from notifications.models import PropertyOperation
from tests.notifications.hotel import ECHO, SERIAL, Hotel
from tests.notifications.test_operations import BOB, ROLE, set_up, the_row, work
from tests.notifications.test_properties import ROOM, apply, event

pytestmark = pytest.mark.django_db
STRANGE = "amzn1.alexa.endpoint.STRANGE"


@pytest.mark.parametrize("others", [9, 10, 25])
def test_a_revocation_is_not_done_while_the_role_stands_on_a_later_page(others: int, hotel: Hotel) -> None:
    hotel.memory["roles"] = [[f"amzn1.alexa.role.did.{number}", BOB] for number in range(others)] + [[ROLE, BOB]]
    PropertyOperation.objects.create(
        kind="revoke", role_id=ROLE, principal_id=BOB, propagate=True, state="asked", due_at=timezone.now()
    )
    tasks.operate()
    assert the_row().state == "asked"
    hotel.memory["roles"].pop()
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
