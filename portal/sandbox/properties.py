"""Smart Properties: a hotel's units and devices, the Event Messenger API, roles, and the six events (Smart Properties events 3–9).

An event goes to the topics of the subscriptions that name it, and to nobody when nobody subscribed. How it is signed and brought
is the business of sns.py.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web

from . import sns
from .amazon import Amazon
from .lwa import HOTEL, is_past
from .state import Json, now

EVENTS = {
    "activation": ("Alexa.Enterprise.Subscription", "Activation"),
    "automation": ("Alexa.Automation.Execution", "Completion"),
    "skill": ("Alexa.Skill.Interaction", "Failure"),
    "assignment": ("Alexa.Role.Management", "Assignment"),
    "revocation": ("Alexa.Role.Management", "Revocation"),
    "setup": ("Alexa.Endpoint.Lifecycle", "SetupCompletion"),
}
USER = "amzn1.account.SANDBOXHOTEL"
LOBBY, ROOM = "amzn1.alexa.unit.did.LOBBY", "amzn1.alexa.unit.did.ROOM12"
SKILL, ROLE = "amzn1.ask.skill.sandbox", "amzn1.alexa.role.did.HOUSEKEEPING"
AUTOMATION = "amzn1.alexa.automation.wake-up"
_PREFIX = {
    "subscriptionConfigurations": "amzn1.alexa.aem.subscription.configuration.",
    "subscriptions": "amzn1.alexa.aem.subscription.",
}
Handler = Callable[[web.Request, Amazon], Awaitable[web.StreamResponse]]


class PropertyError(Exception):
    """It cannot be done now; the text is for a person."""


class _Refusal(Exception):
    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def routes() -> list[tuple[str, str, Handler]]:
    """Every address of the API, each behind the token."""
    messenger = "/v1/eventMessenger/{what:subscriptionConfigurations|subscriptions}"
    open_ = [
        ("GET", "/user/profile", _profile),
        ("POST", messenger, _create),
        ("GET", messenger, _list),
        ("GET", messenger + "/{id}", _get),
        ("DELETE", messenger + "/{id}", _delete),
        ("GET", "/v2/endpoints", _by_serial),
        ("GET", "/v2/endpoints/{id}", _endpoint),
        ("PUT", "/v2/endpoints/{id}/associatedUnits", _associate),
        ("GET", "/v2/units/{id}", _unit),
        ("GET", "/v1/roles/assignments", _assignments),
        ("POST", "/v1/roles/{role}/assignments", _assign),
        ("DELETE", "/v1/roles/{role}/assignments", _revoke),
    ]
    return [(method, path, _guarded(part)) for method, path, part in open_]


def hotel(amazon: Amazon) -> Json:
    """What Amazon remembers of the hotel."""
    empty: Json = {
        "units": [LOBBY, ROOM],
        "endpoints": {},
        "roles": [],
        "subscriptionConfigurations": {},
        "subscriptions": {},
    }
    found: Json = amazon.state.data.setdefault("hotel", empty)
    return found


def _guarded(part: Callable[[web.Request, Amazon, Json], tuple[int, Json | None]]) -> Handler:
    """The token is asked for, the body is read, the wire is recorded."""

    async def handler(request: web.Request, amazon: Amazon) -> web.StreamResponse:
        body: object = None
        try:
            _check_token(request, amazon)
            body = _body(await request.text())
            status, answer = part(request, amazon, body)  # type: ignore[arg-type]
        except _Refusal as refusal:
            status, answer = refusal.status, {"message": str(refusal)}
        amazon.state.save()
        kind = f"{request.method} {request.path}"
        amazon.state.record("in", "properties", kind, status=status, request=body, answer=answer)
        headers = {"X-Amzn-RequestId": str(uuid.uuid4())}
        if status == 201 and answer:
            headers["Location"] = answer["id"]
        return (
            web.json_response(answer, status=status, headers=headers)
            if answer
            else web.Response(status=status, headers=headers)
        )

    return handler


def _check_token(request: web.Request, amazon: Amazon) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    found = amazon.state.lwa["access"].get(token)
    if scheme != "Bearer" or found is None or is_past(found["expires"]):
        raise _Refusal(401, "The access token is missing, unknown or expired.")
    if found["account"] != HOTEL:
        raise _Refusal(403, "This token may not manage Smart Properties.")


def _body(text: str) -> object:
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError) as error:
        raise _Refusal(400, "The body is not JSON.") from error


def _profile(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    return 200, {"user_id": USER}


def _create(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    what = request.match_info["what"]
    if not isinstance(body, dict):
        raise _Refusal(400, "The body must be an object.")
    known = hotel(amazon)[what]
    _check_subscription(amazon, body) if what == "subscriptions" else _check_configuration(body)
    same = [key for key, held in known.items() if _is_same(held, body)]
    identifier = same[0] if same else f"{_PREFIX[what]}{uuid.uuid4()}"
    known[identifier] = body | {"id": identifier}
    return 201, {"id": identifier}


def _is_same(held: Json, body: Json) -> bool:
    token = body.get("idempotencyToken")
    return bool(token) and held.get("idempotencyToken") == token


def _check_configuration(body: Json) -> None:
    channels = body.get("deliveryChannels")
    right = isinstance(channels, list) and len(channels) > 0
    if not right or any(
        channel.get("type") != "SNS" or not str(channel.get("id")).startswith("arn:aws") for channel in channels or ()
    ):
        raise _Refusal(400, "deliveryChannels must be a list of {type: SNS, id: topic ARN}.")


def _check_subscription(amazon: Amazon, body: Json) -> None:
    kind = body.get("eventType") or {}
    if (kind.get("namespace"), kind.get("name")) not in EVENTS.values():
        raise _Refusal(400, "There is no such event type.")
    if body.get("subscriptionConfigurationId") not in hotel(amazon)["subscriptionConfigurations"]:
        raise _Refusal(400, "There is no such subscription configuration.")
    entities = body.get("entities")
    if not isinstance(entities, dict) or not entities:
        raise _Refusal(400, "entities must name what it is about.")
    if kind["namespace"] == "Alexa.Skill.Interaction" and "skill" not in entities:
        raise _Refusal(400, "entities.skill is missing.")


def _list(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    if request.query.get("owner") != "~caller":
        raise _Refusal(400, "owner must be ~caller.")
    return _page(request, list(hotel(amazon)[request.match_info["what"]].values()), 100)


def _page(request: web.Request, rows: list[Json], most: int) -> tuple[int, Json | None]:
    first, wanted = int(request.query.get("nextToken") or 0), int(request.query.get("maxResults") or 10)
    if not 1 <= wanted <= most:
        raise _Refusal(400, f"maxResults must be from 1 to {most}.")
    end = first + wanted
    more = {"nextToken": str(end)} if end < len(rows) else {}
    return 200, {"results": rows[first:end], "paginationContext": more}


def _named(request: web.Request, amazon: Amazon) -> tuple[Json, str]:
    known, identifier = hotel(amazon)[request.match_info["what"]], request.match_info["id"]
    if identifier not in known:
        raise _Refusal(404, "There is none with this ID.")
    return known, identifier


def _get(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    known, identifier = _named(request, amazon)
    return 200, known[identifier]


def _delete(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    known, identifier = _named(request, amazon)
    used = [one for one in hotel(amazon)["subscriptions"].values() if one["subscriptionConfigurationId"] == identifier]
    if used:
        raise _Refusal(400, "Subscriptions use this configuration: delete them first.")
    del known[identifier]
    return 204, None


def _found_endpoint(request: web.Request, amazon: Amazon) -> Json:
    found: Json | None = hotel(amazon)["endpoints"].get(request.match_info["id"])
    if found is None:
        raise _Refusal(404, "There is no such endpoint.")
    return found


def _endpoint(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    return 200, _shown(_found_endpoint(request, amazon))


def _by_serial(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    wanted = request.query.get("serialNumber.value.text")
    found = [one for one in hotel(amazon)["endpoints"].values() if one["serial"] == wanted]
    return 200, {"results": [_shown(one) for one in found], "paginationContext": {}}


def _shown(found: Json) -> Json:
    units = [{"id": found["unit"]}] if found["unit"] else []
    return {"id": found["id"], "serialNumber": {"value": {"text": found["serial"]}}, "associatedUnits": units}


def _associate(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    """The endpoint gets a new ID, as Amazon says that it may; the old one is unknown from then on."""
    found = _found_endpoint(request, amazon)
    units = [unit.get("id") for unit in body if isinstance(unit, dict)] if isinstance(body, list) else []
    unit = units[0] if units == ["~caller.defaultUnitId"] else _named_unit(amazon, units[0]) if len(units) == 1 else ""
    if not unit:
        raise _Refusal(400, "The body must be a list of exactly one unit that exists and is active.")
    del hotel(amazon)["endpoints"][found["id"]]
    found |= {"unit": unit, "id": f"amzn1.alexa.endpoint.{uuid.uuid4()}", "associations": found["associations"] + 1}
    hotel(amazon)["endpoints"][found["id"]] = found
    return 200, {"id": found["id"], "associatedUnits": [{"id": unit}]}


def _unit(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    unit = _named_unit(amazon, request.match_info["id"])
    if not unit:
        raise _Refusal(404, "There is no such unit.")
    return 200, {"id": unit}


def _named_unit(amazon: Amazon, name: object) -> str:
    """The API's ID of a unit that the console calls by another; "" when there is none."""
    known = hotel(amazon)["units"]
    return next((unit for unit in known if name in (unit, unit.replace(".did.", ".console."))), "")


