"""The Alexa app: from Link account to devices through a real Lambda process, and all that can go wrong there."""

import asyncio
import base64
import hashlib
import json

from tests.sandbox.far_side import coffee_machine, question, run


def test_link_account_asks_the_portal_as_alexa_does(tmp_path):
    async def scene(world):
        url = (await world.act("link"))["url"]
        asked = question(url)
        assert url.startswith(world.amazon.settings.portal_url + "/o/authorize/?")
        assert asked["response_type"] == "code"
        assert asked["client_id"] == "alexa"
        assert asked["redirect_uri"] == "http://127.0.0.1:8100/api/skill/link/SANDBOXVENDOR"
        assert asked["scope"] == "alexa"
        assert len(asked["state"]) > 300
        assert asked["code_challenge_method"] == "S256"

    run(scene, tmp_path)


def test_linking_redeems_the_code_then_grants_then_discovers(tmp_path):
    async def scene(world):
        assert await world.link() == "Linked. Alexa found 1 device."
        redeemed = world.portal.token_requests[0]
        pair = base64.b64encode(b"alexa:link-secret-of-a-test").decode()
        assert redeemed["authorization"] == f"Basic {pair}"
        assert redeemed["grant_type"] == "authorization_code"
        assert redeemed["code"] == "portal-code"
        assert redeemed["redirect_uri"] == "http://127.0.0.1:8100/api/skill/link/SANDBOXVENDOR"
        names = [directive["header"]["name"] for directive in world.portal.directives]
        assert names == ["AcceptGrant", "Discover"]
        granted, discover = world.portal.directives
        assert granted["payload"]["grantee"] == {"type": "BearerToken", "token": "portal-access-1"}
        assert "correlationToken" not in granted["header"]
        assert "endpoint" not in granted
        assert discover["payload"] == {"scope": {"type": "BearerToken", "token": "portal-access-1"}}
        link = (await world.state())["links"]["household"]
        assert link["status"] == "linked"
        assert link["endpoints"][0]["endpoint"] == coffee_machine()

    run(scene, tmp_path)


def test_linked_is_what_linking_leaves(tmp_path):
    def left(world) -> dict:
        state = world.amazon.state
        tokens = {family: list(members.values()) for family, members in state.lwa.items()}
        rest = [state.data["pending"], state.dash, state.orders, state.outbox, state.knobs]
        return timeless([state.links, tokens, rest, sorted(world.portal.lwa_tokens)])

    def timeless(value: object) -> object:
        """Without the times of each moment."""
        timed = ("linked_at", "seen_at", "expires_at", "expires")
        return json.loads(json.dumps(value), object_hook=lambda one: {key: one[key] for key in one if key not in timed})

    async def scene(world):
        await world.link()
        spoken = left(world)
        for forgotten in (world.amazon.state.links, *world.amazon.state.lwa.values(), world.portal.lwa_tokens):
            forgotten.clear()
        await world.linked()
        assert left(world) == spoken

    run(scene, tmp_path)


def test_with_a_vendor_id_of_one_s_own(tmp_path):
    async def scene(world):
        assert await world.link() == "Linked. Alexa found 1 device."
        assert world.portal.token_requests[0]["redirect_uri"] == "http://127.0.0.1:8100/api/skill/link/M2TRIAL"

    run(scene, tmp_path, vendor_id="M2TRIAL")


def test_a_state_works_once_and_the_challenge_is_that_of_the_verifier(tmp_path):
    async def scene(world):
        asked = question((await world.act("link"))["url"])
        query = {"code": "c", "state": asked["state"]}
        for kind in ("good", "bad"):
            await world.client.get("/api/skill/link/SANDBOXVENDOR", params=query, allow_redirects=False)
            assert (await world.state())["notice"]["kind"] == kind
        (redeemed,) = world.portal.token_requests
        verifier = redeemed["code_verifier"]
        digest = hashlib.sha256(verifier.encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]

    run(scene, tmp_path)


def test_without_pkce_neither_challenge_nor_verifier_is_sent(tmp_path):
    async def scene(world):
        await world.act("weather", pkce=False)
        assert "code_challenge" not in question((await world.act("link"))["url"])
        await world.link()
        assert "code_verifier" not in world.portal.token_requests[0]

    run(scene, tmp_path)


WRONG_RETURNS = [
    ({"code": "c", "state": "of nobody"}, "a state that Alexa did not give it"),
    ({"code": "c"}, "a state that Alexa did not give it"),
    ({"error": "access_denied", "state": "ours"}, "refused at the portal: access_denied"),
    ({"state": "ours"}, "without a code"),
]


def test_a_return_that_is_not_right_links_nothing_and_says_why(tmp_path):
    async def scene(world):
        for query, words in WRONG_RETURNS:
            asked = question((await world.act("link"))["url"])
            sent = {key: asked["state"] if value == "ours" else value for key, value in query.items()}
            await world.client.get("/api/skill/link/SANDBOXVENDOR", params=sent, allow_redirects=False)
            state = await world.state()
            assert state["notice"]["kind"] == "bad", query
            assert words in state["notice"]["words"]
            assert (state["links"], world.portal.token_requests) == ({}, []), query

    run(scene, tmp_path)


def test_a_token_endpoint_that_refuses_is_told_in_words(tmp_path):
    async def scene(world):
        world.portal.token_status = 400
        assert "token endpoint answered 400 invalid_grant" in await world.link()
        assert world.portal.directives == []

    run(scene, tmp_path)


