"""The linking doctor: each attempt is one traced row, its first step that failed is named, and no secret is ever in it."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from skill import attempts, diagnosis, health, linking, tasks
from skill.models import Application, Endpoint, LinkingAttempt
from tests.skill.deeds import accept_grant, deliver_all, directive, make_due, reading

pytestmark = pytest.mark.django_db(transaction=True)
REDIRECT = "https://layla.amazon.com/api/skill/link/M1"
STATE = "A2SAAEAEB" * 60


def query(**changes: str) -> dict[str, str]:
    asked = {"response_type": "code", "client_id": "alexa", "redirect_uri": REDIRECT, "scope": "alexa", "state": STATE}
    return {name: value for name, value in (asked | changes).items() if value}


def address(**changes: str) -> str:
    return "/o/authorize/?" + urlencode(query(**changes))


@pytest.fixture
def hers(alice: Any) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def allow(browser: Client, **changes: str) -> str:
    """Alice presses Allow; the code."""
    answer = browser.post(address(**changes), query(**changes) | {"allow": "Allow"})
    return parse_qs(urlsplit(answer["Location"]).query)["code"][0]


def redeem(code: str, secret: str = "s3cret", **changes: str) -> Any:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    return Client().post("/o/token/", form | {"client_id": "alexa", "client_secret": secret} | changes)


def verdict() -> diagnosis.Verdict:
    return attempts.verdict(LinkingAttempt.objects.get())


def later(minutes: int) -> None:
    """As if so much time had gone by since every step."""
    names = [step.name for step in diagnosis.STEPS]
    for attempt in LinkingAttempt.objects.all():
        for name in names:
            if moment := getattr(attempt, name):
                setattr(attempt, name, moment - timedelta(minutes=minutes))
        attempt.save()


def test_the_whole_way_is_one_row_with_every_step(
    alexa: Application, hers: Client, machine: Any, amazon: Any, ask: Any
) -> None:
    Client().get(address())
    assert verdict().step == "Signed in"
    hers.get(address())
    assert verdict().step == "Allowed"
    code = allow(hers)
    assert verdict().step == "Alexa redeemed the code"
    token = redeem(code).json()["access_token"]
    assert verdict().step == "AcceptGrant came"
    ask(accept_grant(token), region="EU")
    ask(directive("Alexa.Discovery", "Discover", token), region="EU")
    reading(machine, 40, 1)
    make_due(Endpoint.objects.all())
    deliver_all()
    tasks.follow_linking()
    attempt = LinkingAttempt.objects.get()
    times = [getattr(attempt, step.name) for step in diagnosis.STEPS]
    assert None not in times
    assert times[3:] == sorted(times[3:])
    assert (attempt.user, attempt.region, attempt.devices_found) == (machine.owner, "EU", 1)
    assert attempt.redeem_ms is not None
    assert verdict() == diagnosis.Verdict("done", "", None)


def test_no_token_and_no_code_is_kept(alexa: Application, hers: Client, machine: Any, amazon: Any, ask: Any) -> None:
    code = allow(hers)
    body = redeem(code).json()
    amazon.lwa_script = lambda form: (400, {"error": "invalid_grant", "error_description": "Atzr|abc is not good"})
    ask(accept_grant(body["access_token"], "amazons-code"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM skill_linkingattempt t")
        (text,) = cursor.fetchone()
    for secret in (code, body["access_token"], body["refresh_token"], "amazons-code", "Atzr", STATE):
        assert secret not in text
    assert "invalid_grant" in text


def test_a_request_that_is_wrong_is_traced_and_its_reference_shown(alexa: Application, client: Client) -> None:
    """To a stranger, who is not even asked to sign in."""
    for changes, cause in [
        ({"client_id": "nobody"}, "unknown_client"),
        ({"redirect_uri": "https://evil.example/"}, "wrong_redirect"),
        ({"scope": "everything"}, "bad_request"),
        ({"code_challenge": "x" * 43, "code_challenge_method": "plain"}, "bad_request"),
    ]:
        answer = client.get(address(**changes))
        attempt = LinkingAttempt.objects.get()
        assert (attempt.failure, verdict().outcome) == (cause, "failed"), changes
        if answer.status_code == 400:
            assert attempt.reference in answer.content.decode(), changes
        else:
            assert answer["Location"].startswith(REDIRECT + "?error="), changes
        attempt.delete()


def test_a_console_that_sends_no_challenge(alexa: Application, hers: Client) -> None:
    Application.objects.update(pkce_required=True)
    assert "error=invalid_request" in hers.get(address())["Location"]
    assert LinkingAttempt.objects.get().failure == "no_challenge"
    assert "PKCE" in verdict().summary


def test_cancel(alexa: Application, hers: Client) -> None:
    hers.get(address())
    assert "error=access_denied" in hers.post(address(), query())["Location"]
    assert (verdict().outcome, verdict().cause) == ("given up", diagnosis.CAUSES["denied"])


def test_a_code_that_is_refused(alexa: Application, hers: Client) -> None:
    code = allow(hers)
    refusals = {
        "wrong_secret": {"secret": "guess"},
        "other_redirect": {"redirect_uri": "https://pitangui.amazon.com/api/skill/link/M1"},
        "wrong_verifier": {"code_verifier": "v" * 64},
    }
    for cause, changes in refusals.items():
        assert redeem(code, **changes).status_code in (400, 401), cause
        assert LinkingAttempt.objects.get().failure == cause
    assert redeem(code).status_code == 200, "a refusal uses nothing up"
    assert verdict().step == "AcceptGrant came"
    assert verdict().cause is None, "what was overcome counts no more"


def test_a_code_that_comes_too_late(alexa: Application, hers: Client) -> None:
    from oauth2_provider.models import Grant

    code = allow(hers)
    Grant.objects.update(expires=timezone.now())
    later(6)
    redeem(code)
    assert verdict().cause is diagnosis.CAUSES["code_expired"]


def test_a_code_used_twice_undoes_it_all(alexa: Application, hers: Client, machine: Any, amazon: Any, ask: Any) -> None:
    code = allow(hers)
    ask(accept_grant(redeem(code).json()["access_token"]))
    redeem(code)
    assert verdict().cause is diagnosis.CAUSES["code_used_twice"]


def test_amazon_refuses_the_tokens(alexa: Application, hers: Client, amazon: Any, ask: Any) -> None:
    token = redeem(allow(hers)).json()["access_token"]
    for answer, cause in [
        ((400, {"error": "invalid_grant"}), "code_refused"),
        ((503, {}), "amazon_silent"),
        ((200, {"access_token": "Atza|x", "expires_in": 3600}), "amazon_silent"),
        ((401, {"error": "invalid_client"}), "client_refused"),
    ]:
        LinkingAttempt.objects.update(failure="")
        amazon.lwa_script = lambda form, answer=answer: answer
        ask(accept_grant(token, f"code-{answer}"))
        assert LinkingAttempt.objects.get().failure == cause, answer
        assert bool(health.failing_links()) == bool(health.rejected_client()) == (cause == "client_refused"), answer
    amazon.lwa_script = lambda form: None
    ask(accept_grant(token, "code-2"))
    assert verdict().step == "First Discover"


def test_silence_has_a_likely_cause_too(alexa: Application, hers: Client, machine: Any, amazon: Any, ask: Any) -> None:
    Client().get(address())
    later(16)
    assert (verdict().outcome, verdict().cause) == ("given up", diagnosis.CAUSES["not_signed_in"])
    hers.get(address())
    later(16)
    assert verdict().cause is diagnosis.CAUSES["not_allowed"]
    code = allow(hers)
    later(3)
    assert "Access Token URI" in verdict().cause.fix  # type: ignore[union-attr]
    token = redeem(code).json()["access_token"]
    later(3)
    assert "Send Alexa Events" in verdict().cause.fix  # type: ignore[union-attr]
    ask(accept_grant(token))
    later(11)
    assert verdict().cause is diagnosis.CAUSES["not_discovered"]
    ask(directive("Alexa.Discovery", "Discover", token))
    assert verdict().outcome == "under way"
    later(21)
    assert verdict().cause is diagnosis.CAUSES["not_reported"]


def test_a_discover_before_accept_grant_counts(
    alexa: Application, hers: Client, machine: Any, amazon: Any, ask: Any
) -> None:
    token = redeem(allow(hers)).json()["access_token"]
    ask(directive("Alexa.Discovery", "Discover", token))
    ask(accept_grant(token))
    assert verdict().step == "First report accepted"


def test_a_customer_without_devices_is_linked(alexa: Application, hers: Client, amazon: Any, ask: Any) -> None:
    token = redeem(allow(hers)).json()["access_token"]
    ask(accept_grant(token))
    ask(directive("Alexa.Discovery", "Discover", token))
    assert (verdict().outcome, verdict().cause) == ("done", diagnosis.CAUSES["no_devices"])


def test_the_page_loaded_again_is_the_same_attempt(alexa: Application, hers: Client) -> None:
    for _ in range(2):
        Client().get(address())
        hers.get(address())
    assert LinkingAttempt.objects.count() == 1
    hers.get(address(state="another"))
    assert LinkingAttempt.objects.count() == 2


def test_linking_goes_on_in_another_account_after_not_you(alexa: Application, hers: Client, bob: Any) -> None:
    hers.get(address())
    his = Client()
    his.force_login(bob)
    his.get(address())
    assert LinkingAttempt.objects.get().user == bob
    allow(his)
    hers.get(address())
    assert LinkingAttempt.objects.get().user == bob, "what was allowed stays whose it is"


def test_strangers_cannot_fill_the_table(alexa: Application, hers: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(attempts, "OF_A_NETWORK", 3)
    monkeypatch.setattr(attempts, "OF_ALL_STRANGERS", 5)
    monkeypatch.setattr(attempts, "OF_A_CUSTOMER", 2)
    for number in range(4):
        Client(REMOTE_ADDR="192.0.2.1").get(address(state=f"a{number}"))
    assert LinkingAttempt.objects.count() == 3
    for number in range(3):
        Client(REMOTE_ADDR=f"2001:db8::{number}").get(address(state=f"b{number}"))
    assert LinkingAttempt.objects.count() == 5, "one network, however many addresses it has"
    for number in range(3):
        assert hers.get(address(state=f"c{number}")).status_code == 200
    assert LinkingAttempt.objects.count() == 7
    assert redeem(allow(hers, state="c2")).status_code == 200, "without a trace, but linked"


def test_old_attempts_are_forgotten(alexa: Application, hers: Client) -> None:
    Client().get(address(state="stranger"))
    hers.get(address(state="hers"))
    LinkingAttempt.objects.update(opened_at=Now() - timedelta(days=3))
    tasks.tidy()
    assert [attempt.user is None for attempt in LinkingAttempt.objects.all()] == [False]
    LinkingAttempt.objects.update(opened_at=Now() - timedelta(days=91))
    tasks.tidy()
    assert not LinkingAttempt.objects.exists()


def test_a_trace_that_cannot_be_written_does_not_hinder(
    alexa: Application, hers: Client, machine: Any, amazon: Any, ask: Any
) -> None:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "skill_linkingattempt" in sql:
            sql = "SELECT 1/0"
            params = None
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        token = redeem(allow(hers)).json()["access_token"]
        assert ask(accept_grant(token))["event"]["header"]["name"] == "AcceptGrant.Response"
    assert not LinkingAttempt.objects.exists()


def test_an_accept_grant_that_belongs_to_no_attempt(alice: Any, amazon: Any) -> None:
    linking.accept_grant(alice, "code-1", "NA")
    assert not LinkingAttempt.objects.exists()


def test_every_cause_is_whole() -> None:
    names = {step.name for step in diagnosis.STEPS}
    for name, cause in diagnosis.CAUSES.items():
        assert cause.step in names, name
        assert all([cause.what, cause.fix, cause.customer])
    assert {step.silence for step in diagnosis.STEPS} - {""} <= set(diagnosis.CAUSES)
