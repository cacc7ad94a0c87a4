"""The far side of the skill's wires: an Amazon of our own making, on a real port."""

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import web


class Amazon:
    """Login with Amazon and the event gateways. Records every event it accepted; `script` decides what it answers."""

    def __init__(self, judge: Callable[[Any], list[str]] = lambda event: []) -> None:
        self.judge = judge  # for whoever is spoken to by other processes; what this process says is judged before (tests/conftest.py)
        self.events: list[dict[str, Any]] = []
        self.attempts: list[dict[str, Any]] = []
        self.wrong: list[str] = []  # what the oracles say about the events
        self.token_requests: list[dict[str, str]] = []
        self.numbers = itertools.count(1)
        self.valid: set[str] = set()
        self.script: Callable[[dict[str, Any]], Any] = lambda event: None
        self.lwa_script: Callable[[dict[str, str]], Any] = lambda form: None
        self.enablements: list[tuple[str, Any, str]] = []  # method, body, token
        self.enable_script: Callable[[str, Any], tuple[int, Any]] = lambda method, body: (201, {"status": "ENABLED"})
        self.named_hosts: list[str] = []
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
        app.router.add_get("/v1/alexaApiEndpoint", self._hosts)
        app.router.add_route("*", "/v1/users/~current/skills/{skill}/enablement", self._enablement)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]

    def settings(self) -> dict[str, Any]:
        """What makes the portal take this for Amazon."""
        base = f"http://127.0.0.1:{self.port}"
        gateways = {region: f"{base}/{region}/v3/events" for region in ("NA", "EU", "FE")}
        return {"LWA_TOKEN_URL": f"{base}/auth/o2/token", "EVENT_GATEWAYS": gateways, "ALEXA_API_URL": base}

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

    async def _hosts(self, request: web.Request) -> web.Response:
        return web.json_response({"endpoints": self.named_hosts})

    async def _enablement(self, request: web.Request) -> web.Response:
        """`enable_script` runs in a thread: like Amazon it may ask the portal before it answers."""
        body = json.loads(await request.text() or "null")
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.enablements.append((request.method, body, token))
        status, said = await asyncio.to_thread(self.enable_script, request.method, body)
        return web.json_response(said, status=status)

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
        self.wrong += self.judge({key: event[key] for key in event if not key.startswith("_")})
        answer = self.script(event)
        answer = await answer if asyncio.iscoroutine(answer) else answer
        if answer is None and event["_token"] not in self.valid:
            answer = (401, "INVALID_ACCESS_TOKEN_EXCEPTION")
        if answer is not None:
            if len(answer) == 3:  # status and a body of any kind
                return web.Response(status=answer[0], text=answer[1])
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
