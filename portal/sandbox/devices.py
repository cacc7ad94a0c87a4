"""The device panel: passes the customer's hand on to the simulated coffee machine. It talks to the portal by itself."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from .amazon import Amazon
from .state import Json

_PATIENCE = aiohttp.ClientTimeout(total=10)


class DeviceError(Exception):
    """The device could not do it; the text is for a person."""


async def brew(amazon: Amazon, cups: int) -> Json:
    """Uses beans for this many cups; the machine then reports to the portal."""
    return await _control(amazon, "brew", {"cups": cups})


async def refill(amazon: Amazon) -> Json:
    """Fills the hopper."""
    return await _control(amazon, "refill", {})


async def offline(amazon: Amazon, away: bool) -> Json:
    """Cuts the machine off its network, or connects it again."""
    return await _control(amazon, "offline", {"offline": away})


async def power(amazon: Amazon, on: bool) -> Json:
    """Somebody presses the machine's own switch."""
    return await _control(amazon, "power", {"on": on})


async def ring(amazon: Amazon) -> Json:
    """Somebody rings."""
    return await _control(amazon, "ring", {})


async def watch(amazon: Amazon) -> None:
    """Looks at the device again and again, so that the page shows its level; until cancelled."""
    while True:
        await _look(amazon)
        await asyncio.sleep(1)


async def _look(amazon: Amazon) -> None:
    try:
        seen = {"reachable": True, **await _call(amazon, "GET", "state", None)}
    except DeviceError as error:
        seen = {**amazon.device, "reachable": False, "words": str(error)}
    if seen != amazon.device:
        amazon.device = seen
        amazon.state.touch()


async def _control(amazon: Amazon, verb: str, body: Json) -> Json:
    answer = await _call(amazon, "POST", verb, body)
    amazon.state.record("out", "device", verb, status=200, request=body, answer=answer)
    await _look(amazon)
    return answer


async def _call(amazon: Amazon, method: str, path: str, body: Json | None) -> Json:
    if not amazon.settings.device_url:
        raise DeviceError("No simulated device is set up (DEVICE_URL is empty).")
    url = f"{amazon.settings.device_url}/{path}"
    try:
        async with amazon.http.request(method, url, json=body, timeout=_PATIENCE) as response:
            return _understood(response.status, await response.text(errors="replace"))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise DeviceError(f"The simulated coffee machine does not answer ({type(error).__name__}).") from error


def _understood(status: int, text: str) -> Json:
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if status >= 300 or not isinstance(body, dict):
        raise DeviceError(f"The simulated coffee machine answered {status}: {text[:200]}")
    return body