def test_accept_grant_failed_is_unable_to_link(tmp_path):
    async def scene(world):
        world.portal.accepts = False
        words = await world.link()
        assert words == (
            "Unable to link: AcceptGrant was not accepted. "
            "The skill answered ACCEPT_GRANT_FAILED: Login with Amazon said no."
        )
        assert (await world.state())["links"]["household"]["status"] == "failed"
        assert len(world.portal.directives) == 1  # no discovery for a link that failed
        assert "has not linked" in (await world.act("discover", status=409))["error"]

    run(scene, tmp_path)


def test_a_short_lived_token_is_a_violation(tmp_path):
    async def scene(world):
        world.portal.expires_in = 300
        await world.link()
        entry = (await world.wire("token authorization_code"))[0]
        assert entry["violations"] == ["expires_in: must be a number of at least 360 seconds"]

    run(scene, tmp_path)


def test_one_bad_endpoint_does_not_hide_the_others(tmp_path):
    async def scene(world):
        world.portal.endpoints.append(coffee_machine() | {"endpointId": "has a space"})
        assert await world.link() == "Linked. Alexa found 1 device. 1 could not be used."
        assert (await world.wire("Discover"))[0]["violations"] != []

    run(scene, tmp_path)


def test_a_device_that_is_not_found_again_stays_and_is_marked(tmp_path):
    async def scene(world):
        await world.linked()
        world.portal.endpoints = []
        assert (await world.act("discover"))["words"] == "Alexa found 0 devices."
        assert [entry["missing"] for entry in (await world.state())["links"]["household"]["endpoints"]] == [True]

    run(scene, tmp_path)


def test_ask_sends_report_state_with_the_cookie_and_reads_the_answer(tmp_path):
    async def scene(world):
        await world.linked()
        words = (await world.act("ask", endpoint="crema-alice-1"))["words"]
        assert words == "Kitchen coffee machine: connectivity OK, Beans.Hopper 42%."
        asked = world.portal.directives[-1]
        assert asked["header"]["name"] == "ReportState"
        assert asked["header"]["correlationToken"]
        assert asked["endpoint"]["cookie"] == {"model": "crema"}
        assert (await world.wire("ReportState"))[0]["violations"] == []

    run(scene, tmp_path)


def test_a_device_that_alexa_does_not_know_cannot_be_asked(tmp_path):
    async def scene(world):
        await world.linked()
        assert "no such device" in (await world.act("ask", status=409, endpoint="crema-bob-1"))["error"]

    run(scene, tmp_path)


def test_an_expired_token_is_renewed_before_the_next_directive(tmp_path):
    async def scene(world):
        await world.link()
        world.amazon.state.links["household"]["expires_at"] = "2026-01-01T00:00:00.000Z"
        await asyncio.gather(world.act("ask"), world.act("ask"))
        renewals = [form for form in world.portal.token_requests if form["grant_type"] == "refresh_token"]
        assert [form["refresh_token"] for form in renewals] == ["portal-refresh-1"]
        assert world.portal.directives[-1]["endpoint"]["scope"]["token"] == "portal-access-2"

    run(scene, tmp_path)


def test_a_token_that_the_skill_calls_expired_is_renewed_and_the_directive_sent_once_more(tmp_path):
    async def scene(world):
        await world.linked()
        world.portal.expired_once = True
        assert "Beans.Hopper 42%" in (await world.act("ask"))["words"]
        assert [form["grant_type"] for form in world.portal.token_requests] == ["refresh_token"]

    run(scene, tmp_path)


def test_a_refused_renewal_breaks_the_link(tmp_path):
    async def scene(world):
        await world.linked()
        world.amazon.state.links["household"]["expires_at"] = "2026-01-01T00:00:00.000Z"
        world.portal.token_status = 400
        assert "invalid_grant" in (await world.act("ask", status=409))["error"]
        assert (await world.state())["links"]["household"]["status"] == "broken"

    run(scene, tmp_path)


def test_disabling_tells_nobody_but_the_gateway_and_login_with_amazon_know(tmp_path):
    async def scene(world):
        await world.linked()
        await world.act("disable")
        assert world.portal.directives == []
        assert await world.report() == 403
        form = {"grant_type": "refresh_token", "refresh_token": world.portal.lwa_tokens["refresh_token"]}
        refused = await world.portal.ask_lwa(form)
        assert (refused["status"], refused["error"]) == (400, "invalid_grant")
        assert "has not linked" in (await world.act("discover", status=409))["error"]

    run(scene, tmp_path)


def test_enabling_again_starts_with_new_tokens_and_the_old_ones_stay_dead(tmp_path):
    async def scene(world):
        await world.linked()
        old = world.portal.lwa_tokens
        await world.act("disable")
        assert await world.link() == "Linked. Alexa found 1 device."
        assert await world.report() == 202
        world.portal.lwa_tokens = old
        assert await world.report() == 403

    run(scene, tmp_path)


def test_two_households_do_not_share_tokens_or_devices(tmp_path):
    async def scene(world):
        await world.link("alice")
        alice = world.portal.lwa_tokens
        world.portal.endpoints = []
        await world.link("bob")
        assert await world.report() == 202  # accepted, but Bob's Alexa never heard of that machine
        assert (await world.state())["dash"] == []
        world.portal.lwa_tokens = alice
        await world.report()
        assert [run["account"] for run in (await world.state())["dash"]] == ["alice"]

    run(scene, tmp_path)
