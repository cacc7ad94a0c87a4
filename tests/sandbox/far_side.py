"""The far side of the sandbox's wire: a portal that is not there, and the environment of a sandbox for a test.

The portal here is a small HTTP server of its own: it hands out tokens, takes directives from the Lambda, collects SNS
messages, and can be told what to answer.
"""

import asyncio
import contextlib
import copy
import functools
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from portal.sandbox import links, lwa
from portal.sandbox.app import AMAZON, build
from portal.sandbox.settings import Settings, from_environment
from portal.sandbox.signing import identity_in
from portal.sandbox.state import now, stamp

LAMBDA = """
import json, os, socket
HEAD = "POST /skill/directive HTTP/1.0\\r\\nContent-Type: application/json\\r\\nContent-Length: {length}\\r\\n"
HEAD += "X-Courier-Secret: {COURIER_SECRET}\\r\\nX-Skill-Region: {SKILL_REGION}\\r\\n\\r\\n"
def lambda_handler(event, context):  # without http.client, which takes longer to load than all the rest
    print("a log line must not spoil the answer")
    host, port = os.environ["DIRECTIVE_URL"].split("/")[2].split(":")
    body = json.dumps(event)
    with socket.create_connection((host, port), context.get_remaining_time_in_millis() / 1000) as portal:
        portal.sendall((HEAD.format(length=len(body), **os.environ) + body).encode())
        return json.loads(portal.makefile().read().partition("\\n\\n")[2])
"""
SENSOR = "Alexa.InventoryLevelSensor"
TIME = "2026-11-21T07:30:00.250Z"


def coffee_machine() -> dict:
    """Alice's coffee machine as the skill announces it."""
    reported = {"proactivelyReported": True, "retrievable": True}
    beans = {
        "type": "AlexaInterface",
        "interface": SENSOR,
        "version": "3",
        "instance": "Beans.Hopper",
        "properties": {"supported": [{"name": "level"}], **reported},
        "capabilityResources": {"friendlyNames": [{"@type": "text", "value": {"text": "Beans", "locale": "en-US"}}]},
        "configuration": {
            "measurement": {"@type": "Percentage"},
            "replenishment": {"@type": "DashReplenishmentId", "value": "arn:alexa:smarthome:drs:sensor:beans-1"},
        },
    }
    health = {"type": "AlexaInterface", "interface": "Alexa.EndpointHealth", "version": "3"}
    return {
        "endpointId": "crema-alice-1",
        "manufacturerName": "Example Home",
        "friendlyName": "Kitchen coffee machine",
        "description": "Coffee machine by Example Home",
        "displayCategories": ["COFFEE_MAKER"],
        "additionalAttributes": {"manufacturer": "Example Home", "model": "Crema", "serialNumber": "CREMA-1"},
        "cookie": {"model": "crema"},
        "capabilities": [
            {"type": "AlexaInterface", "interface": "Alexa", "version": "3"},
            health | {"properties": {"supported": [{"name": "connectivity"}], **reported}},
            beans,
        ],
    }


def level(percent: float) -> dict:
    """A level property of the beans."""
    value = {"@type": "Percentage", "value": percent}
    told = {"namespace": SENSOR, "instance": "Beans.Hopper", "name": "level", "value": value}
    return told | {"timeOfSample": TIME, "uncertaintyInMilliseconds": 0}


def connectivity(value: str = "OK") -> dict:
    """A connectivity property."""
    told = {"namespace": "Alexa.EndpointHealth", "name": "connectivity", "value": {"value": value}}
    return told | {"timeOfSample": TIME, "uncertaintyInMilliseconds": 0}


def power(value: str) -> dict:
    """A power state."""
    told = {"namespace": "Alexa.PowerController", "name": "powerState", "value": value}
    return told | {"timeOfSample": TIME, "uncertaintyInMilliseconds": 0}


def header(namespace: str, name: str, **more: str) -> dict:
    """An event header."""
    return {
        "namespace": namespace,
        "name": name,
        "payloadVersion": "3",
        "messageId": "0f0e0d0c-1111-4222-8333-1",
    } | more


def scope(token: str = "Atza|of-a-test") -> dict:
    """A scope with Amazon's token."""
    return {"type": "BearerToken", "token": token}


def change_report(percent: float = 42, token: str = "Atza|of-a-test", cause: str = "PERIODIC_POLL") -> dict:
    """A level of Alice's coffee machine, on its way to the gateway."""
    change = {"cause": {"type": cause}, "properties": [level(percent)]}
    endpoint = {"scope": scope(token), "endpointId": "crema-alice-1"}
    event = {"header": header("Alexa", "ChangeReport"), "endpoint": endpoint, "payload": {"change": change}}
    return {"context": {"properties": [connectivity()]}, "event": event}


