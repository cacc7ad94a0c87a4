"""The simulated coffee machine against a portal that loses answers, breaks down, and comes back."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from portal.machine import Memory, Settings, run

KEY = "the-key-of-the-machine"


class FakePortal:
    """The far side of the wire: keeps what it is told by (epoch, sequence); ``weather`` answers first, if any."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], float] = {}
        self.requests: list[list[dict[str, Any]]] = []
        self.weather: list[Callable[[web.Request], Awaitable[web.Response | None]]] = []
        self.known_epoch: int | None = None
        self.callers: set[str] = set()
        self.shadow: dict[str, dict[str, Any]] = {"reported": {}, "delta": {}}
        self.events: list[dict[str, Any]] = []

    async def readings(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.callers.add(request.headers["Authorization"])
        items = body.get("readings", [body])
        self.requests.append(items)
        if self.weather and (answer := await self.weather.pop(0)(request)):
            return answer
        results = [self.keep(item) for item in items]
        return web.json_response({"results": results} if "readings" in body else results[0])

    async def what_is_wished(self, _: web.Request) -> web.Response:
        return web.json_response({"state": self.shadow, "version": 1})

    async def what_it_is(self, request: web.Request) -> web.Response:
        self.shadow["reported"] = (await request.json())["state"]["reported"]
        self.shadow["delta"] = {}
        return web.json_response({"state": self.shadow, "version": 2})

    async def event(self, request: web.Request) -> web.Response:
        if self.weather and (answer := await self.weather.pop(0)(request)):
            return answer
        self.events.append(await request.json())
        return web.json_response({"status": "recorded"}, status=201)

    def keep(self, item: dict[str, Any]) -> dict[str, Any]:
        assert set(item) == {"slot", "sequence", "epoch", "value", "measured_at"}
        key = (item["epoch"], item["sequence"])
        status = "already known" if key in self.kept else "recorded"
        self.kept.setdefault(key, item["value"])
        return {"slot": item["slot"], "sequence": item["sequence"], "status": status}

    async def me(self, _: web.Request) -> web.Response:
        return web.json_response({"slots": [{"slot": "beans", "epoch": self.known_epoch, "sequence": 7}]})


PORTAL = web.AppKey("portal", FakePortal)


async def lose_the_answer(request: web.Request) -> web.Response | None:
    """The portal has stored it all; the answer never arrives."""
    portal = request.app[PORTAL]
    body = await request.json()
    for item in body.get("readings", [body]):
        portal.keep(item)
    assert request.transport is not None
    request.transport.close()
    return None


def answer(status: int, body: str = "{}", content_type: str = "application/json") -> Callable[..., Any]:
    async def give(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type=content_type)

    return give


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Kitchen:
    """The fake portal and a machine that may be unplugged and plugged in again with the same memory."""

    def __init__(self, folder: Path, portal_port: int, portal: FakePortal) -> None:
        self.portal = portal
        self.settings = Settings(
            portal=f"http://127.0.0.1:{portal_port}",
            serial="CRM20-0001",
            key=KEY,
            folder=folder,
            port=free_port(),
            retry=0.02,
        )

    async def plug_in(self) -> None:
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(run(self.settings, self.stop))
        await self.until(lambda state: True)

    async def unplug(self) -> None:
        self.stop.set()
        await self.task

    async def press(self, button: str, **body: Any) -> dict[str, Any]:
        address = f"http://127.0.0.1:{self.settings.port}/{button}"
        async with aiohttp.ClientSession() as session, session.post(address, json=body) as reply:
            assert reply.status == 200, await reply.text()
            told: dict[str, Any] = await reply.json()
            return told

    async def state(self) -> dict[str, Any]:
        address = f"http://127.0.0.1:{self.settings.port}/state"
        async with aiohttp.ClientSession() as session, session.get(address) as reply:
            told: dict[str, Any] = await reply.json()
            return told

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        state: dict[str, Any] = {}
        for _ in range(1000):
            try:
                state = await self.state()
                if wanted(state):
                    return state
            except aiohttp.ClientConnectionError:
                assert not self.task.done(), self.task.result()
            await asyncio.sleep(0.01)
        raise AssertionError(f"never: {state}")

    async def settled(self) -> dict[str, Any]:
        return await self.until(lambda state: state["buffered"] == 0)


def in_the_kitchen(folder: Path, story: Callable[[Kitchen], Awaitable[None]]) -> None:
    """Tell one story with a fake portal on a real socket."""

    async def tell() -> None:
        portal = FakePortal()
        app = web.Application()
        app[PORTAL] = portal
        app.add_routes([web.post("/api/v1/readings", portal.readings), web.get("/api/v1/me", portal.me)])
        app.add_routes(
            [web.get("/api/v1/shadow", portal.what_is_wished), web.patch("/api/v1/shadow", portal.what_it_is)]
        )
        app.add_routes([web.post("/api/v1/events", portal.event)])
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        kitchen = Kitchen(folder, port, portal)
        try:
            await story(kitchen)
            if not kitchen.task.done():
                await kitchen.unplug()
        finally:
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(tell(), 60))


