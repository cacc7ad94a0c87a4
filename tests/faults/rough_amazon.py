"""Login with Amazon and the event gateways on a bad day, as a process: `python -m tests.faults.rough_amazon` prints its port.

`POST /weather` says how much goes wrong; `GET /record` tells every event that it accepted or refused, and whose requests came after
their skill was disabled. A token is `Atza|GRANT|NUMBER`, a refresh token `Atzr|GRANT`.
Each caller has gateways of its own, `/CALLER/REGION/v3/events`, so that it is known who said what.
"""

import asyncio
import contextlib
import gc
import itertools
import json
import os
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from aiohttp import web

BAD = {
    "429": 0.10,
    "500": 0.05,
    "503": 0.02,
    "silent": 0.02,
    "reset": 0.01,
    "401": 0.01,
    "disabled": 0.005,
    "400": 0.001,
}
CODES = {
    "400": "INVALID_REQUEST_EXCEPTION",
    "401": "INVALID_ACCESS_TOKEN_EXCEPTION",
    "429": "THROTTLING_EXCEPTION",
    "500": "INTERNAL_SERVICE_EXCEPTION",
    "503": "SERVICE_UNAVAILABLE_EXCEPTION",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Amazon:
    """What it was told, and what it will answer."""

    def __init__(self) -> None:
        self.weather: dict[str, float] = {}
        self.lwa = "up"
        self.numbers = itertools.count(1)
        self.accepted: list[
            tuple[float, str, str, str, float, int]
        ] = []  # time, name, endpointId, messageId, value, port
        self.refused: list[tuple[float, str, str, str]] = []
        self.disabled: dict[str, float] = {}  # grant → since when
        self.last: dict[str, float] = {}  # grant → its last request
        self.refreshes: dict[str, int] = {}
        self.better = asyncio.Event()  # who was left without an answer is hung up on
        self.without_token = 0  # refreshes that met no Login with Amazon

    async def event(self, request: web.Request) -> web.StreamResponse:
        event = json.loads(await request.read())
        grant = request.headers["Authorization"].split("|")[1]
        now = self.last[grant] = time.time()
        what = "disabled" if grant in self.disabled else self._fate()
        if what == "disabled":
            self.disabled.setdefault(grant, now)
            return _refusal(403, "SKILL_DISABLED_EXCEPTION")
        if what == "silent":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.better.wait(), 60)
        if what in ("silent", "reset"):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        is_gone = (
            request.transport is None or request.transport.is_closing()
        )  # too busy, we heard it when nobody waited any more
        self._note(now, event["event"], what, "" if is_gone else request.match_info["caller"])
        return web.Response(status=202) if what == "" else _refusal(int(what), CODES[what])

    def _fate(self) -> str:
        dice = random.random()
        for what, share in self.weather.items():
            if (dice := dice - share) < 0:
                return what
        return ""

    def _note(self, now: float, event: dict[str, Any], what: str, caller: str) -> None:
        header, payload = event["header"], event["payload"]
        endpoint = event.get("endpoint", {}).get("endpointId", "")
        if what == "400":
            self.refused.append((now, header["name"], endpoint, header["messageId"]))
        elif what == "":
            value = payload["usage"]["value"] if "usage" in payload else 0
            self.accepted.append((now, header["name"], endpoint, header["messageId"], value, caller))

    async def token(self, request: web.Request) -> web.StreamResponse:
        grant = str((await request.post())["refresh_token"]).split("|")[1]
        if self.lwa == "down":
            self.without_token += 1
            return web.Response(status=503)
        if self.lwa == "slow":
            await asyncio.sleep(1)
        if grant in self.disabled:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.refreshes[grant] = self.refreshes.get(grant, 0) + 1
        token = f"Atza|{grant}|{next(self.numbers)}"
        return web.json_response({"access_token": token, "refresh_token": f"Atzr|{grant}", "expires_in": 3600})

    async def set_weather(self, request: web.Request) -> web.StreamResponse:
        said = await request.json()
        self.lwa = said.pop("lwa", self.lwa)
        if "weather" in said:
            self.weather = BAD if said["weather"] == "bad" else {}
            self.better.clear() if self.weather else self.better.set()
        return web.json_response({})

    async def progress(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"accepted": len(self.accepted), "without_token": self.without_token})

    async def record(self, request: web.Request) -> web.StreamResponse:
        names = ("accepted", "refused", "disabled", "last", "refreshes")
        return web.json_response({name: getattr(self, name) for name in names})


def _refusal(status: int, code: str) -> web.StreamResponse:
    body = {
        "header": {"namespace": "System", "name": "Exception"},
        "payload": {"code": code, "description": "a bad day"},
    }
    return web.json_response(body, status=status)


async def main() -> None:
    gc.disable()  # nothing here is in a circle, and looking through all that was accepted would keep callers waiting …
    with contextlib.suppress(PermissionError):
        os.nice(
            -10
        )  # … as would the workers, who share two cores with it: whoever waits for more than ten seconds gives up
    amazon, app = Amazon(), web.Application(client_max_size=2**24)
    app.router.add_post("/auth/o2/token", amazon.token)
    app.router.add_post("/{caller}/{region}/v3/events", amazon.event)
    app.router.add_post("/weather", amazon.set_weather)
    app.router.add_get("/progress", amazon.progress)
    app.router.add_get("/record", amazon.record)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
