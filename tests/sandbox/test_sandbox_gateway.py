"""The Event Gateway, over HTTP: who may speak, what may be said, and the weather."""

import asyncio

import aiohttp
import pytest

from tests.sandbox.far_side import change_report, clone, run


async def told(answer) -> tuple[int, str]:
    body = await answer.json()
    assert body["header"]["namespace"] == "System"
    assert body["header"]["name"] == "Exception"
    assert body["payload"]["description"]
    return answer.status, body["payload"]["code"]


def test_a_right_event_is_accepted_without_a_body(tmp_path):
    async def scene(world):
        await world.linked()
        token = world.portal.lwa_tokens["access_token"]
        answer = await world.event(change_report(42, token))
        assert (answer.status, await answer.read()) == (202, b"")
        entry = (await world.wire("ChangeReport"))[0]
        assert (entry["direction"], entry["status"], entry["violations"]) == ("in", 202, [])

    run(scene, tmp_path)


def test_who_may_not_speak(tmp_path):
    async def scene(world):
        await world.linked()
        token = world.portal.lwa_tokens["access_token"]
        message = change_report(42, token)
        bare = await world.client.post("/v3/events", json=message)
        assert await told(bare) == (400, "INVALID_REQUEST_EXCEPTION")
        empty = await world.client.post("/v3/events", json=message, headers={"Authorization": "Bearer "})
        assert await told(empty) == (400, "INVALID_REQUEST_EXCEPTION")
        unknown = await world.event(change_report(42, "Atza|unknown"), "Atza|unknown")
        assert await told(unknown) == (401, "INVALID_ACCESS_TOKEN_EXCEPTION")
        ours = await world.event(change_report(42, "portal-access-1"), "portal-access-1")
        assert await told(ours) == (401, "INVALID_ACCESS_TOKEN_EXCEPTION")
        other = await world.event(change_report(42, "Atza|another"), token)
        assert await told(other) == (400, "INVALID_REQUEST_EXCEPTION")

    run(scene, tmp_path)


def test_an_expired_token_is_401_and_a_refreshed_one_is_good(tmp_path):
    async def scene(world):
        await world.linked()
        await world.act("weather", expire_tokens=True)
        answer = await world.event(change_report(42, world.portal.lwa_tokens["access_token"]))
        assert await told(answer) == (401, "INVALID_ACCESS_TOKEN_EXCEPTION")
        form = {"grant_type": "refresh_token", "refresh_token": world.portal.lwa_tokens["refresh_token"]}
        world.portal.lwa_tokens = await world.portal.ask_lwa(form)
        assert await world.report() == 202

    run(scene, tmp_path)


def test_another_region_does_not_know_the_customer(tmp_path):
    async def scene(world):
        await world.linked()
        message = change_report(42, world.portal.lwa_tokens["access_token"])
        for path in ("/eu/v3/events", "/fe/v3/events"):
            assert await told(await world.event(message, path=path)) == (403, "SKILL_NEVER_ENABLED_EXCEPTION")

    run(scene, tmp_path)


def test_a_malformed_event_is_400_and_red(tmp_path):
    async def scene(world):
        await world.linked()
        answer = await world.event(change_report(130, world.portal.lwa_tokens["access_token"]))
        assert await told(answer) == (400, "INVALID_REQUEST_EXCEPTION")
        entry = (await world.wire("ChangeReport"))[0]
        assert entry["violations"] == ["event.payload.change.properties[0].value.value: a percentage ends at 100"]

    run(scene, tmp_path)


def test_an_event_about_nothing_announced_is_accepted_shown_in_red_and_not_believed(tmp_path):
    async def scene(world):
        await world.linked()
        message = clone(change_report(1, world.portal.lwa_tokens["access_token"]))
        message["event"]["endpoint"]["endpointId"] = "crema-bob-1"
        for _ in range(3):
            assert (await world.event(message)).status == 202
        state = await world.state()
        assert state["orders"] == []
        assert state["dash"] == []
        assert (await world.wire("ChangeReport"))[0]["violations"] == [
            'event.endpoint.endpointId: "crema-bob-1" was never announced'
        ]

    run(scene, tmp_path)


