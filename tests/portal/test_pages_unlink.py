"""How the link to Alexa is shown in words, and how its owner ends it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, RefreshToken

from portal.alexa_link import why
from skill import linking, outbox
from skill.models import AlexaGrant, Application, Endpoint
from tests.portal.markup import faults, page_of

ADDRESS = "/account/unlink/"


@pytest.fixture
def hers(client: Any, alice: Any) -> Any:
    """A browser in which Alice is signed in."""
    client.force_login(alice)
    return client


def granted(customer: Any, **more: Any) -> AlexaGrant:
    """As AcceptGrant leaves it, with the customer's devices introduced."""
    now = timezone.now()
    grant = AlexaGrant.objects.create(
        user=customer,
        **{
            "region": "NA",
            "accepted_at": now,
            "expires_at": now + timedelta(hours=1),
            "access_token": "Atza|at",
            "refresh_token": "Atzr|rt",
            **more,
        },
    )
    outbox.introduce(grant, customer.devices.all())
    return grant


def tokens_for_alexa(customer: Any) -> None:
    """As our token endpoint leaves them."""
    alexa = Application.objects.create(client_id="alexa", client_type="confidential", name="Alexa")
    ends = timezone.now() + timedelta(hours=1)
    access = AccessToken.objects.create(user=customer, application=alexa, token="at", scope="alexa", expires=ends)
    RefreshToken.objects.create(user=customer, application=alexa, token="rt", access_token=access)


def test_the_page_asks_first(hers: Any, machine: Any) -> None:
    grant = granted(machine.owner)
    assert "Unlink Alexa" in page_of(hers.get("/account/")).text
    page = page_of(hers.get(ADDRESS))
    assert "Unlink Alexa from your account?" in page.text
    assert faults(page) == []
    grant.refresh_from_db()
    assert grant.state == "active"


def test_unlinking(hers: Any, machine: Any) -> None:
    grant = granted(machine.owner)
    tokens_for_alexa(machine.owner)
    page = page_of(hers.post(ADDRESS, follow=True))
    assert "Alexa is unlinked" in page.text
    assert "Being unlinked" in page.text
    assert "Unlink Alexa" not in page.text
    assert faults(page) == []
    grant.refresh_from_db()
    assert grant.state == "closing"
    assert not Endpoint.objects.filter(grant=grant, wanted=True).exists()
    Endpoint.objects.update(due_at=None)  # as if the deletions were told
    linking.finish_closing()
    assert not AccessToken.objects.filter(user=machine.owner).exists()
    assert not RefreshToken.objects.filter(user=machine.owner, revoked__isnull=True).exists()


def test_unlinking_twice_is_harmless(hers: Any, machine: Any) -> None:
    grant = granted(machine.owner)
    hers.post(ADDRESS)
    grant.refresh_from_db()
    first = grant.closing_until
    assert "Alexa is not linked." in page_of(hers.post(ADDRESS, follow=True)).text
    grant.refresh_from_db()
    assert (grant.state, grant.closing_until) == ("closing", first)


def test_without_a_link_there_is_nothing_to_ask(hers: Any) -> None:
    assert "Unlink Alexa" not in page_of(hers.get("/account/")).text
    assert hers.get(ADDRESS).headers["Location"] == "/account/"
    assert "Alexa is not linked." in page_of(hers.post(ADDRESS, follow=True)).text


def test_a_stranger_is_sent_to_sign_in(client: Any, machine: Any) -> None:
    grant = granted(machine.owner)
    for answer in (client.get(ADDRESS), client.post(ADDRESS)):
        assert answer.headers["Location"] == f"/accounts/login/?next={ADDRESS}"
    grant.refresh_from_db()
    assert grant.state == "active"


def test_another_customer_unlinks_only_herself(client: Any, machine: Any, bob: Any) -> None:
    grant = granted(machine.owner)
    client.force_login(bob)
    assert client.get(ADDRESS).headers["Location"] == "/account/"
    client.post(ADDRESS)
    grant.refresh_from_db()
    assert grant.state == "active"


def test_a_form_of_another_site_unlinks_nobody(machine: Any) -> None:
    grant = granted(machine.owner)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(machine.owner)
    assert strict.post(ADDRESS).status_code == 403
    grant.refresh_from_db()
    assert grant.state == "active"


def test_why_reporting_stopped(hers: Any, machine: Any) -> None:
    for reason, words in (
        ("Unlinked by the customer.", "Reporting has stopped because you unlinked it here, on "),
        ("Amazon: SKILL_DISABLED_EXCEPTION", "Reporting has stopped because the skill was disabled in the Alexa app"),
        ("Login with Amazon: invalid_grant", "because Amazon no longer accepts the permission"),
    ):
        AlexaGrant.objects.all().delete()
        grant = granted(machine.owner)
        assert linking.close(grant.pk, grant.generation, reason)
        for address in ("/", "/account/", f"/devices/{machine.serial_number}/"):
            answer = hers.get(address)
            page = page_of(answer)
            assert words in page.text, address
            assert "Not linked" in page.text, (reason, address)
            assert faults(page) == [], (reason, address)
            assert "EXCEPTION" not in answer.content.decode()
            assert "invalid_grant" not in answer.content.decode()


def test_a_reason_that_nobody_foresaw_still_reads_well() -> None:
    assert why("Something new") == "Amazon ended it"


def test_a_link_in_trouble_says_that_reports_are_late(hers: Any, machine: Any) -> None:
    granted(machine.owner, trouble="Login with Amazon answered 503.")
    page = page_of(hers.get("/account/"))
    assert "Amazon does not accept our reports at the moment" in page.text
    assert "503" not in page.text


def test_a_new_link_counts_more_than_one_that_ended(hers: Any, machine: Any) -> None:
    ended = granted(machine.owner, region="EU")
    linking.close(ended.pk, ended.generation, "Amazon: disabled")
    granted(machine.owner)
    text = page_of(hers.get("/account/")).text
    assert "Reports go out" in text
    assert "stopped" not in text
