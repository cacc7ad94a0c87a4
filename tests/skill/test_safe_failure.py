"""Our own trouble, or Login with Amazon's: an answer in time, and never a word about credentials, for which Alexa might disable
the skill."""

import asyncio
import socket
import threading
import time
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from skill import lwa, wire
from skill.models import AlexaGrant
from tests.skill.deeds import accept_grant, directive, error_of, report_state

pytestmark = pytest.mark.django_db(transaction=True)
CREDENTIALS = {"INVALID_AUTHORIZATION_CREDENTIAL", "EXPIRED_AUTHORIZATION_CREDENTIAL"}


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("name", ["Discover", "ReportState", "AcceptGrant"])
def test_a_database_that_goes_away_in_the_middle(
    ask: Any, token: str, machine: Any, amazon: Any, name: str, after: int
) -> None:
    """After so many statements it is gone."""
    left = [after]

    def broken(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OperationalError("the database is gone")
        return execute(sql, params, many, context)

    bodies = {
        "Discover": directive("Alexa.Discovery", "Discover", token),
        "ReportState": report_state(token, str(machine.ownership)),
        "AcceptGrant": accept_grant(token),
    }
    with connection.execute_wrapper(broken):
        answer = ask(bodies[name])
    if answer["event"]["header"]["name"] == "ErrorResponse":
        assert error_of(answer) == ("ACCEPT_GRANT_FAILED" if name == "AcceptGrant" else "INTERNAL_ERROR")
    if name == "AcceptGrant":
        told = answer["event"]["header"]["name"] == "AcceptGrant.Response"
        assert AlexaGrant.objects.filter(state="active").exists() == told, "success without stored tokens"


def test_login_with_amazon_that_never_answers(ask: Any, token: str, amazon: Any, monkeypatch: Any) -> None:
    async def never(form: Any) -> None:
        await asyncio.sleep(60)

    amazon.lwa_script = never
    started = time.monotonic()
    assert error_of(ask(accept_grant(token))) == "ACCEPT_GRANT_FAILED"
    assert time.monotonic() - started < 6
    assert len(amazon.token_requests) == 1, "a code that Amazon may have taken is not sent again"


def test_a_name_that_is_looked_up_for_ever(ask: Any, token: str, settings: Any, monkeypatch: Any) -> None:
    """No time-out of a request ends a look-up in its thread; the answer must not wait for it."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(6) or [])
    monkeypatch.setattr(lwa, "EXCHANGE_SECONDS", 1.0)
    settings.LWA_TOKEN_URL = "http://login.example/auth/o2/token"
    started = time.monotonic()
    assert error_of(ask(accept_grant(token))) == "ACCEPT_GRANT_FAILED"
    assert time.monotonic() - started < 3


def test_a_row_that_somebody_holds(ask: Any, token: str, alice: Any, amazon: Any) -> None:
    """AcceptGrant waits for it two seconds, not for ever."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            type(alice).objects.select_for_update().get(pk=alice.pk)
            held.set()
            done.wait(10)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    started = time.monotonic()
    try:
        assert error_of(ask(accept_grant(token))) == "ACCEPT_GRANT_FAILED"
        assert time.monotonic() - started < 4
    finally:
        done.set()
        holder.join()
    assert not AlexaGrant.objects.exists()


def test_discover_answers_though_its_endpoints_are_held(ask: Any, token: str, linked: Any, amazon: Any) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM skill_endpoint FOR UPDATE")
            held.set()
            done.wait(10)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    try:
        answer = ask(directive("Alexa.Discovery", "Discover", token))
    finally:
        done.set()
        holder.join()
    assert len(answer["event"]["payload"]["endpoints"]) == 1


def test_a_courier_secret_that_was_forgotten_opens_nothing(client: Any, settings: Any) -> None:
    settings.COURIER_SECRET = ""
    headers = {"X-Courier-Secret": ""}
    assert client.post("/skill/directive", "{}", content_type="application/json", headers=headers).status_code == 403


def test_whatever_hangs_on_the_wire_ends_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.run(asyncio.sleep(30), 0.2)
    assert time.monotonic() - started < 1
    assert wire.run(asyncio.sleep(0, "well"), 1) == "well"
