"""The sandbox as Smart Properties: who may ask, who hears, and every button of its page."""

import json
import re
from pathlib import Path

from portal.sandbox import properties
from tests.sandbox.far_side import World, run

TOPIC = "arn:aws:sns:eu-west-1:000000000000:properties"
PAGE = Path(properties.__file__).resolve().parents[2] / "templates" / "sandbox" / "page.html"
BUTTONS = re.findall(r"data-action=\"property_event\" data-body='([^']+)'", PAGE.read_text("utf-8"))
MESSENGER = "/v1/eventMessenger"


async def signed_in(world: World) -> dict[str, str]:
    form = {"grant_type": "refresh_token", "refresh_token": "Atzr|hotel", "client_id": "lwa-client"}
    answer = await world.client.post("/auth/o2/token", data=form | {"client_secret": "lwa-secret-of-a-test"})
    return {"Authorization": f"Bearer {(await answer.json())['access_token']}"}


async def subscribed(world: World, *events: str) -> None:
    token = await signed_in(world)
    channel = {"deliveryChannels": [{"type": "SNS", "id": TOPIC}], "idempotencyToken": "once"}
    made = [
        await world.client.post(f"{MESSENGER}/subscriptionConfigurations", json=channel, headers=token) for _ in "12"
    ]
    assert [answer.status for answer in made] == [201, 201]
    configuration = (await made[0].json())["id"]
    assert (await made[1].json())["id"] == made[0].headers["Location"] == configuration
    for event in events:
        namespace, name = properties.EVENTS[event]
        body = {"subscriptionConfigurationId": configuration, "eventType": {"namespace": namespace, "name": name}}
        body["entities"] = {"unit": {"type": "Unit", "id": properties.ROOM}, "skill": {"type": "Skill", "id": "s"}}
        assert (await world.client.post(f"{MESSENGER}/subscriptions", json=body, headers=token)).status == 201


def test_every_button_sends_an_event_to_who_subscribed(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.act("property_event", 409, event="setup")
        await subscribed(world, *properties.EVENTS)
        for body in BUTTONS:
            await world.act("property_event", **json.loads(body))
        outbox = (await world.state())["outbox"]
        assert {entry["order"] for entry in outbox} == set(properties.EVENTS)
        assert len(outbox) == len(BUTTONS) > len(properties.EVENTS)

    run(scene, tmp_path, hotel_refresh_token="Atzr|hotel")


def test_a_stranger_is_refused_and_nonsense_too(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        assert (await world.client.get("/user/profile")).status == 401
        assert (await world.client.get("/user/profile", headers={"Authorization": "Bearer x"})).status == 401
        token = await signed_in(world)
        assert await (await world.client.get("/user/profile", headers=token)).json() == {"user_id": properties.USER}
        for path, body in [("subscriptionConfigurations", {}), ("subscriptions", {}), ("subscriptions", [])]:
            assert (await world.client.post(f"{MESSENGER}/{path}", json=body, headers=token)).status == 400
        assert (await world.client.delete(f"{MESSENGER}/subscriptions/none", headers=token)).status == 404
        assert (await world.client.get(f"{MESSENGER}/subscriptions", headers=token)).status == 400
        assert (await world.client.get("/v2/endpoints/none", headers=token)).status == 404
        await world.act("property_event", 409, event="nonsense")

    run(scene, tmp_path, hotel_refresh_token="Atzr|hotel")


def test_a_configuration_in_use_is_not_deleted(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await subscribed(world, "setup")
        token = await signed_in(world)
        listed = await world.client.get(f"{MESSENGER}/subscriptionConfigurations?owner=~caller", headers=token)
        [found] = (await listed.json())["results"]
        path = f"{MESSENGER}/subscriptionConfigurations/{found['id']}"
        assert (await world.client.delete(path, headers=token)).status == 400

    run(scene, tmp_path, hotel_refresh_token="Atzr|hotel")


def test_a_device_goes_into_exactly_one_unit(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await subscribed(world, "setup")
        told = await world.act("property_event", event="setup", serial="ECHO-1")
        endpoint, token = told["event"]["payload"]["endpoint"]["id"], await signed_in(world)
        path = f"/v2/endpoints/{endpoint}/associatedUnits"
        for units in ([], [{"id": "nowhere"}], [{"id": properties.LOBBY}, {"id": properties.ROOM}], {}):
            assert (await world.client.put(path, json=units, headers=token)).status == 400, units
        moved = await world.client.put(path, json=[{"id": properties.ROOM}], headers=token)
        assert (await moved.json())["id"] != endpoint
        assert (await world.client.get(f"/v2/endpoints/{endpoint}", headers=token)).status == 404

    run(scene, tmp_path, hotel_refresh_token="Atzr|hotel")
