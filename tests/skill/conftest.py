"""The far side of the skill's wires: an Amazon of our own making, on a real port."""

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from skill import views
from skill.models import Application
from tests.skill import oracle
from tests.skill.deeds import token_of


class Amazon:
    """Login with Amazon and the event gateways. Records every event it accepted; `script` decides what it answers."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.attempts: list[dict[str, Any]] = []
        self.wrong: list[str] = []  # what the oracles say about the events
        self.token_requests: list[dict[str, str]] = []
        self.numbers = itertools.count(1)
        self.valid: set[str] = set()
        self.script: Callable[[dict[str, Any]], Any] = lambda event: None
        self.lwa_script: Callable[[dict[str, str]], Any] = lambda form: None
        self.loop = asyncio.new_event_loop()
        self.port = 0
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        assert started.wait(10)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._start())
        started.set()
        self.loop.run_forever()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/auth/o2/token", self._token)
        app.router.add_post("/{region}/v3/events", self._event)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    async def _end(self) -> None:
        await self.runner.cleanup()
        unanswered = asyncio.all_tasks() - {asyncio.current_task()}
        for task in unanswered:
            task.cancel()
        await asyncio.gather(*unanswered, return_exceptions=True)

    async def _token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.token_requests.append(form)
        if (answer := self.lwa_script(form)) is not None:
            answer = await answer if asyncio.iscoroutine(answer) else answer
            if answer is not None:
                return web.json_response(answer[1], status=answer[0])
        return web.json_response(self.tokens())

    def tokens(self) -> dict[str, Any]:
        number = next(self.numbers)
        self.valid.add(f"Atza|{number}")
        return {
            "access_token": f"Atza|{number}",
            "refresh_token": f"Atzr|{number}",
            "token_type": "bearer",
            "expires_in": 3600,
        }

    async def _event(self, request: web.Request) -> web.Response:
        event = json.loads(await request.read())
        event["_region"] = request.match_info["region"]
        event["_token"] = request.headers["Authorization"].removeprefix("Bearer ")
        self.attempts.append(event)
        self.wrong += oracle.about_event({key: event[key] for key in event if not key.startswith("_")})
        answer = self.script(event)
        answer = await answer if asyncio.iscoroutine(answer) else answer
        if answer is None and event["_token"] not in self.valid:
            answer = (401, "INVALID_ACCESS_TOKEN_EXCEPTION")
        if answer is not None:
            status, code = answer
            body = {
                "header": {"namespace": "System", "name": "Exception", "messageId": "1"},
                "payload": {"code": code, "description": "told so"},
            }
            return web.json_response(body, status=status)
        self.events.append(event)
        return web.Response(status=202)

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"]["header"]["name"] == name]


@pytest.fixture
def amazon(settings: Any) -> Iterator[Amazon]:
    """Settings point at it; pauses are short."""
    far_side = Amazon()
    base = f"http://127.0.0.1:{far_side.port}"
    settings.LWA_TOKEN_URL = f"{base}/auth/o2/token"
    settings.EVENT_GATEWAYS = {region: f"{base}/{region}/v3/events" for region in ("NA", "EU", "FE")}
    settings.REPORT_SETTLING = 0
    settings.REPORT_MIN_INTERVAL = 0
    yield far_side
    far_side.stop()
    assert far_side.wrong == [], "an event that Amazon would refuse was sent"


@pytest.fixture(autouse=True)
def judged_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No answer to a directive escapes the oracles."""
    wrong: list[str] = []
    log = views._log

    def judge(document: object, answer: Any, started: float) -> None:
        wrong.extend(oracle.about_answer(document, json.loads(json.dumps(answer))))
        log(document, answer, started)

    monkeypatch.setattr(views, "_log", judge)
    yield
    assert wrong == [], "an answer that Amazon would refuse was given"


@pytest.fixture(autouse=True)
def silent_doorbell(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The broker is out of reach in these tests; delivery is run by hand. Gives what was rung."""
    from celery import current_app

    rung: list[str] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: rung.append(name))
    return rung


@pytest.fixture
def linked(machine: Any, amazon: Amazon, transactional_db: None) -> Any:
    """Alice's link in North America: her coffee machine was announced, nothing is due."""
    from skill import linking
    from skill.models import Endpoint
    from tests.skill.deeds import deliver_all, make_due

    grant = linking.accept_grant(machine.owner, "code-1", "NA")
    make_due(Endpoint.objects.all())
    deliver_all()
    amazon.events.clear()
    amazon.attempts.clear()
    return grant


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice ends when nothing is due, so that a test sees each back-off."""
    monkeypatch.setattr("skill.delivery.LINGER_SECONDS", -1)


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
