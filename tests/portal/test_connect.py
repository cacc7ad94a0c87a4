"""Linking from our own page: to Amazon and back, while Amazon asks our token endpoint before it answers."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from wsgiref.simple_server import WSGIServer, make_server

import pytest
import requests
from django.core.wsgi import get_wsgi_application
from django.db import connection, connections
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Grant, RefreshToken

from skill import delivery, enablement, linking, oauth
from skill.models import AlexaGrant, Application, Enablement, Endpoint, LinkingAttempt
from tests.portal.markup import faults, page_of
from tests.skill.amazon_far_side import Amazon
from tests.skill.deeds import make_due

pytestmark = pytest.mark.django_db(transaction=True)
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X)"
SECRET = "s3cret"


@pytest.fixture
def amazon(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Amazon]:
    from celery import current_app

    monkeypatch.setattr(current_app, "send_task", lambda name, **options: None)
    monkeypatch.setattr("skill.delivery.LINGER_SECONDS", -1)
    far_side = Amazon()
    for name, value in far_side.settings().items():
        setattr(settings, name, value)
    settings.ALEXA_SKILL_ID = "amzn1.ask.skill.1"
    settings.REPORT_SETTLING = settings.REPORT_MIN_INTERVAL = 0
    yield far_side
    far_side.stop()


@pytest.fixture
def alexa(db: None) -> Application:
    return Application.objects.create(
        client_id="alexa",
        client_type="confidential",
        authorization_grant_type="authorization-code",
        redirect_uris=f"https://layla.amazon.com/api/skill/link/M1 {enablement.return_address()}",
        client_secret=SECRET,
    )


@pytest.fixture
def hers(client: Client, alice: Any) -> Client:
    client.force_login(alice)
    return client


def begin(browser: Client, **form: str) -> dict[str, str]:
    """Press Connect; what Amazon is asked."""
    answer = browser.post("/alexa/connect/", form)
    assert answer.status_code == 302, answer.content
    return {name: values[0] for name, values in parse_qs(urlsplit(answer["Location"]).query).items()}


def connect(browser: Client) -> None:
    """From the button to the answer that leads back to the page."""
    assert browser.get("/alexa/return/", {"code": "c", "state": begin(browser)["state"]}).url == "/alexa/"


def come_back(browser: Client, **query: str) -> Any:
    return browser.get("/alexa/return/", query, follow=True)


def redeem(body: Any, post: Any = None) -> Any:
    """As Alexa does while the portal waits."""
    link = body["accountLinkRequest"]
    form = {"grant_type": "authorization_code", "code": link["authCode"], "redirect_uri": link["redirectUri"]}
    form |= {"client_id": "alexa", "client_secret": SECRET}
    return post(form) if post else Client().post("/o/token/", form)


def enabling(method: str, body: Any) -> tuple[int, Any]:
    """Amazon redeems our code, sends AcceptGrant, and says 201."""
    try:
        if method == "DELETE":
            return 204, None
        if method == "GET":
            return 200, {"status": "ENABLED", "accountLink": {"status": "LINKED"}}
        tokens = redeem(body)
        if tokens.status_code != 200:
            return 400, {"message": "Invalid account linking credentials"}
        token = tokens.json()["access_token"]
        linking.accept_grant(oauth.customer(token), f"lwa-{time.monotonic_ns()}", "NA", token)
        return 201, {"status": "ENABLED"}
    finally:
        connections.close_all()


def test_from_the_button_to_the_link(hers: Client, alexa: Any, machine: Any, amazon: Amazon, alice: Any) -> None:
    amazon.enable_script = enabling
    page = page_of(hers.get("/alexa/"))
    assert "Connect to Alexa" in page.text
    assert faults(page) == []
    asked = begin(hers, via="web")
    assert asked["scope"] == "alexa::skills:account_linking"
    assert (asked["response_type"], asked["skill_stage"]) == ("code", "live")
    assert asked["redirect_uri"] == enablement.return_address()
    page = page_of(come_back(hers, code="amazons-code", state=asked["state"]))
    assert "Alexa is connected" in page.text
    assert "Linked" in page.text_of("main")
    assert faults(page) == []
    exchange = amazon.token_requests[0]
    assert exchange["redirect_uri"] == enablement.return_address()
    digest = hashlib.sha256(exchange["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
    ((method, body, token),) = amazon.enablements
    assert (method, body["stage"]) == ("POST", "live")
    assert body["accountLinkRequest"]["type"] == "AUTH_CODE"
    assert body["accountLinkRequest"]["redirectUri"] == enablement.return_address()
    assert body["accountLinkRequest"]["authCode"] not in ("amazons-code", "")
    assert Enablement.objects.get().access_token == token
    attempt = LinkingAttempt.objects.get()
    assert (attempt.way, attempt.user) == ("ours", alice)
    assert attempt.redeemed_at
    assert attempt.tokens_at
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM skill_enablement t")
        assert "Atz" not in cursor.fetchone()[0], "Amazon's tokens are encrypted"


def test_a_phone_gets_the_app_and_can_do_without(hers: Client, alexa: Any, amazon: Amazon) -> None:
    page = page_of(hers.get("/alexa/", HTTP_USER_AGENT=PHONE))
    assert [e.attributes["value"] for e in page.all("button") if e.attributes.get("name") == "via"] == ["app", "web"]
    answer = hers.post("/alexa/connect/", {"via": "app"})
    assert "fragment=skill-account-linking-consent" in answer["Location"]
    assert "fragment" not in hers.post("/alexa/connect/", {"via": "web"})["Location"]


def test_without_a_skill_id_the_page_explains_the_app(hers: Client, amazon: Amazon, settings: Any) -> None:
    settings.ALEXA_SKILL_ID = ""
    Application.objects.create(redirect_uris=enablement.return_address(), client_id="alexa")
    page = page_of(hers.get("/alexa/"))
    assert "Connect to Alexa" not in page.text
    assert "Skills & Games" in page.text
    assert faults(page) == []
    assert hers.post("/alexa/connect/")["Location"] == "/alexa/"
    settings.ALEXA_SKILL_ID = "amzn1.ask.skill.1"
    Application.objects.all().delete()
    assert "Connect to Alexa" not in page_of(hers.get("/alexa/")).text, "no client would redeem our code"
    assert not LinkingAttempt.objects.exists()


def test_a_return_that_is_not_right_links_nothing_and_says_so(hers: Client, alexa: Any, amazon: Amazon) -> None:
    for query, cause in (
        ({"code": "c", "state": "of a stranger"}, "state_unknown"),
        ({"code": "c"}, "state_unknown"),
        ({"error": "access_denied", "state": "ours"}, "amazon_said_no"),
        ({"state": "ours"}, "amazon_said_no"),
    ):
        asked = begin(hers)
        page = page_of(come_back(hers, **{k: asked["state"] if v == "ours" else v for k, v in query.items()}))
        attempt = LinkingAttempt.objects.latest("pk")
        assert attempt.failure == cause, query
        assert attempt.reference in page.text, query
        assert faults(page) == [], query
    assert amazon.token_requests == []
    assert not Grant.objects.exists()


def test_a_state_works_once_and_only_in_its_own_browser(
    hers: Client, alexa: Any, machine: Any, bob: Any, amazon: Amazon
) -> None:
    amazon.enable_script = enabling
    asked = begin(hers)
    his = Client()
    his.force_login(bob)
    come_back(his, code="c", state=asked["state"])
    assert amazon.enablements == []
    come_back(hers, code="c", state="a forged link, which must use nothing up")
    come_back(hers, code="c", state=asked["state"])
    assert "connected already" in page_of(come_back(hers, code="c", state=asked["state"])).text
    assert len(amazon.enablements) == 1


def test_a_stranger_signs_in_first(client: Client, amazon: Amazon) -> None:
    for address in ("/alexa/", "/alexa/return/?code=c&state=s"):
        assert client.get(address)["Location"].startswith("/accounts/login/?next=/alexa/")
    for address in ("/alexa/connect/", "/alexa/check/"):
        assert client.post(address)["Location"].startswith("/accounts/login/")
    assert not LinkingAttempt.objects.exists()


def test_connecting_cannot_be_forged(alice: Any, amazon: Amazon) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert browser.post("/alexa/connect/").status_code == 403


def test_amazon_does_not_do_it(hers: Client, alexa: Any, amazon: Amazon) -> None:
    lwa: Any = None
    enabled: Any = None
    amazon.lwa_script = lambda form: lwa
    amazon.enable_script = lambda method, body: enabled
    for lwa, enabled, cause in (
        ((400, {"error": "invalid_grant"}), None, "leave_refused"),
        ((401, {"error": "invalid_client"}), None, "client_refused"),
        ((503, {}), None, "enablement_silent"),
        (None, (400, {"message": "Invalid account linking credentials"}), "enablement_refused"),
        (None, (500, {}), "enablement_silent"),
    ):
        page = page_of(come_back(hers, code="c", state=begin(hers)["state"]))
        attempt = LinkingAttempt.objects.latest("pk")
        assert attempt.failure == cause, (lwa, enabled)
        assert attempt.reference in page.text, cause
        assert not Enablement.objects.exists(), cause
        assert not Grant.objects.exists(), "a code that was not used is of no use any more"


def test_the_token_goes_only_where_amazon_is(settings: Any, amazon: Amazon, hers: Client, alexa: Any) -> None:
    amazon.named_hosts = ["evil.example/.amazonalexa.com"]
    connect(hers)
    assert len(amazon.enablements) == 1, "asked at the address of the settings"


def test_asking_amazon_how_it_stands(hers: Client, alexa: Any, machine: Any, amazon: Amazon) -> None:
    amazon.enable_script = enabling
    connect(hers)
    assert "ENABLED LINKED" in page_of(hers.post("/alexa/check/", follow=True)).text
    amazon.enable_script = lambda method, body: (404, {"message": "no"})
    assert "not enabled" in page_of(hers.post("/alexa/check/", follow=True)).text
    Enablement.objects.update(expires_at=timezone.now())
    amazon.lwa_script = lambda form: (400, {"error": "invalid_grant"})
    assert "Look in the Alexa app" in page_of(hers.post("/alexa/check/", follow=True)).text
    assert not Enablement.objects.exists()


def test_a_token_that_amazon_takes_no_longer_is_renewed_before_the_leave_is_given_up(
    hers: Client, alexa: Any, machine: Any, amazon: Amazon
) -> None:
    amazon.enable_script = enabling
    connect(hers)
    first = Enablement.objects.get().access_token

    def ended(method: str, body: Any) -> tuple[int, Any]:
        return (401, {}) if amazon.enablements[-1][2] == first else enabling(method, body)

    amazon.enable_script = ended
    assert "ENABLED LINKED" in page_of(hers.post("/alexa/check/", follow=True)).text
    assert Enablement.objects.get().access_token != first
    amazon.enable_script = lambda method, body: (401, {})
    assert "Look in the Alexa app" in page_of(hers.post("/alexa/check/", follow=True)).text
    assert not Enablement.objects.exists()


def test_a_token_of_the_enablement_lives_by_the_databases_clock(
    hers: Client, alexa: Any, machine: Any, amazon: Amazon, monkeypatch: Any
) -> None:
    amazon.enable_script = enabling
    connect(hers)
    asked = len(amazon.token_requests)
    right = timezone.now
    with monkeypatch.context() as fast:
        fast.setattr("django.utils.timezone.now", lambda: right() + timedelta(hours=2))
        assert enablement.standing(machine.owner).enabled
        assert len(amazon.token_requests) == asked
        Enablement.objects.update(expires_at=Now())
        assert enablement.standing(machine.owner).enabled
    assert len(amazon.token_requests) == asked + 1
    held = Enablement.objects.annotate(now=Now()).get()
    assert timedelta(minutes=59) < held.expires_at - held.now <= timedelta(hours=1)


def test_unlinking_in_amazons_order(hers: Client, alexa: Any, machine: Any, amazon: Amazon, alice: Any) -> None:
    """Deletions, then the skill is disabled, then our tokens end, then Amazon's are gone (reference 8.5)."""
    order: list[str] = []

    def script(method: str, body: Any) -> tuple[int, Any]:
        if method == "DELETE":
            order.append("disabled" if RefreshToken.objects.filter(revoked=None).exists() else "too late")
            connections.close_all()
        return enabling(method, body)

    amazon.enable_script = script
    connect(hers)
    make_due(Endpoint.objects.all())
    delivery.deliver(5)
    hers.post("/account/unlink/")
    assert enablement.disable_due() == 0, "the deletion is not told yet"
    assert RefreshToken.objects.filter(revoked=None).exists()
    delivery.deliver(5)
    assert amazon.named("DeleteReport")
    assert AlexaGrant.objects.get().state == "closing", "the skill is not disabled yet"
    assert enablement.disable_due() == 1
    delivery.deliver(5)
    assert order == ["disabled"]
    assert not RefreshToken.objects.filter(revoked=None).exists()
    assert not AccessToken.objects.exists()
    assert not Enablement.objects.exists()
    grant = AlexaGrant.objects.get()
    assert (grant.state, grant.refresh_token) == ("closed", "")
    assert enablement.disable_due() == 0


