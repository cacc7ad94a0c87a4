"""The Event Gateway: checks who speaks, checks what is said against the reference, answers 202 or Amazon's own errors.

202 means accepted, not believed: an event that contradicts what was announced is accepted as Amazon would, shown in
red, and changes nothing. An event that is malformed in itself is a 400 (Alexa reference 6.2, 6.3).
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid

from aiohttp import web

from . import checker, dash, links
from .amazon import Amazon
from .checker import kind_of, shape_violations
from .checker.announced import against_announcement
from .checker.shapes import item
from .lwa import is_past
from .state import Json, State

MOST_BYTES = 1024 * 1024


class RefusedError(Exception):
    """One of the gateway's documented errors."""

    def __init__(self, status: int, code: str, description: str):
        super().__init__(description)
        self.status, self.code, self.description = status, code, description


async def answer(request: web.Request, amazon: Amazon, region: str) -> web.Response:
    """POST /v3/events. Everything is recorded, whatever the answer."""
    started = time.monotonic()
    message, violations = None, []
    try:
        message, fault = await _parsed(request)
        await _weather(request, amazon)
        if fault:
            raise fault
        account = _speaker(request, message, amazon.state, region)
        violations = shape_violations(message, "gateway")
        _refuse_malformed(violations)
        known = links.announced(amazon.state, account)
        owed = links.owed(amazon.state, account, message)
        violations = checker.violations(message, known, "gateway") + owed
        status, body, words = 202, None, _take(amazon, account, message, against_announcement(message, known) + owed)
    except RefusedError as error:
        status, body, words = error.status, _exception(error), error.description
    took = round((time.monotonic() - started) * 1000)
    details: Json = {"status": status, "words": words, "violations": violations, "request": message, "answer": body}
    amazon.state.record("in", "event", kind_of(message), ms=took, region=region, **details)
    return web.Response(status=202) if body is None else web.json_response(body, status=status)


def _exception(error: RefusedError) -> Json:
    header = {"namespace": "System", "name": "Exception", "messageId": str(uuid.uuid4())}
    return {"header": header, "payload": {"code": error.code, "description": error.description}}


async def _weather(request: web.Request, amazon: Amazon) -> None:
    knobs, number = amazon.state.knobs, amazon.state.next_number("events")
    await asyncio.sleep(knobs["slow_ms"] / 1000)
    await _hang(request, amazon)
    if knobs["throttle_every"] and number % knobs["throttle_every"] == 0:
        raise RefusedError(429, "THROTTLING_EXCEPTION", "Too many requests (a weather knob).")
    if knobs["fail_every"] and number % knobs["fail_every"] == 0:
        raise _fault(amazon.state)
    if knobs["skill_disabled"]:
        raise RefusedError(
            403, "SKILL_DISABLED_EXCEPTION", "The user does not have a valid enablement (a weather knob)."
        )


def _fault(state: State) -> RefusedError:
    """500 and 503 in turn."""
    if state.next_number("faults") % 2:
        return RefusedError(500, "INTERNAL_SERVICE_EXCEPTION", "Alexa could not process the event (a weather knob).")
    return RefusedError(503, "SERVICE_UNAVAILABLE_EXCEPTION", "Alexa did not accept the event (a weather knob).")


async def _hang(request: web.Request, amazon: Amazon) -> None:
    """Never answers while the knob is on; afterwards the line simply drops."""
    if not amazon.state.knobs["hang"]:
        return
    amazon.state.record("in", "event", "event without an answer", words="The gateway says nothing (a weather knob).")
    while amazon.state.knobs["hang"] and not amazon.closing and request.transport is not None:
        await asyncio.sleep(0.05)
    if request.transport is not None:
        request.transport.abort()
    raise RefusedError(503, "SERVICE_UNAVAILABLE_EXCEPTION", "The line dropped without an answer (a weather knob).")


async def _parsed(request: web.Request) -> tuple[object, RefusedError | None]:
    """The message, or why there is none; the weather comes first, and the wire shows what was sent in it."""
    try:
        return json.loads((await request.read()).decode("utf-8"), parse_constant=_no_constant), None
    except web.HTTPRequestEntityTooLarge:
        return None, RefusedError(413, "REQUEST_ENTITY_TOO_LARGE_EXCEPTION", "The event is larger than 1 MiB.")
    except (ValueError, RecursionError):
        return None, RefusedError(400, "INVALID_REQUEST_EXCEPTION", "The body is not JSON.")


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _speaker(request: web.Request, message: object, state: State, region: str) -> str:
    """The Amazon account behind the token: it must be known, living, enabled, of this region, and in the scope too."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RefusedError(400, "INVALID_REQUEST_EXCEPTION", "The bearer token is missing or empty.")
    found = state.lwa["access"].get(token.strip())
    if found is None or "scope" in found or is_past(found["expires"]):  # another scope's token is none here
        raise RefusedError(401, "INVALID_ACCESS_TOKEN_EXCEPTION", "The access token is invalid or has expired.")
    link = state.links.get(found["account"])
    if link is None or found.get("disabled"):
        raise RefusedError(403, "SKILL_DISABLED_EXCEPTION", "The user does not have a valid enablement for your skill.")
    if link["region"] != region:
        told = f"No enablement of the skill is known in {region}; this customer is in {link['region']}."
        raise RefusedError(403, "SKILL_NEVER_ENABLED_EXCEPTION", told)
    _same_in_scope(message, token.strip())
    return str(found["account"])


def _same_in_scope(message: object, token: str) -> None:
    scopes = (item(message, "event", where, "scope", "token") for where in ("endpoint", "payload"))
    given = [scope for scope in scopes if scope is not None]
    if given and given != [token]:
        raise RefusedError(
            400, "INVALID_REQUEST_EXCEPTION", "The token in the scope is not that of the Authorization header."
        )


def _refuse_malformed(violations: list[str]) -> None:
    if violations:
        raise RefusedError(400, "INVALID_REQUEST_EXCEPTION", violations[0])


def _take(amazon: Amazon, account: str, message: object, contradictions: list[str]) -> str:
    """What an accepted event brings about; returns words for the wire."""
    if contradictions or not isinstance(message, dict):
        return "Accepted, but it does not fit what was announced; nothing was done with it."
    kind, payload = kind_of(message), message["event"]["payload"]
    if kind == "AddOrUpdateReport":
        return links.announce(amazon.state, account, payload["endpoints"], whole=False)
    if kind == "DeleteReport":
        return links.withdraw(amazon.state, account, [member["endpointId"] for member in payload["endpoints"]])
    links.hear(amazon.state, account, message)
    if kind in links.LATER:
        return links.answered(amazon.state, account, message)
    if kind == "ChangeReport":
        dash.count(amazon, account, message)
    return ""