def test_what_is_not_json_and_what_is_too_large(tmp_path):
    async def scene(world):
        await world.linked()
        headers = {"Authorization": f"Bearer {world.portal.lwa_tokens['access_token']}"}
        for body in (b"", b"{", b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000):
            answer = await world.client.post("/v3/events", data=body, headers=headers)
            assert await told(answer) == (400, "INVALID_REQUEST_EXCEPTION"), body[:9]
        answer = await world.client.post("/v3/events", data=b"x" * 10_000_000, headers=headers)
        assert await told(answer) == (413, "REQUEST_ENTITY_TOO_LARGE_EXCEPTION")

    run(scene, tmp_path)


def test_a_report_of_endpoints_changes_what_alexa_knows(tmp_path):
    async def scene(world):
        await world.linked()
        token = world.portal.lwa_tokens["access_token"]
        scope = {"type": "BearerToken", "token": token}
        header = change_report()["event"]["header"] | {"namespace": "Alexa.Discovery"}
        second = world.portal.endpoints[0] | {"endpointId": "crema-alice-2", "friendlyName": "Office"}
        payload = {"endpoints": [second], "scope": scope}
        added = {"event": {"header": header | {"name": "AddOrUpdateReport"}, "payload": payload}}
        assert (await world.event(added)).status == 202
        assert len((await world.state())["links"]["household"]["endpoints"]) == 2
        payload = {"endpoints": [{"endpointId": "crema-alice-1"}, {"endpointId": "unknown"}], "scope": scope}
        gone = {"event": {"header": header | {"name": "DeleteReport"}, "payload": payload}}
        assert (await world.event(gone)).status == 202
        known = (await world.state())["links"]["household"]["endpoints"]
        assert [entry["endpoint"]["endpointId"] for entry in known] == ["crema-alice-2"]

    run(scene, tmp_path)


def test_a_name_that_nobody_can_say_is_taken_and_shown_in_red(tmp_path):
    async def scene(world):
        world.portal.endpoints[0]["friendlyName"] = "Alice's machine"
        assert await world.link() == "Linked. Alexa found 1 device."
        assert (await world.wire("Discover"))[0]["violations"] == [
            "event.payload.endpoints[0].friendlyName: only letters, digits and spaces, not '"
        ]
        token = world.portal.lwa_tokens["access_token"]
        header = change_report()["event"]["header"] | {"namespace": "Alexa.Discovery", "name": "AddOrUpdateReport"}
        second = world.portal.endpoints[0] | {"endpointId": "crema-alice-2"}
        payload = {"endpoints": [second], "scope": {"type": "BearerToken", "token": token}}
        assert (await world.event({"event": {"header": header, "payload": payload}})).status == 202
        assert len((await world.state())["links"]["household"]["endpoints"]) == 2

    run(scene, tmp_path)


def test_every_third_event_is_throttled(tmp_path):
    async def scene(world):
        await world.linked()
        await world.act("weather", throttle_every=3)
        assert [await world.report() for _ in range(6)] == [202, 202, 429, 202, 202, 429]
        await world.act("weather", throttle_every=1)
        answer = await world.event(change_report(42, world.portal.lwa_tokens["access_token"]))
        assert await told(answer) == (429, "THROTTLING_EXCEPTION")

    run(scene, tmp_path)


def test_faults_are_500_and_503_in_turn(tmp_path):
    async def scene(world):
        await world.linked()
        await world.act("weather", fail_every=1)
        assert [await world.report() for _ in range(3)] == [500, 503, 500]

    run(scene, tmp_path)


def test_the_skill_disabled_knob_leaves_the_tokens_alone(tmp_path):
    async def scene(world):
        await world.linked()
        await world.act("weather", skill_disabled=True)
        answer = await world.event(change_report(42, world.portal.lwa_tokens["access_token"]))
        assert await told(answer) == (403, "SKILL_DISABLED_EXCEPTION")
        await world.act("weather", skill_disabled=False)
        assert await world.report() == 202

    run(scene, tmp_path)


def test_slow_is_slow(tmp_path):
    async def scene(world):
        await world.linked()
        await world.act("weather", slow_ms=300)
        assert await world.report() == 202
        assert (await world.wire("ChangeReport"))[0]["ms"] >= 300

    run(scene, tmp_path)


def test_never_answering_lasts_until_the_knob_is_off(tmp_path):
    async def scene(world):
        await world.linked()
        await world.act("weather", hang=True)
        waiting = asyncio.create_task(world.report())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await world.act("weather", hang=False)
        with pytest.raises(aiohttp.ClientError):
            await waiting
        assert await world.report() == 202

    run(scene, tmp_path)
