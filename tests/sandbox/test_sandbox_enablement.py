"""The sandbox's part in linking that begins in the portal: the customer's leave, and the skill enablement API."""

import base64
import hashlib
from urllib.parse import parse_qsl, urlsplit

from portal.sandbox.enablement import SCOPE
from tests.sandbox.far_side import run

VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
SKILL = "/v1/users/~current/skills/amzn1.ask.skill.sandbox/enablement"


def asked(world, **changes):
    portal = world.amazon.settings.return_address
    query = {"client_id": "lwa-client", "scope": SCOPE, "skill_stage": "live", "response_type": "code"}
    query |= {"redirect_uri": portal, "state": "s+/%", "code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    return query | changes


async def leave(world, path="/ap/oa", answer="allow"):
    """The customer answers; what the browser brings back to the portal."""
    query = asked(world, answer=answer)
    response = await world.client.get(path, params=query, allow_redirects=False)
    assert response.status == 302
    assert response.headers["Location"].startswith(world.amazon.settings.return_address + "?")
    return dict(parse_qsl(urlsplit(response.headers["Location"]).query))


async def token(world, **changes):
    """Amazon's leave as an access token, or the error."""
    form = {"grant_type": "authorization_code", "code": (await leave(world))["code"], "code_verifier": VERIFIER}
    answer = await world.portal.ask_lwa(form | {"redirect_uri": world.amazon.settings.return_address} | changes)
    return answer.get("access_token") or answer["error"]


async def api(world, method, bearer, path=SKILL, body=None):
    response = await world.client.request(method, path, json=body, headers={"Authorization": f"Bearer {bearer}"})
    return response.status, (await response.json() if response.status != 204 else {})


def enabling(world):
    link = {"redirectUri": world.amazon.settings.return_address, "authCode": "portal-code", "type": "AUTH_CODE"}
    return {"stage": "live", "accountLinkRequest": link}


def test_the_customer_is_asked_and_both_answers_go_back(tmp_path):
    async def scene(world):
        for path in ("/ap/oa", "/spa/link"):
            page = await world.client.get(path, params=asked(world))
            text = await page.text()
            assert "Agree and link" in text
            assert "answer=allow" in text
            back = await leave(world, path)
            assert (back["state"], bool(back["code"])) == ("s+/%", True), path
            assert await leave(world, path, "cancel") == {"error": "access_denied", "state": "s+/%"}, path

    run(scene, tmp_path)


def test_a_wrong_question_is_refused_without_a_redirect(tmp_path):
    async def scene(world):
        for wrong in ({"client_id": "x"}, {"redirect_uri": "http://evil.example/"}, {"scope": "profile"}):
            query = asked(world, answer="allow", **wrong)
            response = await world.client.get("/ap/oa", params=query, allow_redirects=False)
            assert (response.status, world.amazon.state.lwa["codes"]) == (400, {}), wrong

    run(scene, tmp_path)


def test_enabling_redeems_the_portals_code_then_grants_then_discovers(tmp_path):
    async def scene(world):
        bearer = await token(world)
        here = f"{world.client.server.host}:{world.client.server.port}"
        assert await api(world, "GET", bearer, "/v1/alexaApiEndpoint") == (200, {"endpoints": [here]})
        assert (await api(world, "GET", bearer))[0] == 404
        status, said = await api(world, "POST", bearer, body=enabling(world))
        assert (status, said["status"], said["accountLink"]) == (201, "ENABLED", {"status": "LINKED"})
        assert world.portal.token_requests[0]["redirect_uri"] == world.amazon.settings.return_address
        assert [directive["header"]["name"] for directive in world.portal.directives] == ["AcceptGrant", "Discover"]
        assert (await world.state())["links"]["household"]["status"] == "linked"
        assert (await api(world, "GET", bearer))[0] == 200
        assert (await api(world, "DELETE", bearer))[0] == 204
        assert (await world.state())["links"]["household"]["status"] == "disabled"

    run(scene, tmp_path)


def test_a_code_that_the_portal_refuses(tmp_path):
    async def scene(world):
        bearer = await token(world)
        world.portal.token_status = 400
        assert await api(world, "POST", bearer, body=enabling(world)) == (
            400,
            {"message": "Invalid account linking credentials"},
        )

    run(scene, tmp_path)


def test_the_code_is_bound_to_challenge_and_address(tmp_path):
    async def scene(world):
        for wrong in ({"code_verifier": "w" * 64}, {"redirect_uri": "http://evil.example/"}, {"code_verifier": ""}):
            assert await token(world, **wrong) == "invalid_grant", wrong

    run(scene, tmp_path)


def test_tokens_of_one_purpose_do_not_serve_the_other(tmp_path):
    async def scene(world):
        bearer = await token(world)
        await world.link()
        assert (await api(world, "GET", world.portal.lwa_tokens["access_token"]))[0] == 401
        assert (await world.event({}, bearer)).status in (400, 401)
        world.portal.lwa_tokens = {"access_token": bearer}
        assert await world.report() == 401

    run(scene, tmp_path)


def test_nothing_secret_is_on_the_wire_that_is_shown(tmp_path):
    async def scene(world):
        bearer = await token(world)
        await api(world, "POST", bearer, body=enabling(world))
        text = str((await world.state())["wire"])
        assert bearer not in text
        assert "'authCode': 'portal-code'" not in text

    run(scene, tmp_path)