def _assignments(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    mine = [
        {"roleId": role, "principalId": who}
        for role, who in hotel(amazon)["roles"]
        if who == request.query.get("principalId")
    ]
    return _page(request, mine, 10)


def _assign(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    held, pair = (
        hotel(amazon)["roles"],
        [request.match_info["role"], body.get("principalId") if isinstance(body, dict) else None],
    )
    if not pair[1] or pair in held:
        raise _Refusal(400, "principalId is missing, or has this role already.")
    held.append(pair)
    return _propagated(amazon, "assignment", pair, bool(body.get("propagate")))


def _revoke(request: web.Request, amazon: Amazon, body: Json) -> tuple[int, Json | None]:
    held, pair = hotel(amazon)["roles"], [request.match_info["role"], request.query.get("principalId")]
    if pair not in held:
        raise _Refusal(400, "The principal has no such role.")
    held.remove(pair)
    return _propagated(amazon, "revocation", pair, request.query.get("propagate") == "true")


def _propagated(amazon: Amazon, event: str, pair: list[str], propagate: bool) -> tuple[int, Json | None]:
    if propagate and _topics(amazon, event):
        send(amazon, event, {"role": pair[0], "principal": pair[1]})
    return (202 if propagate else 200), {"roleId": pair[0], "principalId": pair[1]}


def _topics(amazon: Amazon, event: str) -> list[str]:
    """Whom this event goes to."""
    namespace, name = EVENTS[event]
    configurations = hotel(amazon)["subscriptionConfigurations"]
    wanted = [
        one
        for one in hotel(amazon)["subscriptions"].values()
        if one["eventType"] == {"namespace": namespace, "name": name}
    ]
    channels = [
        channel for one in wanted for channel in configurations[one["subscriptionConfigurationId"]]["deliveryChannels"]
    ]
    return list(dict.fromkeys(channel["id"] for channel in channels))


def send(amazon: Amazon, event: str, about: Json) -> Json:
    """Publish one of EVENTS to whom it may concern; its document. PropertyError for nonsense and when nobody subscribed."""
    if event not in EVENTS:
        raise PropertyError(f"There is no such event; there are {', '.join(EVENTS)}.")
    topics = _topics(amazon, event)
    if not topics:
        raise PropertyError(
            f"Nobody is subscribed to {event}: see `manage.py asp --help`, or Event subscriptions in the admin."
        )
    entities, payload = _told(amazon, event, about)
    namespace, name = EVENTS[event]
    document = {
        "header": {
            "version": "2.0",
            "eventId": {"id": str(uuid.uuid4())},
            "eventType": {"namespace": namespace, "name": name},
            "eventTime": {"timestamp": now().strftime("%Y-%m-%dT%H:%M:%SZ")},
            "entities": entities,
        },
        "payload": payload,
    }
    for topic in topics:
        sns.publish(amazon, event, f"{namespace}.{name}", document, None, topic=topic)
    return document


def _told(amazon: Amazon, event: str, about: Json) -> tuple[Json, Json]:
    """(entities, payload); what is not documented is as an integrator would expect it."""
    unit = {"type": "Unit", "id": about.get("unit") or ROOM}
    if event == "activation":
        hotel(amazon)["units"] = list(dict.fromkeys([*hotel(amazon)["units"], unit["id"]]))
        return {"unit": unit}, {}
    if event == "setup":
        return {"unit": unit}, {"endpoint": {"id": _new_endpoint(amazon, about)}}
    if event == "automation":
        errors = [
            {"type": "ENDPOINT_NOT_FOUND", "id": "amzn1.alexa.endpoint.LAMP", "message": "The lamp does not answer."}
        ]
        failed = about.get("succeeded") is not True
        result = {"status": "FAILURE", "errors": errors} if failed else {"status": "SUCCESS"}
        return {"unit": unit}, {"automation": {"id": AUTOMATION}, "result": result}
    if event == "skill":
        skill = {"type": "Skill", "id": about.get("skill") or SKILL}
        return {"unit": unit, "skill": skill}, {
            "error": {"type": "SKILL_TIMEOUT", "message": "The skill gave no answer."}
        }
    resource = {"type": "Resource", "resourceType": "Unit", "resourceId": unit["id"]}
    return {"resource": resource}, {"principalId": about.get("principal") or USER, "roleId": about.get("role") or ROLE}


def _new_endpoint(amazon: Amazon, about: Json) -> str:
    """A device comes out of its box, or was reset: in no unit any more."""
    known = hotel(amazon)["endpoints"]
    serial = about.get("serial") or f"ECHO-{amazon.state.next_number('echoes'):04}"
    found = next((one for one in known.values() if one["serial"] == serial), None)
    if found is None:
        found = {"id": f"amzn1.alexa.endpoint.{uuid.uuid4()}", "serial": serial, "associations": 0}
        known[found["id"]] = found
    found["unit"] = ""
    return str(found["id"])
