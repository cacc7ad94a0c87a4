"""Our own trouble, or Login with Amazon's: an answer in time, and never a word about credentials, for which Alexa might disable
the skill."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import celery
import kombu.exceptions
import pytest
from django.db import connection, connections, transaction
from django.db.models.functions import Now

from skill import linking, lwa, power, views, wire
from skill.models import AlexaGrant
from tests.skill.deeds import accept_grant, directive, error_of, gone_after, report_state

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def machine(machine: Any, crema: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """It can be switched, and does not obey."""
    monkeypatch.setattr(power, "WAIT", 0.05)
    crema.capabilities = ["PowerController"]
    crema.save()
    type(machine).objects.update(last_seen_at=Now())
    return machine


DIRECTIVES = ["Discover", "ReportState", "AcceptGrant", "TurnOn", "TurnOff"]


def body_of(name: str, token: str, machine: Any) -> Any:
    switched = str(machine.ownership)
    bodies = {
        "Discover": directive("Alexa.Discovery", "Discover", token),
        "ReportState": report_state(token, switched),
        "AcceptGrant": accept_grant(token),
        "TurnOn": directive("Alexa.PowerController", "TurnOn", token, switched, correlationToken="c"),
        "TurnOff": directive("Alexa.PowerController", "TurnOff", token, switched, correlationToken="c"),
    }
    return bodies[name]


@contextlib.contextmanager
def somebody_holds(statement: str) -> Iterator[None]:
    """Another transaction has locked these rows, and holds them until the block is over: whoever answered before, did not wait for it."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
            held.set()
            done.wait(60)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(30)
        yield
        assert holder.is_alive(), "it gave up first"
    finally:
        done.set()
        holder.join()


def expect_our_own_trouble(name: str, answer: Any) -> None:
    assert error_of(answer) == ("ACCEPT_GRANT_FAILED" if name == "AcceptGrant" else "INTERNAL_ERROR")


@pytest.mark.parametrize("name", DIRECTIVES)
def test_a_database_that_goes_away_in_the_middle(ask: Any, token: str, machine: Any, amazon: Any, name: str) -> None:
    """After any statement."""
    for after in range(40):
        with gone_after(after) as was_gone:
            answer = ask(body_of(name, token, machine))
            gone = was_gone()
        if answer["event"]["header"]["name"] == "ErrorResponse" and (gone or "Turn" not in name):
            expect_our_own_trouble(name, answer)
        if name == "AcceptGrant":
            told = answer["event"]["header"]["name"] == "AcceptGrant.Response"
            assert AlexaGrant.objects.filter(state="active").exists() == told, "success without stored tokens"
        if not gone:
            break
    assert after > 0, "it was gone"
    assert not gone, "and came back"


@pytest.mark.parametrize("name", DIRECTIVES)
def test_a_database_that_hangs(
    ask: Any, token: str, machine: Any, amazon: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody alters the tables that everybody needs, and PostgreSQL lets us wait: the answer comes in time all the same."""
    monkeypatch.setattr(views, "ANSWER_SECONDS", 0.3)
    with somebody_holds("LOCK TABLE devices_device, skill_alexagrant IN ACCESS EXCLUSIVE MODE"):
        expect_our_own_trouble(name, ask(body_of(name, token, machine)))
    connection.close()


@pytest.mark.parametrize("name", DIRECTIVES)
def test_a_broker_that_is_gone(
    ask: Any, token: str, machine: Any, amazon: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*arguments: Any, **options: Any) -> None:
        raise kombu.exceptions.OperationalError("no broker")

    monkeypatch.setattr(celery.current_app, "send_task", gone)
    answer = ask(body_of(name, token, machine))
    fine = {
        "Discover": "Discover.Response",
        "ReportState": "StateReport",
        "AcceptGrant": "AcceptGrant.Response",
        "TurnOn": "ErrorResponse",  # not linked: it does not obey, and there is no way to answer later
        "TurnOff": "ErrorResponse",
    }
    assert answer["event"]["header"]["name"] == fine[name]
    assert answer["event"]["payload"].get("type") in (None, "ENDPOINT_UNREACHABLE")


def test_login_with_amazon_that_never_answers(ask: Any, token: str, amazon: Any, monkeypatch: Any) -> None:
    async def never(form: Any) -> None:
        await asyncio.sleep(60)

    amazon.lwa_script = never
    assert lwa.EXCHANGE_SECONDS < views.ANSWER_SECONDS
    monkeypatch.setattr(lwa, "EXCHANGE_SECONDS", 0.5)
    started = time.monotonic()
    assert error_of(ask(accept_grant(token))) == "ACCEPT_GRANT_FAILED"
    assert time.monotonic() - started < 7
    assert len(amazon.token_requests) == 1, "a code that Amazon may have taken is not sent again"


def test_a_name_that_is_looked_up_for_ever(ask: Any, token: str, settings: Any, monkeypatch: Any) -> None:
    """No time-out of a request ends a look-up in its thread; the answer must not wait for it."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(6) or [])
    monkeypatch.setattr(lwa, "EXCHANGE_SECONDS", 1.0)
    settings.LWA_TOKEN_URL = "http://login.example/auth/o2/token"
    started = time.monotonic()
    assert error_of(ask(accept_grant(token))) == "ACCEPT_GRANT_FAILED"
    assert time.monotonic() - started < 5


def test_a_row_that_somebody_holds(ask: Any, token: str, amazon: Any, monkeypatch: Any) -> None:
    """AcceptGrant waits for it two seconds (here less), not for ever."""
    monkeypatch.setattr(linking, "LONGEST_WAIT", "200ms")
    monkeypatch.setattr(views, "ANSWER_SECONDS", 60)
    with somebody_holds("SELECT 1 FROM portal_user FOR UPDATE"):
        assert error_of(ask(accept_grant(token))) == "ACCEPT_GRANT_FAILED"
    assert not AlexaGrant.objects.exists()


def test_discover_answers_though_its_endpoints_are_held(
    ask: Any, token: str, linked: Any, amazon: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(views, "ANSWER_SECONDS", 60)
    with somebody_holds("SELECT 1 FROM skill_endpoint FOR UPDATE"):
        answer = ask(directive("Alexa.Discovery", "Discover", token))
    assert len(answer["event"]["payload"]["endpoints"]) == 1


def test_a_courier_secret_that_was_forgotten_opens_nothing(client: Any, settings: Any) -> None:
    settings.COURIER_SECRET = ""
    headers = {"X-Courier-Secret": ""}
    assert client.post("/skill/directive", "{}", content_type="application/json", headers=headers).status_code == 403


def test_whatever_hangs_on_the_wire_ends_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.run(asyncio.sleep(30), 0.2)
    assert time.monotonic() - started < 10
    assert wire.run(asyncio.sleep(0, "well"), 1) == "well"
