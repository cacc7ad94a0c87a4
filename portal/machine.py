"""A simulated coffee machine: a client of the portal's public device API, in a process of its own.

    python -m portal.machine

It has beans, a non-volatile memory and an unreliable network, and behaves as the firmware of a good device should:
what it measures goes to its memory first and is sent afterwards, again and again with back-off, until the portal has
answered for it: recorded, already known or refused. Its sequence numbers make the repetition harmless. After the loss
of its memory it asks the portal (GET /api/v1/me) where it stood, and begins a new epoch.

It knows the portal by its address only: it imports no room and no Django. Environment: PORTAL_URL, DEVICE_SERIAL,
DEVICE_KEY (or DEVICE_KEY_FILE), MACHINE_DATA (folder of its memory), MACHINE_PORT=8101 (its buttons, on 127.0.0.1
only), SLOT_ID=beans, CUPS_PER_HOPPER=20, HEARTBEAT_SECONDS=900, RETRY_SECONDS=1 (the first pause; it doubles to 30).

Buttons: POST /brew {"cups": 1}, POST /refill, POST /offline {"offline": true}, POST /power {"on": true}, POST /ring, GET /state.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from portal.machine_switch import Switch

log = logging.getLogger("machine")

FULL = 100.0
BATCH = 1000  # readings the portal takes at once
LONGEST_PAUSE = 30.0  # seconds between attempts
ANSWERED = frozenset({"recorded", "already known", "refused"})
MOST_CUPS = 1000  # at one press
WISHES_EVERY = 1.0  # seconds between two looks at what the portal wishes


@dataclass(frozen=True)
class Settings:
    """Where the portal is, who this machine is, and how big its hopper is."""

    portal: str
    serial: str
    key: str
    folder: Path
    port: int = 8101
    slot: str = "beans"
    cups_per_hopper: int = 20
    heartbeat: float = 900.0  # seconds
    retry: float = 1.0  # seconds

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the environment; raises SystemExit with one sentence per missing thing."""
        key_file = environment.get("DEVICE_KEY_FILE")
        key = Path(key_file).read_text(encoding="utf-8").strip() if key_file else environment.get("DEVICE_KEY", "")
        needed = {name: environment.get(name, "") for name in ("PORTAL_URL", "DEVICE_SERIAL", "MACHINE_DATA")}
        needed["DEVICE_KEY"] = key
        if missing := [f"{name} is not set." for name, value in needed.items() if not value]:
            raise SystemExit("The coffee machine cannot start: " + " ".join(missing))
        return cls(
            portal=needed["PORTAL_URL"].rstrip("/"),
            serial=needed["DEVICE_SERIAL"],
            key=key,
            folder=Path(needed["MACHINE_DATA"]),
            port=int(environment.get("MACHINE_PORT") or 8101),
            slot=environment.get("SLOT_ID") or "beans",
            cups_per_hopper=max(int(environment.get("CUPS_PER_HOPPER") or 20), 1),
            heartbeat=float(environment.get("HEARTBEAT_SECONDS") or 900),
            retry=float(environment.get("RETRY_SECONDS") or 1),
        )


@dataclass
class Memory:
    """What survives a power cut. ``unsent`` holds readings as they will be sent, oldest first."""

    level: float = FULL
    epoch: int | None = None  # None: nothing is remembered, ask the portal
    sequence: int = 0  # of the next reading
    offline: bool = False
    on: bool = True
    unsent: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> "Memory":
        """What was saved; a fresh memory if there is none or it is damaged."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError):
            log.warning("the memory in %s is damaged; starting as after a factory reset", path)
            return cls()

    def save(self, path: Path) -> None:
        """Atomic: after a power cut at any moment there is the old memory or the new one, never half of one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


