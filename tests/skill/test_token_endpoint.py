"""Our token endpoint in trouble: 503, and never a word for which Alexa would give the link up; and what may be thrown at it."""

import threading
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import InterfaceError, OperationalError, connections, transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oauth2_provider.models import Grant, RefreshToken

from devices import deadline
from skill import oauth, oauth_views
from skill.models import Application
from tests.effort import examples
from tests.skill.deeds import gone_after
from tests.skill.oauth_customer import REDIRECT, SECRET, make_alexa

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alexa(db: None) -> Application:
    return make_alexa()


@pytest.fixture
def code(alexa: Application, alice: Any) -> str:
    return oauth.issue_code(alice, REDIRECT)


def ask(**form: str) -> Any:
    return Client(raise_request_exception=False).post(
        "/o/token/", {"client_id": "alexa", "client_secret": SECRET} | form
    )


def redeem(code: str) -> Any:
    return ask(grant_type="authorization_code", code=code, redirect_uri=REDIRECT)


def renew(refresh_token: str) -> Any:
    return ask(grant_type="refresh_token", refresh_token=refresh_token)


@pytest.mark.parametrize("trouble", [OperationalError, InterfaceError])
@pytest.mark.parametrize("what", ["code", "refresh token"])
def test_a_database_that_goes_away_after_any_statement(code: str, alice: Any, what: str, trouble: Any) -> None:
    """Whenever it happens: 503 and nothing used up, or the tokens. Never that the code or the token is wrong."""
    refresh_token = redeem(code).json()["refresh_token"] if what == "refresh token" else ""
    answers = []
    for after in range(40):
        with gone_after(after, trouble):
            answer = renew(refresh_token) if refresh_token else redeem(code)
        answers.append(answer.status_code)
        if answer.status_code == 200:
            break
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert answer["Cache-Control"] == "no-store"
    assert answers[-1] == 200, "what was not answered was not used up"
    assert len(answers) > 3
    assert oauth.customer(answer.json()["access_token"]) == alice


def test_a_row_that_somebody_holds_for_ever(code: str, monkeypatch: Any) -> None:
    """No answer of the database in time is our trouble, however it comes about; afterwards all is as it was."""
    monkeypatch.setattr(oauth_views, "ANSWER_SECONDS", 0.5)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(Grant.objects.select_for_update())
            held.set()
            done.wait(60)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    try:
        answer = redeem(code)
        assert holder.is_alive(), "it waited until the row was free"
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    finally:
        done.set()
        holder.join()
    monkeypatch.undo()
    assert redeem(code).status_code == 200


def test_the_deadline_leaves_the_connection_alone_once_it_is_over(code: str, monkeypatch: Any) -> None:
    watching = deadline._Watch()
    monkeypatch.setattr(watching, "_run", lambda: None)
    monkeypatch.setattr(deadline, "_watch", watching)
    assert redeem(code).status_code == 200
    ((_, _, watched),) = watching.waiting
    watched.cut()  # its time has come
    assert RefreshToken.objects.count() == 1


def test_a_broker_that_is_gone_is_no_matter(code: str, monkeypatch: Any) -> None:
    from celery import current_app

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no broker")

    monkeypatch.setattr(current_app, "send_task", refuse)
    assert redeem(code).status_code == 200


def test_a_fault_of_our_own(code: str, monkeypatch: Any) -> None:
    def fault(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(oauth, "_remember", fault)
    assert (redeem(code).status_code, redeem(code).json()["error"]) == (503, "server_error")
    monkeypatch.undo()
    assert redeem(code).status_code == 200


def test_a_zero_byte_is_a_wrong_request(code: str) -> None:
    assert (redeem("\0").status_code, redeem("\0").json()["error"]) == (400, "invalid_request")
    assert renew("x\0y").json()["error"] == "invalid_request"


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.dictionaries(
        st.sampled_from(
            [
                "grant_type",
                "code",
                "redirect_uri",
                "client_id",
                "client_secret",
                "code_verifier",
                "refresh_token",
                "scope",
            ]
        ),
        st.text(max_size=40) | st.sampled_from(["authorization_code", "refresh_token", "alexa", REDIRECT, SECRET]),
    ),
    basic=st.none() | st.text(max_size=30),
)
def test_whatever_is_thrown_at_it(alexa: Application, form: dict[str, str], basic: str | None) -> None:
    headers = {} if basic is None else {"Authorization": "Basic " + basic.encode("utf-8", "replace").hex()}
    body = urlencode({name: text.encode("utf-8", "replace") for name, text in form.items()})
    answer = Client(raise_request_exception=False).post(
        "/o/token/", body, content_type="application/x-www-form-urlencoded", headers=headers
    )
    assert answer.status_code in (400, 401), answer.content
    assert answer.json()["error"]