def test_a_skill_that_cannot_be_disabled_is_left_in_the_end(
    hers: Client, alexa: Any, machine: Any, amazon: Amazon, alice: Any
) -> None:
    amazon.enable_script = enabling
    connect(hers)
    amazon.enable_script = lambda method, body: (503, {})
    linking.unlink(alice)
    Endpoint.objects.update(due_at=None)
    for attempts in (0, enablement.MOST_ATTEMPTS - 2, enablement.MOST_ATTEMPTS - 1):
        assert Enablement.objects.exists(), attempts
        Enablement.objects.update(disable_at=Now() - timedelta(seconds=1), attempts=attempts)
        enablement.disable_due()
    assert not Enablement.objects.exists()
    assert [method for method, _, _ in amazon.enablements].count("DELETE") == 3


def test_linking_again_before_the_skill_was_disabled_keeps_it(
    hers: Client, alexa: Any, machine: Any, amazon: Amazon, alice: Any
) -> None:
    amazon.enable_script = enabling
    connect(hers)
    linking.unlink(alice)
    linking.accept_grant(alice, "from the app", "NA")
    assert enablement.disable_due() == 0
    assert AlexaGrant.objects.get().state == "active"
    assert [method for method, _, _ in amazon.enablements] == ["POST"]


class FewThreads(WSGIServer):
    """As many threads as may wait for Amazon, and one more."""

    request_queue_size = 64

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.threads = ThreadPoolExecutor(enablement.CONNECTING + 1)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.threads.submit(self._serve, request, client_address)

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)
            connections.close_all()