def test_it_says_what_is_left_when_plugged_in_and_with_each_cup(tmp_path: Path) -> None:
    async def story(kitchen: Kitchen) -> None:
        await kitchen.plug_in()
        await kitchen.settled()
        assert await kitchen.press("brew", cups=2) | {"buffered": 0, "last_answer": ""} == {
            "serial": "CRM20-0001",
            "level": 90.0,
            "sequence": 3,
            "offline": False,
            "on": True,
            "buffered": 0,
            "last_answer": "",
        }
        state = await kitchen.settled()
        assert state["last_answer"] == "recorded"
        assert kitchen.portal.kept == {(0, 0): 100.0, (0, 1): 95.0, (0, 2): 90.0}
        assert kitchen.portal.callers == {aiohttp.encode_basic_auth("CRM20-0001", KEY)}
        assert (await kitchen.press("refill"))["level"] == 100.0
        await kitchen.settled()
        assert kitchen.portal.kept[(0, 3)] == 100.0

    in_the_kitchen(tmp_path, story)


def test_an_empty_hopper_says_zero(tmp_path: Path) -> None:
    async def story(kitchen: Kitchen) -> None:
        await kitchen.plug_in()
        assert (await kitchen.press("brew", cups=25))["level"] == 0
        await kitchen.settled()
        assert [kitchen.portal.kept[(0, n)] for n in (19, 20, 25)] == [5.0, 0.0, 0.0]

    in_the_kitchen(tmp_path, story)


def test_offline_it_only_remembers_and_then_sends_all_at_once_in_order(tmp_path: Path) -> None:
    async def story(kitchen: Kitchen) -> None:
        await kitchen.plug_in()
        await kitchen.settled()
        await kitchen.press("offline", offline=True)
        heard = len(kitchen.portal.requests)
        assert (await kitchen.press("brew", cups=5))["buffered"] == 5
        await asyncio.sleep(0.2)
        assert len(kitchen.portal.requests) == heard
        await kitchen.press("offline", offline=False)
        await kitchen.settled()
        assert [[item["sequence"] for item in items] for items in kitchen.portal.requests[heard:]] == [[1, 2, 3, 4, 5]]

    in_the_kitchen(tmp_path, story)


def test_a_lost_answer_is_asked_for_again_under_the_same_number(tmp_path: Path) -> None:
    async def story(kitchen: Kitchen) -> None:
        kitchen.portal.weather = [lose_the_answer, lose_the_answer]
        await kitchen.plug_in()
        state = await kitchen.settled()
        assert state["last_answer"] == "already known"
        assert len(kitchen.portal.requests) == 3
        assert kitchen.portal.requests[0] == kitchen.portal.requests[2]
        assert len(kitchen.portal.kept) == 1

    in_the_kitchen(tmp_path, story)


TROUBLES = {
    "503": answer(503),
    "500 html": answer(500, "<h1>oops</h1>", "text/html"),
    "429": answer(429),
    "401": answer(401, '{"detail": "The serial number or the device key is not right."}'),
    "400 of all": answer(400, '{"detail": "not JSON"}'),
    "list": answer(200, "[]"),
    "nothing": answer(200, '{"results": []}'),
    "no answer": answer(200, '{"status": "lovely weather"}'),
    "302": answer(302),
    "413": answer(413),
}


def test_whatever_goes_wrong_the_reading_is_kept_and_sent_again(tmp_path: Path) -> None:
    async def story(kitchen: Kitchen) -> None:
        await kitchen.plug_in()
        await kitchen.settled()
        for name, trouble in TROUBLES.items():
            kitchen.portal.requests.clear()
            kitchen.portal.weather = [trouble, trouble]
            await kitchen.press("brew", cups=1)
            state = await kitchen.settled()
            assert state["last_answer"] == "recorded", name
            assert len(kitchen.portal.requests) == 3, name

    in_the_kitchen(tmp_path, story)


