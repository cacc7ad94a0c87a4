"""Signing in, signing up and forgotten passwords, alone and in the middle of linking Alexa in a phone's web view."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client

from skill.models import Application
from tests.portal.household import PASSWORD, claimed
from tests.portal.markup import Page, faults, page_of

RETURN = "https://pitangui.amazon.com/api/skill/link/M1VENDOR"
STATE = "A2SAAEAEBx" * 40


@pytest.fixture(autouse=True)
def nobody_was_throttled(db: None) -> None:
    cache.clear()


@pytest.fixture
def alexa(db: None) -> Any:
    """Alexa as a client of our OAuth server."""
    return Application.objects.create(
        name="Alexa",
        client_id="alexa-client",
        client_secret="s" * 64,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=RETURN,
    )


def authorize(**changes: str) -> str:
    """Where the Alexa app sends the customer."""
    query = {
        "response_type": "code",
        "client_id": "alexa-client",
        "redirect_uri": RETURN,
        "scope": "alexa",
        "state": STATE,
    }
    return "/o/authorize/?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in (query | changes).items())


def hidden(page: Page) -> dict[str, str]:
    """The hidden fields of the page's first form."""
    inside = page.all("form")[0].inside
    return {e.attributes["name"]: e.attributes.get("value", "") for e in inside if e.attributes.get("type") == "hidden"}


def test_pages_for_those_who_are_not_signed_in(client: Any, db: None, settings: Any) -> None:
    for address, title in (
        ("/", "Never run out"),
        ("/accounts/login/", "Sign in"),
        ("/accounts/signup/", "Create an account"),
        ("/accounts/password/reset/", "Forgotten password"),
        ("/accounts/password/reset/done/", "Password changed"),
        ("/accounts/confirm-email/", "Look into your mail"),
        ("/accounts/confirm-email/nonsense/", "Confirm your email address"),
        ("/accounts/inactive/", "This account is switched off"),
    ):
        answer = client.get(address)
        page = page_of(answer)
        assert answer.status_code == 200, address
        assert page.text_of("title") == f"{title} · {settings.SITE_NAME}"
        assert faults(page) == [], address
        assert [e for e in page.all("nav") if e.attributes.get("aria-label") == "Main"] == [], address


def test_the_policy_of_the_pages_allows_nothing_inline(client: Any, db: None) -> None:
    answer = client.get("/accounts/login/")
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"


def test_signing_in(client: Any, alice: Any) -> None:
    answer = client.post("/accounts/login/", {"login": "ALICE@example.com", "password": PASSWORD}, follow=True)
    assert answer.redirect_chain[-1][0] == "/"
    assert "Hello Alice" in page_of(answer).text


def test_unknown_address_and_wrong_password_read_the_same(client: Any, alice: Any) -> None:
    texts = set()
    for email, password in (("alice@example.com", "wrong"), ("nobody@example.com", PASSWORD)):
        page = page_of(client.post("/accounts/login/", {"login": email, "password": password}))
        assert [e.text for e in page.elements if e.attributes.get("role") == "alert"] != []
        assert faults(page) == []
        texts.add(page.text)
    assert len(texts) == 1


def test_signing_up(client: Any, db: None, django_user_model: Any, mailoutbox: Any) -> None:
    client.post("/accounts/signup/", {"email": "carol@example.com", "password1": "a long enough one"})
    assert django_user_model.objects.filter(email="carol@example.com").exists()
    assert "Hello," in mailoutbox[0].body
    assert "testserver" not in mailoutbox[0].body.splitlines()[0]


@pytest.mark.parametrize("field", ["email", "password1"])
def test_a_wrong_sign_up_is_answered_at_the_field(field: str, client: Any, db: None) -> None:
    wrong = {"email": "carol@example.com", "password1": "a long enough one"} | {field: "12"}
    page = page_of(client.post("/accounts/signup/", wrong))
    control = next(e for e in page.all("input") if e.attributes.get("name") == field)
    assert control.attributes["aria-invalid"] == "true"
    assert faults(page) == []


def test_a_forgotten_password_from_mail_to_new_password(client: Any, alice: Any, mailoutbox: Any) -> None:
    page = page_of(client.post("/accounts/password/reset/", {"email": "alice@example.com"}, follow=True))
    assert page.text_of("h1") == "Enter the code"
    assert faults(page) == []
    [code] = re.findall(r"^[A-Z0-9-]{6,12}$", mailoutbox[0].body, re.MULTILINE)
    page = page_of(client.post(page.all("form")[0].attributes["action"], {"code": code}, follow=True))
    assert page.text_of("h1") == "Choose a new password"
    assert faults(page) == []
    form = page.all("form")[0].attributes["action"]
    done = client.post(form, {"password1": "another long one", "password2": "another long one"}, follow=True)
    assert "Hello Alice" in page_of(done).text
    assert client.login(email="alice@example.com", password="another long one")


def test_a_wrong_code_changes_nothing(client: Any, alice: Any, mailoutbox: Any) -> None:
    page = page_of(client.post("/accounts/password/reset/", {"email": "alice@example.com"}, follow=True))
    page = page_of(client.post(page.all("form")[0].attributes["action"], {"code": "WRONG1"}, follow=True))
    assert page.text_of("h1") == "Enter the code"
    assert faults(page) == []
    assert client.login(email="alice@example.com", password=PASSWORD)


def test_an_unknown_address_is_not_told_from_a_known_one(client: Any, alice: Any) -> None:
    texts = set()
    for email in ("alice@example.com", "x@example.com"):
        page = page_of(client.post("/accounts/password/reset/", {"email": email}, follow=True))
        texts.add(page.text.replace(email, "…"))
    assert len(texts) == 1


