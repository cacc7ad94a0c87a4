"""The server of the sandbox: every address on one screen, and the tasks that run beside."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from . import actions, alexa_app, devices, enablement, gateway, linking, lwa, properties, sns, view, weather
from .amazon import Amazon
from .courier import Courier
from .settings import Settings
from .signing import identity_in
from .state import State

PAGE = Path(__file__).resolve().parents[2] / "templates" / "sandbox"
FILES = {
    "/": ("page.html", "text/html"),
    "/sandbox.css": ("sandbox.css", "text/css"),
    "/sandbox.js": ("sandbox.js", "text/javascript"),
    "/wire.js": ("wire.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
GATEWAYS = {"/v3/events": "NA", "/eu/v3/events": "EU", "/fe/v3/events": "FE"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
AMAZON = web.AppKey("amazon", Amazon)


def build(settings: Settings) -> web.Application:
    """The application, its memory loaded from SANDBOX_DATA (made if need be; OSError if it cannot be)."""
    identity = identity_in(settings.data)
    amazon = Amazon(settings, State(settings.data / "state.json", weather.DEFAULTS), identity, Courier(settings))
    if settings.hotel_refresh_token:
        amazon.state.lwa["refresh"][settings.hotel_refresh_token] = {"account": lwa.HOTEL}
    if amazon.state.note:
        view.set_notice(amazon.state, "bad", amazon.state.note)
    app = web.Application(client_max_size=gateway.MOST_BYTES, middlewares=[_only_known_hosts, _safe_headers])
    app[AMAZON] = amazon
    app.cleanup_ctx.append(_beside)
    app.on_shutdown.append(_closing)
    _routes(app, amazon)
    return app


def _routes(app: web.Application, amazon: Amazon) -> None:
    add = app.router.add_route
    add("POST", "/auth/o2/token", _knowing(amazon, lwa.answer))
    for path, region in GATEWAYS.items():
        add("POST", path, _knowing(amazon, partial(gateway.answer, region=region)))
    for path in ("/spa/link", "/ap/oa"):
        add("GET", path, _knowing(amazon, enablement.ask_for_leave))
    add("GET", "/v1/alexaApiEndpoint", _knowing(amazon, enablement.api_endpoint))
    for method in ("POST", "GET", "DELETE"):
        add(method, "/v1/users/~current/skills/{skill}/enablement", _knowing(amazon, enablement.enablement))
    add("GET", f"/{amazon.identity.file_name}", _certificate)
    add("GET", urlsplit(amazon.settings.redirect_uri).path, _return_address)
    add("POST", "/actions/{name}", _knowing(amazon, actions.answer))
    add("GET", "/state.json", _knowing(amazon, view.state_json))
    add("GET", "/changes", _knowing(amazon, view.changes))
    for method, path, part in properties.routes():
        add(method, path, _knowing(amazon, part))
    for path in FILES:
        add("GET", path, _file)


def _knowing(amazon: Amazon, part: Callable[[web.Request, Amazon], Awaitable[web.StreamResponse]]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await part(request, amazon)

    return handler


async def _file(request: web.Request) -> web.StreamResponse:
    name, kind = FILES[request.path]
    body = (PAGE / name).read_bytes()
    return web.Response(body=body, content_type=kind, charset="utf-8", headers={"Cache-Control": "no-cache"})


async def _certificate(request: web.Request) -> web.StreamResponse:
    return web.Response(body=request.app[AMAZON].identity.pem, content_type="application/x-pem-file")


async def _return_address(request: web.Request) -> web.StreamResponse:
    """The browser is back from the portal's consent: link, then show the page with words about it."""
    amazon = request.app[AMAZON]
    try:
        view.set_notice(amazon.state, "good", await alexa_app.link(amazon, dict(request.query)))
    except (linking.LinkingError, alexa_app.AskError) as error:
        view.set_notice(amazon.state, "bad", str(error))
    raise web.HTTPSeeOther("/")


@web.middleware
async def _only_known_hosts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A name that another site points at 127.0.0.1 is not ours (DNS rebinding)."""
    ours = {"127.0.0.1", "localhost", urlsplit(request.app[AMAZON].settings.sandbox_url).hostname}
    if urlsplit(f"//{request.host}").hostname not in ours:
        return web.Response(status=421, text="This sandbox answers to 127.0.0.1, localhost and its own address only.\n")
    return await handler(request)


@web.middleware
async def _safe_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(_HEADERS)
        raise
    if not response.prepared:
        response.headers.update(_HEADERS)
    return response


_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


async def _beside(app: web.Application) -> AsyncIterator[None]:
    """One HTTP client; the postman of SNS, the look at the device, the regular save."""
    amazon = app[AMAZON]
    amazon.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20, sock_connect=3))
    for work in (sns.postman(amazon), devices.watch(amazon), _keep(amazon)):
        amazon.beside(work)
    yield
    for task in (running := list(amazon.tasks)):
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await amazon.courier.end()
    await amazon.http.close()
    amazon.state.save()


async def _keep(amazon: Amazon) -> None:
    while True:
        await asyncio.sleep(0.5)
        with contextlib.suppress(OSError):  # a full disk: said at the next promise, which must be on disk
            amazon.state.save_if_touched()


async def _closing(app: web.Application) -> None:
    """Lets go of those who wait: pages that listen, callers of a gateway that never answers."""
    app[AMAZON].closing = True
    app[AMAZON].state.touch()