def test_a_refused_reading_is_answered_and_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    async def story(kitchen: Kitchen) -> None:
        refusal = '{"detail": "no", "errors": [{"field": "value", "reason": "no"}]}'
        kitchen.portal.weather = [answer(400, refusal)]
        await kitchen.plug_in()
        await kitchen.until(lambda state: state["last_answer"] == "refused")
        await kitchen.press("brew", cups=1)
        await kitchen.settled()
        assert kitchen.portal.kept == {(0, 1): 95.0}

    in_the_kitchen(tmp_path, story)


def test_in_a_batch_only_what_was_not_answered_is_sent_again(tmp_path: Path) -> None:
    async def half(request: web.Request) -> web.Response:
        items = (await request.json())["readings"]
        told = [{"status": "recorded" if n % 2 else "hm"} for n in range(len(items))]
        return web.json_response({"results": told})

    async def story(kitchen: Kitchen) -> None:
        await kitchen.plug_in()
        await kitchen.settled()
        await kitchen.press("offline", offline=True)
        await kitchen.press("brew", cups=4)
        kitchen.portal.weather = [half]
        await kitchen.press("offline", offline=False)
        await kitchen.settled()
        assert [item["sequence"] for item in kitchen.portal.requests[-1]] == [1, 3]

    in_the_kitchen(tmp_path, story)


def test_new_cups_do_not_hurry_the_back_off(tmp_path: Path) -> None:
    async def story(kitchen: Kitchen) -> None:
        kitchen.settings = Settings(**vars(kitchen.settings) | {"retry": 5.0})
        kitchen.portal.weather = [answer(503)] * 100
        await kitchen.plug_in()
        await kitchen.until(lambda state: "503" in state["last_answer"])
        for _ in range(10):
            await kitchen.press("brew", cups=1)
        await asyncio.sleep(0.2)
        assert len(kitchen.portal.requests) == 1
        kitchen.portal.weather = []
        await kitchen.press("offline", offline=True)
        await kitchen.press("offline", offline=False)
        await kitchen.settled()

    in_the_kitchen(tmp_path, story)


def test_after_a_power_cut_it_goes_on_where_it_stood(tmp_path: Path) -> None:
    async def story(kitchen: Kitchen) -> None:
        await kitchen.plug_in()
        await kitchen.settled()
        await kitchen.press("offline", offline=True)
        await kitchen.press("brew", cups=3)
        await kitchen.unplug()
        await kitchen.plug_in()
        state = await kitchen.state()
        assert (state["level"], state["offline"], state["buffered"]) == (85.0, True, 4)
        await kitchen.press("offline", offline=False)
        await kitchen.settled()
        assert kitchen.portal.kept == {(0, 0): 100.0, (0, 1): 95.0, (0, 2): 90.0, (0, 3): 85.0, (0, 4): 85.0}

    in_the_kitchen(tmp_path, story)


def test_after_the_loss_of_its_memory_it_begins_a_new_epoch(tmp_path: Path) -> None:
    async def story(kitchen: Kitchen) -> None:
        for epoch, damage in enumerate((None, "{half", '{"colour": "red"}', "")):
            kitchen.portal.known_epoch = epoch
            kitchen.portal.kept.clear()
            if damage is not None:
                (tmp_path / "CRM20-0001.json").write_text(damage)
            await kitchen.plug_in()
            await kitchen.settled()
            assert kitchen.portal.kept == {(epoch + 1, 0): 100.0}, damage
            await kitchen.unplug()

    in_the_kitchen(tmp_path, story)


