"""Login with Amazon, over HTTP: codes once, refresh until disabled, Amazon's own errors."""

import base64

from portal.sandbox import lwa
from portal.sandbox.state import now, stamp
from tests.sandbox.far_side import run

CLIENT = {"client_id": "lwa-client", "client_secret": "lwa-secret-of-a-test"}


async def exchange(world, form: dict, **more: object) -> tuple[int, dict]:
    answer = await world.client.post("/auth/o2/token", data=form, **more)
    return answer.status, await answer.json()


def code_form(world) -> dict:
    return {"grant_type": "authorization_code", "code": lwa.issue_code(world.amazon.state, "household")}


def test_a_code_becomes_tokens_of_amazons_shape(tmp_path):
    async def scene(world):
        status, body = await exchange(world, code_form(world) | CLIENT)
        assert status == 200
        assert body["access_token"].startswith("Atza|")
        assert 350 <= len(body["access_token"]) <= 2048
        assert body["refresh_token"].startswith("Atzr|")
        assert body["token_type"] == "bearer"
        assert body["expires_in"] == 3600

    run(scene, tmp_path)


def test_the_client_may_come_in_a_basic_header(tmp_path):
    async def scene(world):
        pair = base64.b64encode(b"lwa-client:lwa-secret-of-a-test").decode()
        status, _ = await exchange(world, code_form(world), headers={"Authorization": f"Basic {pair}"})
        assert status == 200

    run(scene, tmp_path)


def test_a_code_works_once_and_not_for_a_wrong_client(tmp_path):
    async def scene(world):
        form = code_form(world) | CLIENT
        status, body = await exchange(world, form | {"client_secret": "wrong"})
        assert (status, body["error"]) == (401, "invalid_client")
        assert (await exchange(world, form))[0] == 200
        status, body = await exchange(world, form)
        assert (status, body["error"]) == (400, "invalid_grant")

    run(scene, tmp_path)


def test_an_old_code_is_an_invalid_grant(tmp_path):
    async def scene(world):
        form = code_form(world) | CLIENT
        world.amazon.state.lwa["codes"][form["code"]]["expires"] = stamp(now())
        status, body = await exchange(world, form)
        assert (status, body["error"]) == (400, "invalid_grant")

    run(scene, tmp_path)


REFUSED = [
    ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ({}, 400, "unsupported_grant_type"),
    ({"grant_type": "authorization_code"}, 400, "invalid_request"),
    ({"grant_type": "refresh_token", "refresh_token": ""}, 400, "invalid_request"),
    ({"grant_type": "refresh_token", "refresh_token": "Atzr|unknown"}, 400, "invalid_grant"),
    ({"grant_type": "authorization_code", "code": "unknown"}, 400, "invalid_grant"),
]


def test_what_amazon_refuses_and_json_is_not_a_form(tmp_path):
    async def scene(world):
        for form, status, error in REFUSED:
            told, body = await exchange(world, form | CLIENT)
            assert (told, body["error"], body["error_description"] != "") == (status, error, True), form
        answer = await world.client.post("/auth/o2/token", json=code_form(world) | CLIENT)
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")

    run(scene, tmp_path)


def test_refreshing_gives_a_new_access_token_and_keeps_the_refresh_token(tmp_path):
    async def scene(world):
        _, first = await exchange(world, code_form(world) | CLIENT)
        form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]} | CLIENT
        status, second = await exchange(world, form)
        assert status == 200
        assert second["access_token"] != first["access_token"]
        assert second["refresh_token"] == first["refresh_token"]

    run(scene, tmp_path)


def test_rotation_ends_the_old_refresh_token(tmp_path):
    async def scene(world):
        _, first = await exchange(world, code_form(world) | CLIENT)
        await world.act("weather", rotate_refresh=True)
        form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]} | CLIENT
        _, second = await exchange(world, form)
        assert second["refresh_token"] != first["refresh_token"]
        status, body = await exchange(world, form)
        assert (status, body["error"]) == (400, "invalid_grant")
        assert (await exchange(world, form | {"refresh_token": second["refresh_token"]}))[0] == 200

    run(scene, tmp_path)


def test_out_of_service_is_a_503_and_costs_nothing(tmp_path):
    async def scene(world):
        form = code_form(world) | CLIENT
        await world.act("weather", lwa_down=True)
        assert (await exchange(world, form))[0] == 503
        await world.act("weather", lwa_down=False)
        assert (await exchange(world, form))[0] == 200

    run(scene, tmp_path)


def test_a_redirect_uri_is_let_pass_but_shown_in_red(tmp_path):
    async def scene(world):
        form = code_form(world) | CLIENT | {"redirect_uri": "https://example.com/"}
        assert (await exchange(world, form))[0] == 200
        assert (await world.wire("LWA authorization_code"))[0]["violations"] == [
            "redirect_uri: is not sent with the code of an AcceptGrant"
        ]

    run(scene, tmp_path)


def test_no_secret_reaches_the_wire_panel(tmp_path):
    async def scene(world):
        form = code_form(world) | CLIENT
        _, body = await exchange(world, form)
        shown = await (await world.client.get("/state.json")).text()
        for secret in (form["code"], CLIENT["client_secret"], body["access_token"], body["refresh_token"]):
            assert secret not in shown

    run(scene, tmp_path)
