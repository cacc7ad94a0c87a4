"""A hotel at Amazon: the sandbox's side of Smart Properties on a port of its own, with one Echo that is not set up yet."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from notifications import asp_api
from portal.sandbox import properties
from portal.sandbox.app import AMAZON, build
from tests.sandbox import far_side

ROOM = "amzn1.alexa.unit.did.ROOM12"
ECHO, SERIAL = "amzn1.alexa.endpoint.ECHO", "ECHO-0007"


class Hotel:
    """The sandbox on a port of its own, in a thread; `memory` is what Amazon remembers."""

    def __init__(self, url: str, amazon: Any) -> None:
        self.url, self.amazon = url, amazon

    @property
    def memory(self) -> dict[str, Any]:
        return properties.hotel(self.amazon)

    def begin_anew(self, *, units: tuple[str, ...] = (ROOM,)) -> None:
        self.amazon.state.data.pop("hotel", None)
        self.amazon.state.wire.clear()
        self.memory["units"] = list(units)
        self.memory["endpoints"] = {ECHO: {"id": ECHO, "serial": SERIAL, "unit": "", "associations": 0}}

    @property
    def device(self) -> dict[str, Any]:
        [found] = self.memory["endpoints"].values()
        return found

    def asked(self, method: str) -> int:
        return sum(
            entry["kind"].startswith(method) for entry in self.amazon.state.wire if entry["group"] == "properties"
        )


@contextlib.contextmanager
def sandbox(folder: Path, portal_url: str = "http://127.0.0.1:9") -> Iterator[Hotel]:
    loop, ready = asyncio.new_event_loop(), threading.Event()
    app = build(far_side.settings(folder, portal_url, hotel_refresh_token="Atzr|hotel"))
    found: list[int] = []

    async def serve() -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        found.append(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runners.append(loop.run_until_complete(serve()))
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runners[0].cleanup())

    runners: list[web.AppRunner] = []
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield Hotel(f"http://127.0.0.1:{found[0]}", app[AMAZON])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def point_at(settings: Any, hotel: Hotel) -> None:
    known = hotel.amazon.settings
    settings.ASP_API_URL = settings.ASP_EVENTS_URL = hotel.url
    settings.ASP_PROFILE_URL, settings.LWA_TOKEN_URL = f"{hotel.url}/user/profile", f"{hotel.url}/auth/o2/token"
    settings.ASP_CLIENT_ID, settings.ASP_CLIENT_SECRET = known.lwa_client_id, known.lwa_client_secret
    settings.ASP_REFRESH_TOKEN = "Atzr|hotel"
    asp_api.forget_token()