def test_the_memory_is_never_half_written(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "memory.json"
    Memory(level=40, epoch=1, sequence=9).save(path)

    def power_cut(*_: Any, **__: Any) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(json, "dump", power_cut)
    with pytest.raises(OSError, match="power cut"):
        Memory(level=35, epoch=1, sequence=10).save(path)
    assert Memory.load(path) == Memory(level=40, epoch=1, sequence=9)


def test_the_buttons_take_json_of_the_right_kind_only(tmp_path: Path) -> None:
    async def story(kitchen: Kitchen) -> None:
        await kitchen.plug_in()
        address = f"http://127.0.0.1:{kitchen.settings.port}"
        wrong: list[tuple[str, dict[str, Any], int]] = [
            ("brew", {"json": {"cups": 0}}, 400),
            ("brew", {"json": {"cups": True}}, 400),
            ("brew", {"json": {"cups": "many"}}, 400),
            ("brew", {"json": {"cups": 10**9}}, 400),
            ("brew", {"json": [1]}, 400),
            ("brew", {"data": "{", "headers": {"Content-Type": "application/json"}}, 400),
            ("brew", {"data": {"cups": "1"}}, 415),
            ("refill", {"data": ""}, 415),
            ("offline", {"json": {}}, 400),
            ("offline", {"json": {"offline": 1}}, 400),
            ("brew", {"json": {"x": "x" * 5000}}, 413),
            ("self-destruct", {"json": {}}, 404),
        ]
        async with aiohttp.ClientSession() as session:
            for button, body, status in wrong:
                async with session.post(f"{address}/{button}", **body) as reply:
                    assert reply.status == status, (button, body)
        assert (await kitchen.state())["level"] == 100

    in_the_kitchen(tmp_path, story)


def test_what_is_missing_is_said_in_one_sentence() -> None:
    with pytest.raises(SystemExit, match=r"PORTAL_URL is not set\. DEVICE_SERIAL is not set") as refused:
        Settings.of({"MACHINE_DATA": "x"})
    assert "DEVICE_KEY is not set" in str(refused.value)


TWICE = """
import runpy, sys, devices.simulator.run, devices.simulator.mqtt_door
for _ in range(2):
    runpy.run_module("portal.machine", run_name="__main__")
print(*sys.modules)
"""
OURS = ("django", "rest_framework", "portal", "skill", "notifications", "devices")
KNOWN = ("portal", "portal.machine", "portal.machine_switch", "devices", "devices.simulator")


def test_as_a_process_it_ends_when_asked_and_keeps_what_it_has(tmp_path: Path) -> None:
    """And neither it nor the simulated fleet loads anything of the portal's inside."""
    environment = {"PORTAL_URL": f"http://127.0.0.1:{free_port()}", "DEVICE_SERIAL": "CRM20-0001", "DEVICE_KEY": KEY}
    environment |= {"MACHINE_DATA": str(tmp_path / "deep" / "folder"), "MACHINE_PORT": str(free_port())}
    command, pipe = [sys.executable, "-c", TWICE], subprocess.PIPE
    process = subprocess.Popen(command, env=os.environ | environment, stdout=pipe, stderr=pipe, text=True)
    memory = tmp_path / "deep" / "folder" / "CRM20-0001.json"
    for kept, sign in enumerate((signal.SIGTERM, signal.SIGINT), 1):
        asyncio.run(until(lambda kept=kept: memory.exists() and len(Memory.load(memory).unsent) == kept))
        process.send_signal(sign)
    loaded, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert KEY not in said
    assert len(Memory.load(memory).unsent) == 2
    inside = [name for name in loaded.split() if name.split(".")[0] in OURS]
    assert "devices.simulator.run" in inside
    assert [name for name in inside if name not in KNOWN and not name.startswith("devices.simulator.")] == []


async def until(true: Callable[[], Any]) -> None:
    for _ in range(4000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never")


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.machine.WISHES_EVERY", 0.01)


def test_it_says_whether_it_is_on_and_does_what_is_wished(tmp_path: Path, attentive: None) -> None:
    async def story(kitchen: Kitchen) -> None:
        await kitchen.plug_in()
        shadow = kitchen.portal.shadow
        await until(lambda: shadow["reported"] == {"powerState": "ON"})
        shadow["delta"] = {"powerState": "OFF"}
        await until(lambda: shadow["reported"] == {"powerState": "OFF"})
        assert (await kitchen.state())["on"] is False
        await kitchen.press("power", on=True)
        await until(lambda: shadow["reported"] == {"powerState": "ON"})
        await kitchen.press("power", on=False)
        await kitchen.unplug()
        await kitchen.plug_in()
        assert (await kitchen.state())["on"] is False, "it remembers"
        await kitchen.press("brew", cups=1)
        await until(lambda: shadow["reported"] == {"powerState": "ON"})

    in_the_kitchen(tmp_path, story)


def test_a_press_of_the_bell_is_told_once_with_an_id_of_its_own(tmp_path: Path, attentive: None) -> None:
    async def story(kitchen: Kitchen) -> None:
        kitchen.portal.weather = []
        await kitchen.plug_in()
        await kitchen.settled()
        kitchen.portal.weather = [answer(503)]
        await kitchen.press("ring")
        await kitchen.press("ring")
        await until(lambda: len(kitchen.portal.events) == 2)
        assert {event["type"] for event in kitchen.portal.events} == {"doorbell_press"}
        assert len({event["id"] for event in kitchen.portal.events}) == 2

    in_the_kitchen(tmp_path, story)
