"""What the skill's tests need: an Amazon, a link, and the courier's way in."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from skill.models import Application
from tests.oracle import Court
from tests.skill.amazon_far_side import Amazon
from tests.skill.deeds import known, token_of


@pytest.fixture
def amazon(settings: Any) -> Iterator[Amazon]:
    """Settings point at it; pauses are short."""
    far_side = Amazon()
    for name, value in far_side.settings().items():
        setattr(settings, name, value)
    settings.REPORT_SETTLING = 0
    settings.REPORT_MIN_INTERVAL = 0
    yield far_side
    far_side.stop()


@pytest.fixture(autouse=True)
def silent_doorbell(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The broker is out of reach in these tests; delivery is run by hand. Gives what was rung."""
    from celery import current_app

    rung: list[str] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: rung.append(name))
    return rung


@pytest.fixture
def linked(machine: Any, amazon: Amazon, court: Court, transactional_db: None) -> Any:
    """Alice's link in North America: her coffee machine was announced, nothing is due."""
    return known(machine, amazon, court)


@pytest.fixture(autouse=True)
def another_minute() -> Iterator[None]:
    """What an earlier test had to write is not this one's."""
    from skill.journal import journal

    journal.forget()
    yield
    journal.forget()


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice ends when nothing is due, so that a test sees each back-off."""
    monkeypatch.setattr("skill.delivery.LINGER_SECONDS", -1)


@pytest.fixture(autouse=True)
def no_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A code that is refused is no other thread's, except where a test says so."""
    monkeypatch.setattr("skill.linking.SAME_CODE_WAIT", 0.0)


@pytest.fixture
def alexa(db: None) -> Application:
    return Application.objects.create(
        client_id="alexa",
        client_type="confidential",
        authorization_grant_type="authorization-code",
        redirect_uris="https://layla.amazon.com/api/skill/link/M1",
        client_secret="s3cret",
    )


@pytest.fixture
def token(alice: Any, alexa: Application) -> str:
    return token_of(alice, alexa)


@pytest.fixture
def ask(client: Any, settings: Any) -> Any:
    """POST a body as the courier would; the decoded answer."""

    def post(body: Any, region: str = "NA", **headers: str) -> dict[str, Any]:
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        headers = {"X-Courier-Secret": settings.COURIER_SECRET, "X-Skill-Region": region} | headers
        response = client.post("/skill/directive", data, content_type="application/json", headers=headers)
        assert response.status_code == 200, response.content
        return response.json()

    return post