class Machine:
    """The machine between its buttons and the portal."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.path = settings.folder / f"{settings.serial}.json"
        self.memory = Memory.load(self.path)
        self.last_answer = ""
        self._something_to_send = asyncio.Event()
        self._network_is_back = asyncio.Event()
        self._pause = settings.retry
        self.switch = Switch(settings.portal, self.memory.on, self._keep_switch)

    # --- what people do ---------------------------------------------------------------------------------------------

    def brew(self, cups: int) -> None:
        """Make coffee, switched on first; each cup is measured. From an empty hopper comes hot water, and a level of 0 again."""
        self.switch.turn(True)
        for _ in range(cups):
            self.memory.level = max(round(self.memory.level - FULL / self.settings.cups_per_hopper, 3), 0.0)
            self._measure()
        self._remember()

    def refill(self) -> None:
        """A new bag of beans."""
        self.memory.level = FULL
        self.measure()

    def go_offline(self, offline: bool) -> None:
        """Pull the network cable, or put it back."""
        self.memory.offline = offline
        self._pause = self.settings.retry
        self._network_is_back.set()
        self._remember()

    def measure(self) -> None:
        """Take one reading now."""
        self._measure()
        self._remember()

    def state(self) -> dict[str, Any]:
        """What its little display shows."""
        return {
            "serial": self.settings.serial,
            "level": self.memory.level,
            "sequence": self.memory.sequence,
            "offline": self.memory.offline,
            "on": self.switch.on,
            "buffered": len(self.memory.unsent),
            "last_answer": self.last_answer,
        }

    def _keep_switch(self, on: bool) -> None:
        self.memory.on = on
        self.memory.save(self.path)

    def _measure(self) -> None:
        """Into the memory first. Sequence and epoch may have to wait until the portal has said where we stood."""
        reading = {"value": self.memory.level, "measured_at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        self.memory.unsent.append(reading | {"slot": self.settings.slot, "sequence": self.memory.sequence})
        self.memory.sequence += 1

    def _remember(self) -> None:
        self.memory.save(self.path)
        self._something_to_send.set()

    # --- the network ------------------------------------------------------------------------------------------------

    async def beat(self) -> None:
        """One reading every heartbeat, so that the portal knows it is alive."""
        while True:
            self.measure()
            await asyncio.sleep(self.settings.heartbeat)

    async def obey(self) -> None:
        """The switch and the bell, for ever. What fails is tried again at the next look."""
        async with self._session() as session:
            while True:
                if not self.memory.offline:
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                        await self.switch.talk(session)
                await asyncio.sleep(WISHES_EVERY)

    def _session(self) -> aiohttp.ClientSession:
        who = {"Authorization": aiohttp.encode_basic_auth(self.settings.serial, self.settings.key)}
        return aiohttp.ClientSession(headers=who, timeout=aiohttp.ClientTimeout(total=10))

    async def talk(self) -> None:
        """Send whatever is unsent, for ever."""
        async with self._session() as session:
            while True:
                await self._something_to_send.wait()
                self._something_to_send.clear()
                await self._send_all(session)

    async def _send_all(self, session: aiohttp.ClientSession) -> None:
        while self.memory.unsent and not self.memory.offline:
            try:
                await self._find_epoch(session)
                await self._send_some(session)
                self._pause = self.settings.retry
            except (aiohttp.ClientError, TimeoutError, NotAnswered) as error:
                self.last_answer = str(error) or type(error).__name__
                log.info("not sent (%s); %d kept", self.last_answer, len(self.memory.unsent))
                await self._wait_a_little()

    async def _wait_a_little(self) -> None:
        """The back-off, with jitter. New readings wait as well; only the network's return cuts it short."""
        self._network_is_back.clear()
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._network_is_back.wait(), pause * random.uniform(0.5, 1.0))  # noqa: S311

    async def _find_epoch(self, session: aiohttp.ClientSession) -> None:
        """After the loss of its memory: one epoch further than the portal has heard of."""
        if self.memory.epoch is not None:
            return
        async with session.get(f"{self.settings.portal}/api/v1/me") as answer:
            known = await _json(answer)
        if answer.status != 200:
            raise NotAnswered(f"{answer.status} {_detail(known)}")
        mine = [slot for slot in known["slots"] if slot["slot"] == self.settings.slot]
        heard = mine[0]["epoch"] if mine else None
        self.memory.epoch = 0 if heard is None else heard + 1
        self.memory.save(self.path)

    async def _send_some(self, session: aiohttp.ClientSession) -> None:
        sent = self.memory.unsent[:BATCH]
        readings = [reading | {"epoch": self.memory.epoch} for reading in sent]
        body = readings[0] if len(readings) == 1 else {"readings": readings}
        async with session.post(f"{self.settings.portal}/api/v1/readings", json=body) as answer:
            told = await _json(answer)
        statuses = _statuses(answer.status, told, len(sent))
        self.last_answer = statuses[-1]
        self.memory.unsent = [*_unanswered(sent, statuses), *self.memory.unsent[len(sent) :]]
        self.memory.save(self.path)
        log.info("%d sent: %s", len(sent), ", ".join(sorted(set(statuses))))


