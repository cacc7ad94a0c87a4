"""The page and its control API: what is shown, who may press, and that nothing secret or foreign gets in."""

import asyncio
import json
import re

from portal.sandbox.masking import masked
from tests.sandbox.far_side import run


def test_the_page_and_its_files_come_with_a_strict_policy_and_for_our_own_name_only(tmp_path):
    async def scene(world):
        assert (await world.client.get("/state.json", headers={"Host": "evil.example:8100"})).status == 421
        for path, kind in {"/": "text/html", "/sandbox.css": "text/css", "/sandbox.js": "text/javascript"}.items():
            answer = await world.client.get(path)
            assert (answer.status, answer.content_type) == (200, kind)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        page = await (await world.client.get("/")).text()
        assert "plays Amazon" in page
        assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)
        for address in re.findall(r'(?:src|href)="(/[\w.]+)"', page):
            assert (await world.client.get(address)).status == 200
        for path in ("/", "/sandbox.css", "/sandbox.js", "/wire.js"):
            text = await (await world.client.get(path)).text()
            assert not re.search(r"(?:src|href|url\(|@import)[=\s\"'(]*https?:", text), "from elsewhere"

    run(scene, tmp_path)


def test_actions_take_json_only_and_not_from_another_site(tmp_path):
    async def scene(world):
        form = await world.client.post("/actions/refill", data={"a": "b"})
        plain = await world.client.post("/actions/refill", data="{}", headers={"Content-Type": "text/plain"})
        assert (form.status, plain.status) == (415, 415)
        assert (await world.client.get("/actions/refill")).status == 405
        answer = await world.client.post("/actions/refill", json={}, headers={"Origin": "https://evil.example"})
        assert answer.status == 415
        ours = {"Origin": str(world.client.make_url("/")).rstrip("/")}
        assert (await world.client.post("/actions/refill", json={}, headers=ours)).status == 200
        assert "There is no such action" in (await world.act("explode", status=404))["error"]

    run(scene, tmp_path)


def test_a_body_that_is_no_object(tmp_path):
    async def scene(world):
        for body in ("{", "[]", '"x"', "1"):
            answer = await world.client.post("/actions/ask", data=body, headers={"Content-Type": "application/json"})
            assert answer.status == 400, body

    run(scene, tmp_path)


NO_KNOBS = [
    {"thunder": 1},
    {"throttle_every": -1},
    {"throttle_every": True},
    {"throttle_every": "3"},
    {"hang": 1},
    {"threshold": 101},
    {"sns_signature_version": "3"},
]


def test_a_knob_that_does_not_turn_changes_nothing(tmp_path):
    async def scene(world):
        before = (await world.state())["knobs"]
        for knobs in NO_KNOBS:
            await world.act("weather", status=400, **({"slow_ms": 5} | knobs))
            assert (await world.state())["knobs"] == before, knobs

    run(scene, tmp_path)


def test_the_device_panel_passes_the_hand_on(tmp_path):
    async def scene(world):
        assert (await world.act("brew", cups=3))["device"]["asked"] == {"cups": 3}
        assert (await world.act("offline", offline=True))["device"]["asked"] == {"offline": True}
        assert (await world.act("refill"))["words"] == "The hopper is full."
        await world.until(lambda: world.amazon.device.get("reachable"))
        assert (await world.state())["device"]["level"] == 42

    run(scene, tmp_path)


def test_cups_are_whole_numbers(tmp_path):
    async def scene(world):
        for cups in (0, 101, True, "1", 1.5):
            refused = await world.act("brew", status=400, cups=cups)
            assert refused["error"] == "cups is a whole number from 1 to 100.", cups

    run(scene, tmp_path)


def test_a_device_that_is_not_there_is_told_in_words(tmp_path):
    async def scene(world):
        assert "does not answer" in (await world.act("brew", status=409))["error"]

    run(scene, tmp_path, device_url="http://127.0.0.1:9")


def test_the_wire_is_given_from_where_the_page_left_off(tmp_path):
    async def scene(world):
        await world.linked()
        await world.report()
        numbers = [entry["number"] for entry in (await world.state())["wire"]]
        assert numbers == sorted(numbers)
        assert [entry["number"] for entry in (await world.state(after=numbers[-2]))["wire"]] == numbers[-1:]
        await world.act("clear")
        assert (await world.state())["wire"] == []
        assert (await world.client.get("/state.json?after=x")).status == 200

    run(scene, tmp_path)


def test_a_change_is_told_to_an_open_page(tmp_path):
    async def scene(world):
        stream = await world.client.get("/changes")
        assert stream.content_type == "text/event-stream"
        await stream.content.readuntil(b"\n\n")
        await world.act("clear")
        told = await asyncio.wait_for(stream.content.readuntil(b"\n\n"), 20)
        assert told.startswith(b"data: ")
        stream.close()

    run(scene, tmp_path)


def test_nothing_secret_is_shown_after_a_whole_loop(tmp_path):
    async def scene(world):
        await world.link()
        for _ in range(3):
            await world.report(5)
        await world.until(lambda: world.portal.bodies)
        await world.act("ask")
        shown = json.dumps(await world.state())
        link = world.amazon.state.links["household"]
        secrets = [link["access_token"], link["refresh_token"], "portal-code", "link-secret-of-a-test"]
        secrets += [*world.amazon.state.lwa["access"], *world.amazon.state.lwa["refresh"], "courier-secret-of-a-test"]
        secrets += [world.portal.directives[0]["payload"]["grant"]["code"], "Action=Unsubscribe"]
        assert [secret for secret in secrets if secret in shown] == []

    run(scene, tmp_path)


def test_masking_keeps_what_a_person_needs():
    error = {"payload": {"code": "INVALID_ACCESS_TOKEN_EXCEPTION"}}
    assert masked(error) == error
    assert masked({"code": "ANabc"}) == {"code": "••••"}
    assert masked({"note": "Bearer abc and Atza|" + "x" * 40}) == {"note": "Bearer •••• and Atza|••••xxxx"}
    assert masked([1, None, True, {"endpointId": "crema-alice-1"}]) == [1, None, True, {"endpointId": "crema-alice-1"}]


def test_a_huge_body_is_kept_short(tmp_path):
    async def scene(world):
        await world.linked()
        token = world.portal.lwa_tokens["access_token"]
        await world.event({"event": "x" * 200_000}, token)
        entry = (await world.wire("unreadable message"))[0]
        assert len(entry["request"]) < 61_000
        assert "characters in all" in entry["request"]

    run(scene, tmp_path)
