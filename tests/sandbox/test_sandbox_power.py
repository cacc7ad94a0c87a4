"""Turn on and off in the Alexa app, answers that come later, the bell, and what announcements change: said in words, checked."""

from pathlib import Path

from tests.sandbox.far_side import World, change_report, coffee_machine, connectivity, header, level, power, run, scope


def switchable() -> dict:
    """The coffee machine with a switch and a bell."""
    reported = {"supported": [{"name": "powerState"}], "proactivelyReported": True, "retrievable": True}
    switch = {"type": "AlexaInterface", "interface": "Alexa.PowerController", "version": "3", "properties": reported}
    bell = {
        "type": "AlexaInterface",
        "interface": "Alexa.DoorbellEventSource",
        "version": "3",
        "proactivelyReported": True,
    }
    machine = coffee_machine()
    return machine | {"capabilities": [*machine["capabilities"], switch, bell]}


async def linked(world: World) -> None:
    world.portal.endpoints = [switchable()]
    await world.linked()


async def entry(world: World) -> dict:
    (found,) = (await world.state())["links"]["household"]["endpoints"]
    return found


def later(world: World, kind: str, correlation: str, **payload: str) -> dict:
    """An answer over the gateway."""
    endpoint = {"scope": scope(world.portal.lwa_tokens["access_token"]), "endpointId": switchable()["endpointId"]}
    event = {"header": header("Alexa", kind, correlationToken=correlation), "endpoint": endpoint, "payload": payload}
    if kind == "Response":
        return {"context": {"properties": [power("ON"), connectivity(), level(42)]}, "event": event}
    return {"event": event}


def test_turned_on_and_off(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await linked(world)
        for on in (True, False):
            told = await world.act("turn", on=on)
            assert f"is {'on' if on else 'off'}" in told["words"]
            assert (await entry(world))["powerState"] == ("ON" if on else "OFF")
        assert [(await world.wire(name))[0]["violations"] for name in ("TurnOn", "TurnOff")] == [[], []]

    run(scene, tmp_path)


def test_an_answer_that_comes_later(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await linked(world)
        world.portal.defers = True
        assert "takes its time" in (await world.act("turn", on=True))["words"]
        correlation = world.portal.directives[-1]["header"]["correlationToken"]
        for status in (202, 202):
            assert (await world.event(later(world, "Response", correlation))).status == status
        first, second = await world.wire("Response")
        assert (first["violations"], first["words"]) == ([], "Turn on: done, as promised")
        assert second["violations"] == [
            "event.header.correlationToken: no directive with this token waits for an answer"
        ]
        assert (await entry(world))["powerState"] == "ON"

    run(scene, tmp_path)


def test_an_error_that_comes_later(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await linked(world)
        world.portal.defers = True
        await world.act("turn", on=True)
        correlation = world.portal.directives[-1]["header"]["correlationToken"]
        message = later(world, "ErrorResponse", correlation, type="ENDPOINT_UNREACHABLE", message="no")
        message["event"]["endpoint"]["endpointId"] = "another"
        await world.event(message)
        await world.event(later(world, "ErrorResponse", correlation, type="ENDPOINT_UNREACHABLE", message="no"))
        wrong, right = await world.wire("ErrorResponse")
        assert (
            "event.endpoint.endpointId: the directive that it answers was for another endpoint" in wrong["violations"]
        )
        assert right["words"] == "Turn on: not done, ENDPOINT_UNREACHABLE"

    run(scene, tmp_path)


def test_a_report_of_the_switch_and_a_ring_are_shown(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await linked(world)
        report = change_report(42, world.portal.lwa_tokens["access_token"])
        report["event"]["payload"]["change"]["properties"] = [power("OFF")]
        report["context"] = {"properties": [connectivity("UNREACHABLE")]}
        assert (await world.event(report)).status == 202
        report["event"] |= {"header": header("Alexa.DoorbellEventSource", "DoorbellPress")}
        report["event"]["payload"] = {"cause": {"type": "PHYSICAL_INTERACTION"}, "timestamp": "2026-03-02T16:44:03Z"}
        assert (await world.event(report | {"context": {}})).status == 202
        shown = await entry(world)
        assert [shown[key] for key in ("powerState", "connectivity", "rang_at")] == [
            "OFF",
            "UNREACHABLE",
            "2026-03-02T16:44:03Z",
        ]

    run(scene, tmp_path)


def test_what_announcements_change_is_said(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await linked(world)
        token = scope(world.portal.lwa_tokens["access_token"])
        new = switchable() | {"friendlyName": "Kitchen espresso", "capabilities": coffee_machine()["capabilities"]}
        for kind, endpoints in [("AddOrUpdateReport", [new]), ("DeleteReport", [{"endpointId": new["endpointId"]}])]:
            payload = {"endpoints": endpoints, "scope": token}
            message = {"event": {"header": header("Alexa.Discovery", kind), "payload": payload}}
            assert (await world.event(message)).status == 202
        (changed,), (gone,) = await world.wire("AddOrUpdateReport"), await world.wire("DeleteReport")
        assert changed["words"] == (
            "Kitchen espresso: capabilities -Alexa.DoorbellEventSource -Alexa.PowerController, "
            "friendlyName “Kitchen coffee machine” → “Kitchen espresso”"
        )
        assert gone["words"] == "Kitchen espresso is gone"

    run(scene, tmp_path)


def test_the_machines_own_switch_and_bell(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        assert (await world.act("power", on=False))["words"] == "The machine is switched off."
        assert (await world.act("ring"))["words"] == "Ding dong."
        assert "on is true or false" in (await world.act("power", 400, on="no"))["error"]
        assert "Press Link account first" in (await world.act("turn", 409, on=True))["error"]

    run(scene, tmp_path)
