"""Sign-up and a forgotten password in the middle of linking, as production has them; `state` of any length; what a second link does."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from skill.models import AlexaGrant, Application, LinkingAttempt
from tests.portal.household import PASSWORD
from tests.portal.markup import faults, page_of
from tests.portal.test_pages_entrance import RETURN, alexa, authorize, hidden  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def as_in_production(settings: Any) -> None:
    cache.clear()
    reverse(
        "home"
    )  # the library's addresses depend on these settings; other tests in this process need those of the embedded portal
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


LENGTHS = (1, 500, 4000, 20_000)


def state_of(length: int) -> str:
    return ("A2S~-._%2F+é/=&?#" * 2000)[:length]


def consent(client: Any, address: str, state: str, **allow: str) -> None:
    """From the consent page at this address the state goes back to Alexa as it came."""
    page = page_of(client.get(address))
    back = client.post(address, hidden(page) | allow)["Location"]
    assert parse_qs(urlsplit(back).query)["state"] == [state]
    assert quote(state, safe="") in back.replace("+", "%20"), "byte for byte, as it was sent"


def test_state_of_any_length_from_sign_in_to_alexa(client: Any, alexa: Any, alice: Any) -> None:  # noqa: F811
    from allauth.account.models import EmailAddress

    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    for length in LENGTHS:
        client.logout()
        begun = client.get(authorize(state=state_of(length)), follow=True)
        typed = {"login": alice.email, "password": PASSWORD, "next": hidden(page_of(begun))["next"]}
        there = client.post("/accounts/login/", typed)["Location"]
        consent(client, there, state_of(length))
        consent(client, there, state_of(length), allow="Allow")


def test_state_of_any_length_from_sign_up_to_alexa(client: Any, alexa: Any, mailoutbox: Any) -> None:  # noqa: F811
    for length in LENGTHS:
        client.logout()
        begun = page_of(client.get(authorize(state=state_of(length)), follow=True))
        (sign_up,) = {
            e.attributes["href"] for e in begun.all("a") if "/accounts/signup/" in e.attributes.get("href", "")
        }
        new = {"email": f"carol{length}@example.com", "password1": "a long enough one"}
        page = page_of(client.post(sign_up, hidden(page_of(client.get(sign_up))) | new, follow=True))
        form = page.all("form")[0].attributes["action"]
        there = client.post(form, hidden(page) | {"code": code_in(mailoutbox[-1])})["Location"]
        consent(client, there, state_of(length), allow="Allow")


def test_state_of_any_length_stays_with_somebody_else(client: Any, alexa: Any, alice: Any, bob: Any) -> None:  # noqa: F811
    """*Not you?* on the consent page signs out and comes back to it."""
    client.force_login(bob)
    page = page_of(client.get(authorize(state=state_of(20_000))))
    (out,) = [e for e in page.all("form") if e.attributes.get("action") == "/accounts/logout/"]
    (then,) = [e.attributes["value"] for e in out.inside if e.attributes.get("name") == "next"]
    client.post("/accounts/logout/", {"next": then}, follow=True)
    begun = page_of(client.get(then))
    client.force_login(alice)
    consent(client, hidden(begun)["next"], state_of(20_000), allow="Allow")
    assert LinkingAttempt.objects.get().user == alice
    assert LinkingAttempt.objects.get().asked == "", "it is needed no more"


def test_a_long_request_that_cannot_be_kept_is_refused_in_words(client: Any, alexa: Any, monkeypatch: Any) -> None:  # noqa: F811
    """Rather than lost after signing in. Short ones need not be kept."""
    monkeypatch.setattr("skill.attempts.OF_ALL_STRANGERS", 0)
    assert client.get(authorize()).status_code == 302
    answer = client.get(authorize(state=state_of(20_000)))
    assert answer.status_code == 503
    assert "Too many begin to link from where you are" in page_of(answer).text


def test_a_key_of_nothing_is_an_incomplete_request(client: Any, alexa: Any, alice: Any) -> None:  # noqa: F811
    client.force_login(alice)
    for key in ("0" * 64, "%00", "x" * 5000):
        answer = client.get(f"/o/authorize/?attempt={key}")
        assert answer.status_code == 400, key
        assert "Linking is not possible" in page_of(answer).text, key


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


def test_the_page_about_alexa_tells_of_the_attempt_that_failed(client: Any, alexa: Any, alice: Any, bob: Any) -> None:  # noqa: F811
    client.force_login(alice)
    client.post(authorize(), hidden(page_of(client.get(authorize()))))
    page = page_of(client.get("/alexa/"))
    assert "You pressed Cancel" in page.text
    assert LinkingAttempt.objects.get().reference in page.text
    assert faults(page) == []
    client.force_login(bob)
    assert "did not succeed" not in page_of(client.get("/alexa/")).text, "it is Alice's own"
    client.force_login(alice)
    AlexaGrant.objects.create(user=alice, region="NA", accepted_at=timezone.now(), expires_at=timezone.now())
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