class Portal:
    """Answers like a portal that does everything right, until a test replaces a part of it."""

    def __init__(self) -> None:
        self.directives: list[dict] = []
        self.courier: list[dict] = []
        self.skill_events: list[dict] = []
        self.messages: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.token_requests: list[dict] = []
        self.sns_answers: list[int] = []
        self.endpoints = [coffee_machine()]
        self.lwa_tokens: dict = {}
        self.accepts = True
        self.expires_in = 3600
        self.token_status = 200
        self.expired_once = False
        self.defers = False
        self.sandbox: TestClient | None = None

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/o/token/", self.token)
        app.router.add_post("/skill/directive", self.directive)
        app.router.add_post("/sns/", self.sns)
        app.router.add_get("/state", self.machine)
        app.router.add_post("/{verb:brew|refill|offline|power|ring}", self.machine)
        return app

    async def token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        self.token_requests.append(form | {"authorization": request.headers.get("Authorization", "")})
        if self.token_status != 200:
            return web.json_response({"error": "invalid_grant"}, status=self.token_status)
        number = len(self.token_requests)
        body = {"access_token": f"portal-access-{number}", "token_type": "Bearer", "expires_in": self.expires_in}
        return web.json_response(body | {"refresh_token": f"portal-refresh-{number}"})

    async def directive(self, request: web.Request) -> web.Response:
        told = await request.json()
        if "directive" not in told:
            self.skill_events.append(told)
            return web.json_response({"version": "1.0", "response": {}})
        directive = told["directive"]
        self.directives.append(directive)
        self.courier.append({key.lower(): value for key, value in request.headers.items()})
        return web.json_response(await self._answer(directive))

    async def _answer(self, directive: dict) -> dict:
        name = directive["header"]["name"]
        if self.expired_once and name == "ReportState":
            self.expired_once = False
            return self._error(directive, "EXPIRED_AUTHORIZATION_CREDENTIAL")
        if name in ("TurnOn", "TurnOff"):
            return self._switch(directive)
        if name == "AcceptGrant":
            return await self._accept_grant(directive)
        if name == "Discover":
            payload = {"endpoints": self.endpoints}
            return {"event": {"header": header("Alexa.Discovery", "Discover.Response"), "payload": payload}}
        told = header("Alexa", "StateReport", correlationToken=directive["header"]["correlationToken"])
        endpoint = {"endpointId": directive["endpoint"]["endpointId"]}
        context = {"properties": [connectivity(), level(42)]}
        return {"context": context, "event": {"header": told, "endpoint": endpoint, "payload": {}}}

    def _switch(self, directive: dict) -> dict:
        told = {"correlationToken": directive["header"]["correlationToken"]}
        if self.defers:
            return {"event": {"header": header("Alexa", "DeferredResponse", **told), "payload": {}}}
        state = power("ON" if directive["header"]["name"] == "TurnOn" else "OFF")
        endpoint = {"endpointId": directive["endpoint"]["endpointId"]}
        event = {"header": header("Alexa", "Response", **told), "endpoint": endpoint, "payload": {}}
        return {"context": {"properties": [connectivity(), level(42), state]}, "event": event}

    def _error(self, directive: dict, kind: str) -> dict:
        told = header("Alexa", "ErrorResponse", correlationToken=directive["header"]["correlationToken"])
        endpoint = {"endpointId": directive["endpoint"]["endpointId"]}
        return {"event": {"header": told, "endpoint": endpoint, "payload": {"type": kind, "message": "no"}}}

    async def _accept_grant(self, directive: dict) -> dict:
        if not self.accepts:
            payload = {"type": "ACCEPT_GRANT_FAILED", "message": "Login with Amazon said no."}
            return {"event": {"header": header("Alexa.Authorization", "ErrorResponse"), "payload": payload}}
        form = {"grant_type": "authorization_code", "code": directive["payload"]["grant"]["code"]}
        self.lwa_tokens = await self.ask_lwa(form)
        return {"event": {"header": header("Alexa.Authorization", "AcceptGrant.Response"), "payload": {}}}

    async def ask_lwa(self, form: dict) -> dict:
        """The portal at Login with Amazon."""
        client = {"client_id": "lwa-client", "client_secret": "lwa-secret-of-a-test"}
        answer = await self.sandbox.post("/auth/o2/token", data=form | client)
        return await answer.json() | {"status": answer.status}

    async def sns(self, request: web.Request) -> web.Response:
        self.messages.append(request)
        self.bodies.append(await request.read())
        return web.Response(status=self.sns_answers.pop(0) if self.sns_answers else 200)

    async def machine(self, request: web.Request) -> web.Response:
        body = await request.json() if request.method == "POST" else {}
        return web.json_response({"serial": "CREMA-1", "level": 42, "sequence": 7, "offline": False} | {"asked": body})