# --- In the middle of linking ---


def test_signed_out_customers_sign_in_first_and_are_told_why(client: Any, alexa: Any) -> None:
    answer = client.get(authorize(), follow=True)
    page = page_of(answer)
    assert answer.redirect_chain[0][0].startswith("/accounts/login/?next=/o/authorize/")
    assert "You are linking Alexa" in page.text
    assert hidden(page)["next"] == authorize()
    assert faults(page) == []


def test_without_linking_nothing_is_said_of_it(client: Any, db: None) -> None:
    assert "linking Alexa" not in page_of(client.get("/accounts/login/?next=/devices/")).text


def test_every_way_from_the_sign_in_page_keeps_the_request(client: Any, alexa: Any) -> None:
    page = page_of(client.get(authorize(), follow=True))
    ways = [e.attributes["href"] for e in page.all("a") if "/accounts/" in e.attributes.get("href", "")]
    assert {urlsplit(way).path for way in ways} == {"/accounts/signup/", "/accounts/password/reset/"}
    for way in ways:
        assert hidden(page_of(client.get(way)))["next"] == authorize()


def test_a_wrong_password_on_the_way_keeps_the_request(client: Any, alexa: Any, alice: Any) -> None:
    answer = client.post("/accounts/login/", {"login": alice.email, "password": "wrong", "next": authorize()})
    assert hidden(page_of(answer))["next"] == authorize()
    assert "You are linking Alexa" in page_of(answer).text


def test_signing_in_leads_to_consent_with_the_request_unchanged(client: Any, alexa: Any, alice: Any) -> None:
    answer = client.post("/accounts/login/", {"login": alice.email, "password": PASSWORD, "next": authorize()})
    assert answer.url == authorize()


def test_signing_up_leads_to_consent_too(client: Any, alexa: Any) -> None:
    new = {"email": "carol@example.com", "password1": "a long enough one", "next": authorize()}
    assert client.post("/accounts/signup/", new).url == authorize()


def test_a_foreign_address_is_never_gone_to(client: Any, alice: Any) -> None:
    answer = client.post(
        "/accounts/login/", {"login": alice.email, "password": PASSWORD, "next": "https://evil.example/"}
    )
    assert answer.url == "/"


def test_signed_in_at_once_is_signed_in(alice: Any) -> None:
    def left(sign_in: Any) -> Any:
        browser, alice.last_login = Client(), None
        sign_in(browser, alice)
        cookie = browser.cookies["sessionid"]
        assert alice.last_login == type(alice).objects.get().last_login is not None
        session = Session.objects.get(session_key=cookie.value)
        return session.get_decoded(), len(cookie.value), cookie["path"], browser.get("/account/").status_code

    assert left(Client.force_login) == left(lambda browser, user: browser._login(user, browser._get_backend()))
    assert Session.objects.count() == 2


def test_consent_names_what_alexa_will_see_and_who_is_signed_in(
    client: Any, alexa: Any, alice: Any, crema: Any
) -> None:
    for number in range(1, 6):
        claimed(alice, crema, f"CRM20-000{number}", f"Machine {number}")
    client.force_login(alice)
    page = page_of(client.get(authorize()))
    for words in (
        "Link Alexa to your",
        "(Machine 1, Machine 2, Machine 3 and 2 more)",
        "how much is left",
        "alice@example.com",
    ):
        assert words in page.text
    assert "It does not get your password" in page.text
    assert [e.text for e in page.all("button")] == ["Allow", "Cancel", "Not you?"]
    assert faults(page) == []


def test_allow_and_cancel_return_the_state_unchanged_and_what_was_tampered_with_is_refused(
    client: Any, alexa: Any, alice: Any
) -> None:
    client.force_login(alice)
    form = hidden(page_of(client.get(authorize())))
    tampered = client.post(authorize(), form | {"allow": "Allow", "redirect_uri": "https://evil.example/"})
    assert tampered.status_code == 400
    assert "Location" not in tampered
    query = parse_qs(urlsplit(client.post(authorize(), form).url).query)
    assert (query["error"], query["state"]) == (["access_denied"], [STATE])
    assert "code" not in query
    answer = client.post(authorize(), form | {"allow": "Allow"})
    query = parse_qs(urlsplit(answer.url).query)
    assert answer.url.startswith(RETURN + "?")
    assert query["state"] == [STATE]
    assert query["code"]


def test_not_you_signs_out_and_comes_back_to_the_same_request(client: Any, alexa: Any, alice: Any) -> None:
    client.force_login(alice)
    page = page_of(client.get(authorize()))
    switch = page.all("form")[1]
    target = next(e.attributes["value"] for e in switch.inside if e.attributes.get("name") == "next")
    answer = client.post(switch.attributes["action"], {"next": unescape(target)}, follow=True)
    assert page_of(answer).text_of("h1") == "Sign in"
    assert hidden(page_of(answer))["next"] == authorize()


def test_a_wrong_client_or_return_address_is_a_page_and_no_redirect(client: Any, alexa: Any, alice: Any) -> None:
    client.force_login(alice)
    for wrong in ({"client_id": "nobody"}, {"redirect_uri": "https://evil.example/"}):
        answer = client.get(authorize(**wrong))
        page = page_of(answer)
        assert answer.status_code == 400, wrong
        assert page.text_of("h1") == "Linking is not possible"
        assert "evil.example" not in answer.content.decode()
        assert page.all("form") == []
        assert faults(page) == [], wrong