class NotAnswered(Exception):
    """The portal gave no answer about our readings: they are kept and sent again."""


async def _json(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        told = json.loads(await answer.read())
    except ValueError as error:
        raise NotAnswered(f"{answer.status} without JSON") from error
    return told if isinstance(told, dict) else {}


def _statuses(status: int, told: dict[str, Any], sent: int) -> list[str]:
    """What was said of each reading sent; raises NotAnswered unless it was said of all."""
    if status == 200 and isinstance(told.get("results"), list) and len(told["results"]) == sent:
        return [_status(result) for result in told["results"]]
    if sent == 1 and status in (200, 201):
        return [_status(told)]
    if sent == 1 and status == 400 and told.get("errors"):
        log.warning("the portal refused a reading: %s", _detail(told))
        return ["refused"]
    raise NotAnswered(f"{status} {_detail(told)}")


def _status(result: Any) -> str:
    return str(result.get("status", "")) if isinstance(result, dict) else ""


def _unanswered(sent: list[dict[str, Any]], statuses: list[str]) -> list[dict[str, Any]]:
    left = [reading for reading, status in zip(sent, statuses, strict=True) if status not in ANSWERED]
    if len(left) == len(sent):
        raise NotAnswered("an answer that says nothing of our readings")
    return left


def _detail(told: dict[str, Any]) -> str:
    return str(told.get("detail", ""))[:200]


# --- the buttons ------------------------------------------------------------------------------------------------------


def buttons(machine: Machine) -> web.Application:
    """The machine's buttons as a small JSON API; whoever can reach 127.0.0.1 stands before the machine."""

    async def state(_: web.Request) -> web.Response:
        return web.json_response(machine.state())

    async def brew(request: web.Request) -> web.Response:
        cups = (await _body(request)).get("cups", 1)
        if isinstance(cups, bool) or not isinstance(cups, int) or not 1 <= cups <= MOST_CUPS:
            raise _bad_request(f"cups must be a whole number from 1 to {MOST_CUPS}.")
        machine.brew(cups)
        return await state(request)

    async def refill(request: web.Request) -> web.Response:
        await _body(request)
        machine.refill()
        return await state(request)

    async def offline(request: web.Request) -> web.Response:
        machine.go_offline(await _flag(request, "offline"))
        return await state(request)

    async def power(request: web.Request) -> web.Response:
        machine.switch.turn(await _flag(request, "on"))
        return await state(request)

    async def ring(request: web.Request) -> web.Response:
        await _body(request)
        machine.switch.ring()
        return await state(request)

    app = web.Application(client_max_size=4096)
    app.add_routes([web.get("/state", state), web.post("/brew", brew)])
    app.add_routes([web.post("/refill", refill), web.post("/offline", offline)])
    app.add_routes([web.post("/power", power), web.post("/ring", ring)])
    return app


async def _body(request: web.Request) -> dict[str, Any]:
    """JSON only: a web page of another origin cannot send that without asking first."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text='{"detail": "Send JSON."}', content_type="application/json")
    try:
        told = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError) as error:
        raise _bad_request("That is not JSON.") from error
    if not isinstance(told, dict):
        raise _bad_request("Send a JSON object.")
    return told


async def _flag(request: web.Request, name: str) -> bool:
    wanted = (await _body(request)).get(name)
    if not isinstance(wanted, bool):
        raise _bad_request(f"{name} must be true or false.")
    return wanted


def _bad_request(detail: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=json.dumps({"detail": detail}), content_type="application/json")


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run until ``stop``; what was measured by then is in the memory."""
    machine = Machine(settings)
    runner = web.AppRunner(buttons(machine), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", settings.port).start()
    log.info("%s brews; its buttons are at http://127.0.0.1:%d", settings.serial, settings.port)
    work = [asyncio.create_task(task) for task in (machine.talk(), machine.beat(), machine.obey())]
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([*work, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (*work, stopping):
            task.cancel()
        await asyncio.gather(*work, stopping, return_exceptions=True)
        await runner.cleanup()
    for task in done - {stopping}:
        task.result()  # they by themselves: this raises what ended them


async def _main() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await run(Settings.of(os.environ), stop)
    except OSError as error:
        raise SystemExit(f"The coffee machine stopped: {error}") from error


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_main())