class World:
    """One sandbox, one portal, one household."""

    def __init__(self, portal: Portal, client: TestClient):
        self.portal, self.client = portal, client
        self.amazon = client.server.app[AMAZON]

    async def act(self, name: str, status: int = 200, **body: object) -> dict:
        """One button of the page."""
        answer = await self.client.post(f"/actions/{name}", json=body)
        told = await answer.json()
        assert answer.status == status, told
        return told

    async def state(self, after: int = 0) -> dict:
        """What the page sees."""
        return await (await self.client.get(f"/state.json?after={after}")).json()

    async def wire(self, kind: str) -> list[dict]:
        """The entries of one kind, oldest first."""
        return [entry for entry in (await self.state())["wire"] if entry["kind"] == kind]

    async def link(self, account: str = "household") -> str:
        """Through the portal's consent and back; returns the notice."""
        url = (await self.act("link", account=account))["url"]
        back = urlsplit(question(url)["redirect_uri"]).path
        query = {"code": "portal-code", "state": question(url)["state"]}
        answer = await self.client.get(back, params=query, allow_redirects=False)
        assert answer.status == 303
        return (await self.state())["notice"]["words"]

    async def linked(self) -> None:
        """What `link` leaves, without the way through the portal and the Lambda; a test holds the two together."""
        state, times = self.amazon.state, {"linked_at": stamp(), "expires_at": stamp(now() + timedelta(hours=1))}
        tokens = {"access_token": "portal-access-1", "refresh_token": "portal-refresh-1"}
        link = {"status": "linked", "words": "", "region": "NA", "enabled": True, "endpoints": {}}
        state.links[links.HOUSEHOLD] = link | tokens | times
        links.announce(state, links.HOUSEHOLD, self.portal.endpoints, whole=True)
        code = lwa.issue_code(state, links.HOUSEHOLD)
        self.portal.lwa_tokens = await self.portal.ask_lwa({"grant_type": "authorization_code", "code": code})

    async def report(self, percent: float = 42, **more: str) -> int:
        """A level through the gateway, with the tokens of the portal."""
        token = self.portal.lwa_tokens["access_token"]
        return (await self.event(change_report(percent, token, **more), token)).status

    async def event(self, message: object, token: str | None = None, path: str = "/v3/events"):
        """Anything through the gateway."""
        headers = {"Authorization": f"Bearer {token or self.portal.lwa_tokens['access_token']}"}
        return await self.client.post(path, json=message, headers=headers)

    async def until(self, ready, seconds: float = 40.0):
        """Waits for something that the sandbox does by itself."""
        for _ in range(int(seconds / 0.02)):
            if found := ready():
                return found
            await asyncio.sleep(0.02)
        raise AssertionError("it did not happen")


def question(url: str) -> dict:
    """The query of an address."""
    return dict(parse_qsl(urlsplit(url).query))


@functools.cache
def identity() -> dict[str, bytes]:
    """One key and certificate for all the worlds of this process: making a key is slow."""
    with tempfile.TemporaryDirectory() as folder:
        identity_in(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def settings(folder: Path, portal_url: str = "http://127.0.0.1:9", **more: object) -> Settings:
    """The settings of a sandbox in this folder."""
    lambda_file = folder / "lambda_function.py"
    lambda_file.write_text(LAMBDA)
    (folder / "sandbox").mkdir(exist_ok=True)
    for name, content in identity().items():
        (folder / "sandbox" / name).write_bytes(content)
    known = from_environment(
        {
            "SANDBOX_DATA": str(folder / "sandbox"),
            "PORTAL_URL": portal_url,
            "SANDBOX_URL": "http://127.0.0.1:8100",
            "LINK_CLIENT_ID": "alexa",
            "LINK_CLIENT_SECRET": "link-secret-of-a-test",
            "SANDBOX_COURIER_SECRET": "courier-secret-of-a-test",
            "LWA_CLIENT_ID": "lwa-client",
            "LWA_CLIENT_SECRET": "lwa-secret-of-a-test",
            "DEVICE_SERIAL": "CREMA-1",
            "DEVICE_URL": portal_url,
            "MODEL_ID": "crema-2026",
            "SLOT_ID": "beans",
            "LAMBDA_FILE": str(lambda_file),
            "SNS_RETRY_SECONDS": "0.05,0.05",
        }
    )
    return replace(known, **more)


class Server(TestServer):
    """Writes no log of requests, as the sandbox itself does not."""

    async def start_server(self, **kwargs: object) -> None:
        await super().start_server(access_log=None, **kwargs)


@contextlib.asynccontextmanager
async def world(folder: Path, **more: object):
    """Portal and sandbox, up and talking."""
    portal = Portal()
    async with Server(portal.application()) as far:
        url = str(far.make_url("")).rstrip("/")
        async with TestClient(Server(build(settings(folder, url, **more)))) as client:
            client.server.app[AMAZON].state.knobs["skill_events"] = False  # each starts a Lambda
            portal.sandbox = client
            yield World(portal, client)


def run(scene, folder: Path, **more: object):
    """Plays one async scene in a world of its own."""

    async def play():
        async with world(folder, **more) as made:
            return await scene(made)

    return asyncio.run(play())


def clone(message: dict) -> dict:
    """A copy to spoil."""
    return copy.deepcopy(message)
