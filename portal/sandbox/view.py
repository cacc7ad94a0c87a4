"""What the page and the tests see: the whole state as JSON, without a token, and a stream that says "look again"."""

from __future__ import annotations

import asyncio

from aiohttp import web

from .amazon import Amazon
from .masking import masked
from .state import Json, State, stamp

_BUNDLED = 0.15  # seconds: what one press changes, it changes in several steps
_HEARTBEAT = 15


async def state_json(request: web.Request, amazon: Amazon) -> web.Response:
    """GET /state.json?after=N: everything, and of the wire what is newer than entry N."""
    after = request.query.get("after", "0")
    body = snapshot(amazon, int(after) if after.isdecimal() and len(after) < 16 else 0)
    return web.json_response(body, headers={"Cache-Control": "no-store"})


def snapshot(amazon: Amazon, after: int) -> Json:
    """The view as data."""
    state, settings = amazon.state, amazon.settings
    return {
        "revision": state.revision,
        "portal_url": settings.portal_url,
        "redirect_uri": settings.redirect_uri,
        "topic_arn": settings.topic_arn,
        "device_serial": settings.device_serial,
        "notice": state.data["notice"],
        "links": {account: _link(link) for account, link in state.links.items()},
        "dash": list(state.dash.values()),
        "orders": [{key: value for key, value in order.items() if key != "told"} for order in state.orders],
        "outbox": [{key: value for key, value in entry.items() if key != "envelope"} for entry in state.outbox],
        "device": masked(amazon.device),
        "knobs": state.knobs,
        "wire_first": state.wire[0]["number"] if state.wire else state.data["wire_number"] + 1,
        "wire": [entry for entry in state.wire if entry["number"] > after],
    }


def _link(link: Json) -> Json:
    shown = {key: link[key] for key in ("status", "words", "linked_at", "region", "expires_at") if key in link}
    return shown | {"endpoints": list(link["endpoints"].values())}


async def changes(request: web.Request, amazon: Amazon) -> web.StreamResponse:
    """GET /changes: server-sent events, one "look again" for each change (bundled), until the page goes away."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    while not amazon.closing:
        seen = amazon.state.revision
        try:
            await response.write(f"data: {seen}\n\n".encode())
        except ConnectionError:
            break
        if amazon.state.revision == seen:
            await amazon.state.change(_HEARTBEAT)
        await asyncio.sleep(_BUNDLED)
    return response


def set_notice(state: State, kind: str, words: str) -> None:
    """The sentence that greets the person after a redirect. kind: "good" | "bad"."""
    state.data["notice"] = {"kind": kind, "words": words, "at": stamp()}
    state.save()
