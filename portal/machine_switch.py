"""The simulated coffee machine's switch and bell: how it tells the portal what it is, and becomes what it is asked to be.

As the firmware of a device behind HTTPS does it: it asks for its shadow again and again, does what stands in ``delta``, and
reports. A press of the bell is sent while it is young; after a minute nobody stands at the door any more.
"""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp

POWER = "powerState"
WORDS = {True: "ON", False: "OFF"}
RING_LIVES = 60.0  # seconds


class Switch:
    """On or off, and the presses that are not told yet. ``keep`` writes the state into the machine's memory."""

    def __init__(self, portal: str, on: bool, keep: Callable[[bool], None]) -> None:
        self.portal, self.on, self._keep = portal, on, keep
        self._rings: list[tuple[float, dict[str, Any]]] = []

    def turn(self, on: bool) -> None:
        """By whoever: a finger, or the portal."""
        self.on = on
        self._keep(on)

    def ring(self) -> None:
        """Somebody pressed the bell."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"type": "doorbell_press", "id": str(uuid.uuid4()), "happened_at": now}
        self._rings.append((time.monotonic(), event))

    async def talk(self, session: aiohttp.ClientSession) -> None:
        """Tell what happened, do what is wished, say what it is. Raises what aiohttp raises; the next talk tries again."""
        await self._tell_rings(session)
        shadow = await _state(await session.get(f"{self.portal}/api/v1/shadow"))
        if (wished := shadow.get("delta", {}).get(POWER)) in WORDS.values():
            self.turn(wished == WORDS[True])
        if shadow and shadow.get("reported", {}).get(POWER) != WORDS[self.on]:
            await self._report(session)

    async def _report(self, session: aiohttp.ClientSession) -> None:
        said = {"state": {"reported": {POWER: WORDS[self.on]}}}
        async with session.patch(f"{self.portal}/api/v1/shadow", json=said) as answer:
            await answer.read()

    async def _tell_rings(self, session: aiohttp.ClientSession) -> None:
        """The ID of each makes the repetition harmless."""
        while self._rings:
            pressed, event = self._rings[0]
            if time.monotonic() - pressed < RING_LIVES:
                async with session.post(f"{self.portal}/api/v1/events", json=event) as answer:
                    if answer.status >= 500:
                        return
            self._rings.pop(0)


async def _state(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The shadow's state; empty where the portal gives none."""
    async with answer:
        try:
            told = await answer.json(content_type=None)
        except ValueError:
            return {}
    state = told.get("state") if answer.status == 200 and isinstance(told, dict) else None
    return state if isinstance(state, dict) else {}
