"""Home and account of a customer who is signed in, and the pages for when it fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone
from django.views import defaults

from portal import views
from skill.models import AlexaGrant
from tests.portal.household import claimed, ordered, owned_for, reported
from tests.portal.markup import Page, faults, page_of


@pytest.fixture
def hers(client: Any, alice: Any) -> Any:
    """A browser in which Alice is signed in."""
    client.force_login(alice)
    return client


def linked(customer: Any) -> AlexaGrant:
    """As AcceptGrant leaves it."""
    now = timezone.now()
    return AlexaGrant.objects.create(
        user=customer,
        region="NA",
        state="active",
        accepted_at=now,
        expires_at=now + timedelta(hours=1),
        access_token="Atza|at",
        refresh_token="Atzr|rt",
    )


def test_home_of_a_new_customer(hers: Any) -> None:
    page = page_of(hers.get("/"))
    for words in ("Hello Alice", "Add your first device", "No device yet", "No orders yet", "Not linked"):
        assert words in page.text
    assert faults(page) == []


def test_home_says_what_runs_low_and_what_was_ordered(hers: Any, machine: Any) -> None:
    reported(owned_for(machine, 10), "90", "15")
    ordered(machine)
    page = page_of(hers.get("/"))
    for words in ("Crema 20 runs low.", "15 %", "Ordered", "24 Dec 2030", "Can be cancelled until"):
        assert words in page.text
    assert faults(page) == []


def test_home_with_several_low_and_with_none(hers: Any, machine: Any, crema: Any) -> None:
    second = claimed(machine.owner, crema, "CRM20-0002", "Office")
    reported(machine, "60")
    reported(second, "60")
    assert "Nothing runs low." in page_of(hers.get("/")).text
    reported(machine, "10", first=2)
    reported(second, "10", first=2)
    assert "2 of your devices run low." in page_of(hers.get("/")).text


def test_the_link_to_alexa_is_shown_as_it_is(hers: Any, alice: Any) -> None:
    grant = linked(alice)
    for state, words in (("active", "Reports go out"), ("closed", "Not linked"), ("dormant", "Not linked")):
        AlexaGrant.objects.filter(pk=grant.pk).update(state=state)
        for address in ("/", "/account/"):
            answer = hers.get(address)
            assert words in page_of(answer).text, state
            assert b"Atza|" not in answer.content
            assert b"Atzr|" not in answer.content


def test_another_customers_link_is_not_ones_own(hers: Any, bob: Any) -> None:
    linked(bob)
    assert "Not linked" in page_of(hers.get("/")).text


def test_pages_of_the_account(hers: Any, settings: Any) -> None:
    for address, title in (
        ("/account/", "Account"),
        ("/accounts/email/", "Email addresses"),
        ("/accounts/password/change/", "Change password"),
        ("/accounts/logout/", "Sign out"),
        ("/accounts/reauthenticate/", "Is it you?"),
        ("/devices/add/", "Add a device"),
    ):
        answer = hers.get(address)
        page = page_of(answer)
        assert answer.status_code == 200, address
        assert page.text_of("title") == f"{title} · {settings.SITE_NAME}"
        assert faults(page) == [], address


def test_another_name(hers: Any, alice: Any) -> None:
    answer = hers.post(
        "/account/", {"name": "Alice Liddell", "is_staff": "on", "email": "root@example.com"}, follow=True
    )
    assert "Your name is saved." in page_of(answer).text
    alice.refresh_from_db()
    assert (alice.name, alice.is_staff, alice.email) == ("Alice Liddell", False, "alice@example.com")


def test_a_name_too_long_is_answered_at_the_field(hers: Any, alice: Any) -> None:
    answer = hers.post("/account/", {"name": "x" * 129})
    page = page_of(answer)
    assert answer.status_code == 400
    assert next(e for e in page.all("input") if e.attributes.get("name") == "name").attributes["aria-invalid"] == "true"
    assert faults(page) == []
    alice.refresh_from_db()
    assert alice.name == "Alice"


def test_a_name_is_text_not_markup(hers: Any) -> None:
    hers.post("/account/", {"name": "<script>alert(1)</script>"})
    answer = hers.get("/")
    assert "<script>alert" not in answer.content.decode()
    assert faults(page_of(answer)) == []


def test_signing_out_is_post_only(hers: Any) -> None:
    hers.get("/accounts/logout/")
    assert hers.get("/account/").status_code == 200
    hers.post("/accounts/logout/")
    assert hers.get("/account/").status_code == 302


def test_another_password_wants_the_old_one(hers: Any, alice: Any) -> None:
    page = page_of(
        hers.post(
            "/accounts/password/change/",
            {"oldpassword": "wrong", "password1": "a long enough one", "password2": "a long enough one"},
        )
    )
    assert faults(page) == []
    alice.refresh_from_db()
    assert alice.check_password("correct horse battery")


def test_the_addresses_can_be_managed(hers: Any, alice: Any) -> None:
    page = page_of(hers.post("/accounts/email/", {"action_add": "", "email": "second@example.com"}, follow=True))
    assert "second@example.com" in page.text
    assert "Not confirmed" in page.text
    assert faults(page) == []


def test_navigation_says_where_one_is(hers: Any) -> None:
    for address, name in (("/", "Home"), ("/devices/", "Devices"), ("/orders/", "Orders"), ("/account/", "Account")):
        page = page_of(hers.get(address))
        assert [e.text.strip() for e in page.all("a") if e.attributes.get("aria-current") == "page"] == [name]


def test_staff_find_their_console_and_customers_do_not(hers: Any, alice: Any) -> None:
    assert "Staff console" not in page_of(hers.get("/")).text
    alice.is_staff = True
    alice.save()
    assert "Staff console" in page_of(hers.get("/")).text


def test_an_address_that_does_not_exist(client: Any, db: None) -> None:
    answer = client.get("/nowhere/")
    assert answer.status_code == 404
    assert "Nothing here" in page_of(answer).text
    assert faults(page_of(answer)) == []


def test_a_form_without_its_token_says_how_to_go_on(alice: Any) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    answer = strict.post("/account/", {"name": "Mallory"})
    assert answer.status_code == 403
    assert "This page was open too long" in page_of(answer).text
    assert faults(page_of(answer)) == []


def test_the_page_of_our_own_failure_needs_no_database(rf: Any, settings: Any) -> None:
    answer = views.server_error(rf.get("/"))
    page = Page(answer.content.decode())
    assert answer.status_code == 500
    assert settings.SITE_NAME in page.text_of("title")
    assert faults(page) == []


@pytest.mark.parametrize(("view", "status"), [(views.bad_request, 400), (defaults.permission_denied, 403)])
def test_the_other_pages_of_failure(view: Any, status: int, rf: Any, db: None) -> None:
    answer = view(rf.get("/"), Exception("inner words"))
    assert answer.status_code == status
    assert faults(page_of(answer)) == []
    assert "inner words" not in answer.content.decode()


def test_too_many_attempts(rf: Any, db: None) -> None:
    page = Page(render_to_string("429.html", request=rf.get("/")))
    assert "Please wait a few minutes" in page.text
    assert faults(page) == []
