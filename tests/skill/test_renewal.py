"""Access tokens are renewed patiently, by one worker at a time, and live by the database's clock."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now

from skill import linking, lwa, renewal
from skill.models import AlexaGrant, Endpoint
from tests.skill.deeds import deliver_all, make_due, reading


def answer_after(seconds: float) -> Any:
    async def slowly(form: dict[str, str]) -> None:
        await asyncio.sleep(seconds)

    return slowly


@pytest.fixture
def old_token(linked: Any, amazon: Any) -> Any:
    """Its access token has run out."""
    AlexaGrant.objects.update(expires_at=Now())
    amazon.token_requests.clear()
    return linked


def test_a_slow_answer_is_waited_for_longer_than_a_directive_could(
    old_token: Any, machine: Any, amazon: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(lwa, "TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(lwa, "EXCHANGE_SECONDS", 0.2)
    amazon.lwa_script = answer_after(0.5)
    reading(machine, 41, 1)
    deliver_all()
    assert len(amazon.token_requests) == len(amazon.named("ChangeReport")) == 1


def test_who_does_not_answer_is_not_waited_for_longer_than_the_lease(
    old_token: Any, machine: Any, amazon: Any, monkeypatch: Any
) -> None:
    assert lwa.REFRESH_SECONDS < renewal.REFRESH_LEASE
    monkeypatch.setattr(lwa, "REFRESH_SECONDS", 0.2)
    amazon.lwa_script = answer_after(2)
    reading(machine, 41, 1)
    deliver_all()
    assert Endpoint.objects.get().last_code == "LwaUnavailable"
    assert AlexaGrant.objects.get().refresh_leased_until is None, "the next attempt may ask at once"


def test_who_was_killed_while_asking_is_waited_for_and_then_replaced(old_token: Any, machine: Any, amazon: Any) -> None:
    assert renewal.lease_refreshes([_held()]) != [], "… and then its process was killed"
    reading(machine, 41, 1)
    deliver_all()
    endpoint = Endpoint.objects.annotate(now=Now()).get()
    assert timedelta(seconds=1) < endpoint.due_at - endpoint.now <= timedelta(seconds=2)
    assert (amazon.token_requests, endpoint.attempts, endpoint.last_code) == ([], 0, "")
    AlexaGrant.objects.update(refresh_leased_until=F("refresh_leased_until") - timedelta(seconds=renewal.REFRESH_LEASE))
    make_due(Endpoint.objects.all())
    deliver_all()
    assert len(amazon.token_requests) == len(amazon.named("ChangeReport")) == 1


def _held() -> renewal.Credentials:
    grant = AlexaGrant.objects.get()
    return renewal.Credentials(grant.pk, grant.region, grant.generation, "", fresh=False)


@pytest.fixture(params=[600, -600])
def another_clock(request: Any, monkeypatch: Any) -> Iterator[None]:
    """This process's clock is ten minutes off."""
    right, off = time.time, float(request.param)
    monkeypatch.setattr(time, "time", lambda: right() + off)
    monkeypatch.setattr("django.utils.timezone.now", lambda: datetime.fromtimestamp(right() + off, UTC))
    yield
    monkeypatch.undo()


@pytest.mark.usefixtures("another_clock")
def test_a_link_is_dated_by_the_database(machine: Any, amazon: Any, transactional_db: None) -> None:
    linking.accept_grant(machine.owner, "code-1", "NA")
    grant = AlexaGrant.objects.annotate(now=Now()).get()
    assert grant.now - timedelta(minutes=1) < grant.accepted_at <= grant.now
    assert timedelta(minutes=59) < grant.expires_at - grant.now <= timedelta(hours=1)


@pytest.mark.usefixtures("another_clock")
def test_a_renewed_token_runs_out_by_the_database(old_token: Any, machine: Any, amazon: Any) -> None:
    reading(machine, 41, 1)
    deliver_all()
    assert len(amazon.token_requests) == 1
    grant = AlexaGrant.objects.annotate(now=Now()).get()
    assert timedelta(minutes=59) < grant.expires_at - grant.now <= timedelta(hours=1)