def test_a_server_of_few_threads_does_not_lock_itself(alexa: Any, machine: Any, amazon: Amazon, alice: Any) -> None:
    """Twice as many customers as places come back at once, and Amazon asks the same server before it answers any of them."""
    server = make_server("127.0.0.1", 0, get_wsgi_application(), server_class=FewThreads)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    here = f"http://127.0.0.1:{server.server_port}"
    waiting = threading.Semaphore(0)

    def script(method: str, body: Any) -> tuple[int, Any]:
        waiting.release()
        time.sleep(0.05)  # so that all places are taken while it asks
        answer = redeem(body, lambda form: requests.post(f"{here}/o/token/", data=form, timeout=60))
        return (201, {}) if answer.status_code == 200 else (400, {"message": answer.text})

    amazon.enable_script = script
    browsers = [Client() for _ in range(2 * enablement.CONNECTING)]
    states = []
    for browser in browsers:
        browser.force_login(alice)
        states.append(begin(browser)["state"])
    busy: list[int] = []

    def come_home(browser: Client, state: str) -> int:
        cookie = {"sessionid": browser.cookies["sessionid"].value}
        for _ in range(200):
            answer = requests.get(
                f"{here}/alexa/return/",
                {"code": "c", "state": state},
                cookies=cookie,
                timeout=60,
                allow_redirects=False,
            )
            if answer.status_code != 503:
                return answer.status_code
            busy.append(1)
            assert answer.headers["Refresh"]
            time.sleep(0.05)
        return 0

    try:
        with ThreadPoolExecutor(len(browsers)) as people:
            statuses = list(people.map(come_home, browsers, states))
    finally:
        server.shutdown()
        server.threads.shutdown()
        server.server_close()
    assert statuses == [302] * len(browsers)
    assert len(amazon.enablements) == len(browsers)
    assert not LinkingAttempt.objects.exclude(failure="").exists()
    assert not LinkingAttempt.objects.filter(redeemed_at=None).exists()
