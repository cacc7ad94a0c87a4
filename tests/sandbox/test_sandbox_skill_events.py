"""Skill events: what Alexa tells the skill beside its directives, when somebody enables, links and disables it."""

from tests.sandbox.far_side import run
from tests.sandbox.test_sandbox_enablement import api, enabling, token

SKILL = "amzn1.ask.skill.sandbox"


def names(world) -> list[str]:
    return [event["request"]["type"].removeprefix("AlexaSkillEvent.") for event in world.portal.skill_events]


async def told(world, *expected: str) -> list[dict]:
    await world.until(lambda: len(world.portal.skill_events) == len(expected))
    assert names(world) == list(expected)
    return world.portal.skill_events


def test_linking_enables_once_and_brings_the_token_each_time_then_disabling_ends(tmp_path):
    async def scene(world):
        await world.act("weather", skill_events=True)
        await world.link()
        enabled, linked = await told(world, "SkillEnabled", "SkillAccountLinked")
        assert "body" not in enabled["request"]
        assert linked["request"]["body"] == {"accessToken": "portal-access-1"}
        await the_wire_shows_it_without_the_token(world)
        await world.link()
        await told(world, "SkillEnabled", "SkillAccountLinked", "SkillAccountLinked")
        assert "hints" in (await world.act("disable"))["words"]
        disabled = (await told(world, "SkillEnabled", "SkillAccountLinked", "SkillAccountLinked", "SkillDisabled"))[-1]
        assert disabled["request"]["body"] == {"userInformationPersistenceStatus": "NOT_PERSISTED"}
        users = {event["context"]["System"]["user"]["userId"] for event in world.portal.skill_events}
        assert len(users) == 1, "one Alexa user"
        assert linked["context"]["System"]["application"] == {"applicationId": SKILL}

    run(scene, tmp_path)


async def the_wire_shows_it_without_the_token(world) -> None:
    (entry,) = await world.until(
        lambda: [entry for entry in world.amazon.state.wire if entry["kind"] == "SkillAccountLinked"]
    )
    assert (entry["group"], entry["direction"], entry["violations"]) == ("skill", "out", [])
    assert entry["answer"] == {"version": "1.0", "response": {}}
    assert "portal-access-1" not in str(await world.state())


def test_linking_from_the_portal_tells_the_same(tmp_path):
    async def scene(world):
        await world.act("weather", skill_events=True)
        bearer = await token(world)
        assert (await api(world, "POST", bearer, body=enabling(world)))[0] == 201
        await told(world, "SkillEnabled", "SkillAccountLinked")
        assert (await api(world, "DELETE", bearer))[0] == 204
        await told(world, "SkillEnabled", "SkillAccountLinked", "SkillDisabled")

    run(scene, tmp_path)


def test_a_link_that_failed_and_a_skill_that_does_not_want_them_tell_nothing(tmp_path):
    async def scene(world):
        await world.link()
        assert "Nobody tells" in (await world.act("disable"))["words"]
        await world.act("weather", skill_events=True)
        world.portal.accepts = False
        assert "Unable to link" in await world.link()
        assert world.portal.skill_events == []

    run(scene, tmp_path)
