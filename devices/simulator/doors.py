"""How a unit talks to the portal: the HTTPS API here, MQTT in mqtt_door.py. A door answers, or raises NoAnswer."""

from typing import Any, Protocol

import aiohttp

from devices.simulator.unit import Unit

Answers = list[dict[str, Any]]


class NoAnswer(Exception):
    """Nobody knows whether it was heard: send it again, at the earliest after so many seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class TurnedAway(Exception):
    """The portal understood and said no, for good: a fault of the simulator or of the portal, not of the network."""


class Door(Protocol):
    """The way in. ``tell`` answers each reading in order, with status and perhaps reason."""

    async def tell(self, unit: Unit, readings: list[dict[str, Any]]) -> Answers: ...

    async def epoch_of(self, unit: Unit) -> int:
        """The newest epoch that the portal has heard of this unit; -1 if none."""
        ...


class HttpDoor:
    """POST /api/v1/readings and GET /api/v1/me, over kept connections."""

    def __init__(self, session: aiohttp.ClientSession, portal: str) -> None:
        self._session, self._portal = session, portal.rstrip("/")

    async def tell(self, unit: Unit, readings: list[dict[str, Any]]) -> Answers:
        body = readings[0] if len(readings) == 1 else {"readings": readings}
        status, answer = await self._ask(unit, "POST", "/api/v1/readings", body)
        if status == 400 and len(readings) == 1:
            return [{"status": "refused", "reason": answer.get("detail")}]
        if status not in (200, 201):
            raise TurnedAway(f"{status}: {answer}")
        return [answer] if len(readings) == 1 else list(answer["results"])

    async def epoch_of(self, unit: Unit) -> int:
        status, answer = await self._ask(unit, "GET", "/api/v1/me")
        if status != 200:
            raise TurnedAway(f"{status}: {answer}")
        return max((slot["epoch"] for slot in answer["slots"] if slot["epoch"] is not None), default=-1)

    async def _ask(self, unit: Unit, method: str, address: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        who = aiohttp.BasicAuth(unit.serial, unit.key)
        try:
            async with self._session.request(method, self._portal + address, json=body, auth=who) as answer:
                if answer.status == 429 or answer.status >= 500:
                    raise NoAnswer(str(answer.status), float(answer.headers.get("Retry-After", 1)))
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NoAnswer(type(error).__name__) from error
