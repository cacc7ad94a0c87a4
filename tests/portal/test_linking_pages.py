"""Sign-up and a forgotten password in the middle of linking, as production has them; `state` of any length; what a second link does."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from skill.models import AlexaGrant, Application, LinkingAttempt
from tests.portal.markup import faults, page_of
from tests.portal.test_pages_entrance import RETURN, alexa, authorize, hidden  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def as_in_production(settings: Any) -> None:
    cache.clear()
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True


def code_in(mail: Any) -> str:
    return re.findall(r"^[A-Z0-9-]{6,12}$", mail.body, re.MULTILINE)[0]


def test_signing_up_with_a_mailed_code_leads_to_consent(client: Any, alexa: Any, mailoutbox: Any) -> None:  # noqa: F811
    new = {"email": "carol@example.com", "password1": "a long enough one", "next": authorize()}
    page = page_of(client.post("/accounts/signup/", new, follow=True))
    assert page.text_of("h1") == "Confirm your email address"
    assert faults(page) == []
    answer = client.post(page.all("form")[0].attributes["action"], hidden(page) | {"code": code_in(mailoutbox[-1])})
    assert answer.status_code == 302
    assert answer["Location"] == authorize()
    assert "Link Alexa to your" in page_of(client.get(answer["Location"])).text
    attempt = LinkingAttempt.objects.get()
    assert attempt.user.email == "carol@example.com"  # type: ignore[union-attr]


def test_a_new_password_leads_to_consent(client: Any, alexa: Any, alice: Any, mailoutbox: Any) -> None:  # noqa: F811
    from allauth.account.models import EmailAddress

    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    asked = {"email": alice.email, "next": authorize()}
    page = page_of(client.post("/accounts/password/reset/", asked, follow=True))
    form = page.all("form")[0].attributes["action"]
    page = page_of(client.post(form, hidden(page) | {"code": code_in(mailoutbox[-1])}, follow=True))
    assert page.text_of("h1") == "Choose a new password"
    form = page.all("form")[0].attributes["action"]
    typed = {"password1": "another long one", "password2": "another long one"}
    answer = client.post(form, hidden(page) | typed)
    assert answer["Location"] == authorize()


@pytest.mark.parametrize("length", [1, 500, 4000])
def test_state_of_any_length_from_sign_in_to_alexa(client: Any, alexa: Any, alice: Any, length: int) -> None:  # noqa: F811
    state = ("A2S~-._%2F+é/=&?#" * 1000)[:length]
    begun = client.get(authorize(state=state), follow=True)
    signed = {"login": alice.email, "password": "correct horse battery", "next": hidden(page_of(begun))["next"]}
    client.force_login(alice)
    assert client.get(signed["next"]).status_code == 200
    for allow in ({"allow": "Allow"}, {}):
        page = page_of(client.get(signed["next"]))
        back = client.post(signed["next"], hidden(page) | allow)["Location"]
        assert parse_qs(urlsplit(back).query)["state"] == [state]
        assert quote(state, safe="") in back.replace("+", "%20"), "byte for byte, as it was sent"


def test_consent_that_was_given_before_is_asked_for_again_and_says_so(client: Any, alexa: Any, alice: Any) -> None:  # noqa: F811
    now = timezone.now()
    AlexaGrant.objects.create(user=alice, region="NA", accepted_at=now, expires_at=now)
    client.force_login(alice)
    page = page_of(client.get(authorize()))
    assert "linked already" in page.text
    assert "another one that was linked hears nothing more" in page.text
    assert faults(page) == []


def test_a_refused_page_shows_its_reference_to_a_stranger(client: Any, alexa: Any) -> None:  # noqa: F811
    answer = client.get(authorize(client_id="nobody"))
    assert answer.status_code == 400
    page = page_of(answer)
    assert LinkingAttempt.objects.get().reference in page.text
    assert faults(page) == []


def test_the_page_about_alexa_tells_of_the_attempt_that_failed(client: Any, alexa: Any, alice: Any) -> None:  # noqa: F811
    client.force_login(alice)
    client.post(authorize(), hidden(page_of(client.get(authorize()))))
    page = page_of(client.get("/alexa/"))
    assert "You pressed Cancel" in page.text
    assert LinkingAttempt.objects.get().reference in page.text
    assert faults(page) == []
    AlexaGrant.objects.create(user=alice, region="NA", accepted_at=timezone.now(), expires_at=timezone.now())
    assert "did not succeed" not in page_of(client.get("/alexa/")).text


def test_another_customers_attempt_is_not_shown(client: Any, alexa: Any, alice: Any, bob: Any) -> None:  # noqa: F811
    client.force_login(alice)
    client.post(authorize(), hidden(page_of(client.get(authorize()))))
    client.force_login(bob)
    assert "did not succeed" not in page_of(client.get("/alexa/")).text


def test_a_consent_page_that_was_open_too_long_leads_back_to_itself(alexa: Any, alice: Any) -> None:  # noqa: F811
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    answer = browser.post(authorize(), {"allow": "Allow"})
    page = page_of(answer)
    assert answer.status_code == 403
    assert "nothing was linked" in page.text
    assert authorize() in [e.attributes.get("href") for e in page.all("a")]
    assert faults(page) == []


def test_no_page_on_the_way_needs_a_script(client: Any, alexa: Any, alice: Any) -> None:  # noqa: F811
    """Every way on is a link or a form; nothing opens a window."""
    for address in (authorize(), "/accounts/signup/", "/accounts/password/reset/"):
        page = page_of(client.get(address, follow=True))
        assert page.all("form")
        assert [e for e in page.elements if e.attributes.get("target") or "onclick" in e.attributes] == []


def test_a_wrong_client_is_no_reason_to_sign_in(client: Any, db: None) -> None:
    Application.objects.all().delete()
    assert client.get(authorize()).status_code == 400
    assert RETURN not in client.get(authorize()).headers.get("Location", "")
