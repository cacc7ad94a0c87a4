"""The buttons of the page, which are also the control API of the tests: POST /actions/<name> with a JSON object.

Each action does its thing before it answers and answers with words. Only JSON is accepted and only from our own page:
another site's form can send neither.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from . import alexa_app, dash, devices, linking, links, lwa, properties, sns, weather
from .amazon import Amazon
from .state import Json

Action = Callable[[Amazon, Json], Awaitable[Json]]
FOR_PEOPLE = (
    alexa_app.AskError,
    dash.OrderError,
    devices.DeviceError,
    linking.LinkingError,
    links.NotLinkedError,
    properties.PropertyError,
)


class BadRequestError(Exception):
    """What was sent is no action; the text says why."""


async def answer(request: web.Request, amazon: Amazon) -> web.Response:
    """200 {"ok": true, "words": ...}; 400 for nonsense, 409 when it cannot be done now, 415 for anything but JSON."""
    if request.content_type != "application/json" or not _from_here(request):
        return _refusal(415, "Actions take application/json, from the sandbox's own page or from a program.")
    action = ACTIONS.get(request.match_info["name"])
    if action is None:
        return _refusal(404, f"There is no such action; there are {', '.join(ACTIONS)}.")
    try:
        done = await action(amazon, _body(await request.text()))
    except (BadRequestError, weather.KnobError) as error:
        return _refusal(400, str(error))
    except FOR_PEOPLE as error:
        return _refusal(409, str(error))
    return web.json_response({"ok": True, "words": "", **done})


def _from_here(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host


def _refusal(status: int, words: str) -> web.Response:
    return web.json_response({"ok": False, "error": words}, status=status)


def _body(text: str) -> Json:
    try:
        body = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise BadRequestError("The body is not JSON.") from error
    if not isinstance(body, dict):
        raise BadRequestError("The body must be a JSON object.")
    return body


def _text(body: Json, name: str, default: str | None = None) -> str | None:
    value = body.get(name, default)
    if value is not None and (not isinstance(value, str) or len(value) > 300):
        raise BadRequestError(f"{name} must be a text.")
    return value


def _account(body: Json) -> str:
    return _text(body, "account", links.HOUSEHOLD) or links.HOUSEHOLD


async def _link(amazon: Amazon, body: Json) -> Json:
    return {"url": linking.begin(amazon, _account(body))}


async def _discover(amazon: Amazon, body: Json) -> Json:
    return {"words": await alexa_app.discover(amazon, _account(body))}


async def _ask(amazon: Amazon, body: Json) -> Json:
    return {"words": await alexa_app.ask(amazon, _account(body), _text(body, "endpoint"))}


async def _disable(amazon: Amazon, body: Json) -> Json:
    return {"words": alexa_app.disable(amazon, _account(body))}


async def _brew(amazon: Amazon, body: Json) -> Json:
    cups = body.get("cups", 1)
    if isinstance(cups, bool) or not isinstance(cups, int) or not 1 <= cups <= 100:
        raise BadRequestError("cups is a whole number from 1 to 100.")
    return {"device": await devices.brew(amazon, cups), "words": f"{cups} cup{'' if cups == 1 else 's'} brewed."}


async def _refill(amazon: Amazon, _: Json) -> Json:
    return {"device": await devices.refill(amazon), "words": "The hopper is full."}


async def _offline(amazon: Amazon, body: Json) -> Json:
    away = body.get("offline", True)
    if not isinstance(away, bool):
        raise BadRequestError("offline is true or false.")
    words = "The machine is off the network." if away else "The machine is back."
    return {"device": await devices.offline(amazon, away), "words": words}


async def _power(amazon: Amazon, body: Json) -> Json:
    on = _switch(body)
    return {"device": await devices.power(amazon, on), "words": f"The machine is switched {'on' if on else 'off'}."}


async def _ring(amazon: Amazon, _: Json) -> Json:
    return {"device": await devices.ring(amazon), "words": "Ding dong."}


async def _turn(amazon: Amazon, body: Json) -> Json:
    return {"words": await alexa_app.turn(amazon, _account(body), _text(body, "endpoint"), _switch(body))}


def _switch(body: Json) -> bool:
    on = body.get("on")
    if not isinstance(on, bool):
        raise BadRequestError("on is true or false.")
    return on


async def _ship(amazon: Amazon, body: Json) -> Json:
    order = dash.order_named(amazon, _text(body, "order"))
    dash.ship(amazon, order)
    return {"order": order["id"], "words": f"Order {order['number']} is shipped."}


async def _cancel(amazon: Amazon, body: Json) -> Json:
    order = dash.order_named(amazon, _text(body, "order"))
    dash.cancel(amazon, order)
    return {"order": order["id"], "words": f"Order {order['number']} is cancelled."}


async def _resend(amazon: Amazon, body: Json) -> Json:
    order = dash.order_named(amazon, _text(body, "order"))
    dash.resend(amazon, order)
    return {"order": order["id"], "words": f"The last notification of order {order['number']} goes out again."}


async def _property_event(amazon: Amazon, body: Json) -> Json:
    """What the event is about (unit, serial, skill, role, principal) may be named; `succeeded`: the automation did."""
    about = {name: _text(body, name) for name in ("unit", "serial", "skill", "role", "principal")}
    document = properties.send(amazon, _text(body, "event") or "", about | {"succeeded": body.get("succeeded")})
    return {"event": document, "words": f"{document['header']['eventType']['name']} is on its way."}


async def _weather(amazon: Amazon, body: Json) -> Json:
    changes = dict(body)
    expire = changes.pop("expire_tokens", False)
    amazon.state.data["knobs"] = weather.turned(amazon.state.knobs, changes)
    words = (
        f"{lwa.expire_access_tokens(amazon.state)} access tokens have expired."
        if expire is True
        else "The weather has changed."
    )
    sns.release_held(amazon)
    return {"knobs": amazon.state.knobs, "words": words}


async def _clear(amazon: Amazon, _: Json) -> Json:
    amazon.state.wire.clear()
    amazon.state.data["notice"] = None
    amazon.state.save()
    return {"words": "The wire is empty."}


ACTIONS: dict[str, Action] = {
    "link": _link,
    "discover": _discover,
    "ask": _ask,
    "turn": _turn,
    "disable": _disable,
    "brew": _brew,
    "refill": _refill,
    "offline": _offline,
    "power": _power,
    "ring": _ring,
    "ship": _ship,
    "cancel": _cancel,
    "resend": _resend,
    "property_event": _property_event,
    "weather": _weather,
    "clear": _clear,
}
