"""What strangers and broken clients send to the doors of our OAuth server: each gets its clear refusal, and nobody is sent elsewhere."""

import base64
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from oauth2_provider.models import Grant

from skill.models import Application, LinkingAttempt
from tests.skill.deeds import gone_after
from tests.skill.oauth_customer import REDIRECT, SECRET, make_alexa

ASKED = {"response_type": "code", "client_id": "alexa", "redirect_uri": REDIRECT, "scope": "alexa", "state": "s"}
EVIL = "https://evil.example/cb"
FORM = "application/x-www-form-urlencoded"

pytestmark = pytest.mark.django_db


@pytest.fixture
def alexa(db: None) -> Application:
    return make_alexa()


@pytest.fixture(params=["a stranger", "alice"])
def browser(request: Any, alexa: Application, alice: Any) -> Client:
    """Somebody's, signed in or not."""
    client = Client(raise_request_exception=False)
    if request.param == "alice":
        client.force_login(alice)
    return client


@pytest.fixture
def hers(alexa: Application, alice: Any) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    return client


def refused(answer: Any, what: Any = "") -> None:
    """It is the page that stays where it is, and names this one attempt."""
    text = str(answer.content.decode())
    assert (answer.status_code, "Location" in answer) == (400, False), (what, text)
    assert "Linking is not possible" in text, what
    attempt = LinkingAttempt.objects.get()
    assert attempt.reference in text, what
    attempt.delete()


def test_a_request_that_cannot_be_read(browser: Client) -> None:
    for query in [
        "response_type=code&client_id=%zz",
        urlencode(ASKED | {"client_id": "\0"}),
        urlencode(ASKED | {"state": "a\0b"}),
        urlencode(ASKED | {"redirect_uri": "https://layla.amazon.com:99999/api/skill/link/M1VENDOR"}),
        urlencode(ASKED | {"redirect_uri": "https://["}),
    ]:
        refused(browser.get("/o/authorize/?" + query), query)


def test_a_challenge_that_is_none_is_refused_before_the_customer_is_asked(browser: Client) -> None:
    for challenge in ["c" * 42, "c" * 129, "c" * 42 + "=", "c" * 43 + "\n"]:
        LinkingAttempt.objects.all().delete()
        pkce = {"code_challenge": challenge, "code_challenge_method": "S256"}
        answer = browser.get("/o/authorize/", ASKED | pkce)
        assert answer["Location"].startswith(REDIRECT + "?error=invalid_request"), (challenge, answer.content)
        assert LinkingAttempt.objects.get().failure == "bad_request", challenge


@pytest.mark.parametrize("pressed", [{}, {"allow": "Allow"}])
def test_a_consent_form_that_was_tampered_with(hers: Client, pressed: dict[str, str]) -> None:
    """Whether she allows it or not, a hidden field leads nowhere else."""
    for changes in [
        {"client_id": "nobody"},
        {"redirect_uri": EVIL},
        {"redirect_uri": "https://["},
        {"redirect_uri": EVIL, "resource": "no address"},
    ]:
        refused(hers.post("/o/authorize/", ASKED | changes | pressed), changes)
    assert not Grant.objects.exists()


def test_a_client_that_is_deleted_while_its_page_is_open(hers: Client, alexa: Application) -> None:
    assert hers.get("/o/authorize/", ASKED).status_code == 200
    alexa.delete()
    refused(hers.post("/o/authorize/?" + urlencode(ASKED), ASKED | {"allow": "Allow"}))


def test_a_hidden_field_that_no_column_holds(hers: Client) -> None:
    for more in [
        {"code_challenge": "c" * 129, "code_challenge_method": "S256"},
        {"nonce": "n" * 300},
        {"resource": "https://["},
        {"claims": "{"},
    ]:
        answer = hers.post("/o/authorize/?" + urlencode(ASKED | more), ASKED | more | {"allow": "Allow"})
        assert answer["Location"].startswith(REDIRECT + "?"), (more, answer.content)
        assert hers.get("/o/authorize/", ASKED | more).status_code in (200, 302), more


def test_a_stray_percent_sign_is_only_a_percent_sign(hers: Client) -> None:
    asked = urlencode(ASKED | {"state": ""}) + "100%&more=%zz"
    assert Client().get("/o/authorize/?" + asked)["Location"].startswith("/accounts/login/")
    assert hers.get("/o/authorize/?" + asked).status_code == 200
    answer = hers.post("/o/authorize/?" + asked, ASKED | {"state": "100%", "allow": "Allow"})
    assert answer["Location"].startswith(REDIRECT + "?code=")
    assert answer["Location"].endswith("&state=100%25")


def basic(pair: bytes) -> str:
    return "Basic " + base64.b64encode(pair).decode()


@pytest.mark.parametrize("door", ["/o/token/", "/o/revoke_token/"])
class TestClients:
    """Who redeems codes and revokes tokens: a wrong word is a refusal of that word, and 503 is for our own trouble alone."""

    FORM = {"grant_type": "refresh_token", "refresh_token": "x", "token": "x"}

    def send(self, door: str, more: dict[str, str] = {}, query: str = "", **headers: str) -> tuple[int, str]:  # noqa: B006
        client = Client(raise_request_exception=False)
        body = urlencode(self.FORM | more)
        answer = client.post(door + query, body, content_type=FORM, headers=headers)
        return answer.status_code, answer.json()["error"]

    def test_credentials_that_are_none(self, alexa: Application, door: str) -> None:
        for credentials in [
            basic(b"\0a:b"),
            basic(b"%00:b"),
            basic(b"alexa:%00"),
            basic(b"\xff:b"),
            basic(b"alexa"),
            "Basic \xe9",
            "Basic =",
            basic(b"alexa:guess"),
        ]:
            assert self.send(door, Authorization=credentials) == (401, "invalid_client"), credentials

    def test_an_address_with_a_query(self, alexa: Application, door: str) -> None:
        who = {"client_id": "alexa", "client_secret": SECRET}
        for query in ["?x=%zz", "?x", "?client_id=%00", "?token=x"]:
            assert self.send(door, who, query) == (400, "invalid_request"), query

    def test_a_zero_byte(self, alexa: Application, door: str) -> None:
        who = {"client_id": "alexa", "client_secret": SECRET}
        for name in ["client_id", "client_secret", "token", "refresh_token", "x\0"]:
            assert self.send(door, who | {name: "a\0b"}) == (400, "invalid_request"), name

    def test_a_database_that_is_away(self, alexa: Application, door: str) -> None:
        with gone_after(0):
            said = self.send(door, {"client_id": "alexa", "client_secret": SECRET})
        assert said == (503, "temporarily_unavailable")
