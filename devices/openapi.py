"""What every address of the device API takes and answers, with examples, in drf-spectacular's words. No behaviour."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from devices.openapi_schemas import EPOCH, OBJECT, TEXT, ref

JSON, PROBLEM = "application/json", "application/problem+json"

_REFUSALS = {
    400: "Refused; detail and errors say what to change.",
    401: "Unknown serial number or wrong key.",
    405: "No such method here.",
    411: "Send a Content-Length.",
    413: "Larger than 1 MiB.",
    415: "Send application/json.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "Our trouble; keep what you have and send it again after Retry-After.",
}


def _answers(*own: tuple[int, str], bodiless: bool = False, more: tuple[int, ...] = ()) -> dict[Any, Any]:
    answers: dict[Any, Any] = {(status, JSON): ref(name) for status, name in own}
    codes = [code for code in _REFUSALS if not (bodiless and code in (400, 411, 415))]
    return answers | {(code, PROBLEM): ref("Problem") for code in [*codes, *more]}


def _example(name: str, value: Any, *, status: int | None = None) -> OpenApiExample:
    which: dict[str, Any] = {"response_only": True, "status_codes": [str(status)]} if status else {"request_only": True}
    return OpenApiExample(name, value=value, **which)


_BEANS = {"slot": "beans", "sequence": 17, "value": 42.5}
_STORED = {"slot": "beans", "sequence": 17, "status": "recorded"}
_STATE = {
    "state": {
        "desired": {"powerState": "OFF", "name": "Kitchen"},
        "reported": {"powerState": "ON", "name": "Kitchen"},
        "delta": {"powerState": "OFF"},
    },
    "version": 12,
    "timestamp": 1795255200,
}

READINGS_POST: dict[str, Any] = {
    "operation_id": "report_readings",
    "summary": "Report one reading, or up to 1,000 at once",
    "description": "Idempotent by (slot, epoch, sequence): after a lost answer send the same again. In a batch each "
    "reading is answered by itself, in order; a refused one does not stop the others.",
    "request": {JSON: {"oneOf": [ref("Reading"), ref("Readings")]}},
    "responses": _answers((201, "ReadingResult")) | {(200, JSON): {"anyOf": [ref("ReadingResult"), ref("Results")]}},
    "examples": [
        _example("One reading", _BEANS | {"measured_at": "2026-11-21T10:00:00Z"}),
        _example("A buffer after an offline spell", {"readings": [_BEANS, _BEANS | {"sequence": 18, "value": 41}]}),
        _example("Recorded", _STORED, status=201),
        _example("A batch", {"results": [_STORED | {"status": "already known"}]}, status=200),
    ],
    "tags": ["device"],
}
READINGS_GET: dict[str, Any] = {
    "operation_id": "read_readings",
    "summary": "What is recorded of one slot, newest first",
    "description": "Since the present owner claimed the unit. `next` is the address of the next older page, null at the end.",
    "parameters": [
        OpenApiParameter("slot", TEXT | {"maxLength": 64}, required=True, description="Its ID, as in GET /me."),
        OpenApiParameter("epoch", EPOCH, description="Without it the present one."),
        OpenApiParameter("page_size", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
        OpenApiParameter("cursor", TEXT, description="Of `next` and `previous`; nothing to make by hand."),
    ],
    "responses": _answers((200, "Recorded"), bodiless=True, more=(400, 404)),
    "examples": [
        _example(
            "The last page",
            {
                "next": None,
                "previous": "https://portal.example/api/v1/readings?cursor=cj0xJnA9MTc%3D&slot=beans",
                "results": [_BEANS | {"epoch": 0} | dict.fromkeys(("measured_at", "heard_at"), "2026-11-21T10:00:00Z")],
            },
            status=200,
        )
    ],
    "tags": ["device"],
}
ME_GET: dict[str, Any] = {
    "operation_id": "who_am_i",
    "summary": "What the portal knows of this unit, with the last sequence of each slot",
    "responses": _answers((200, "Me"), bodiless=True),
    "tags": ["device"],
}
SHADOW_GET: dict[str, Any] = {
    "operation_id": "read_shadow",
    "summary": "Desired, reported, and the delta between them",
    "responses": _answers((200, "Shadow"), bodiless=True),
    "examples": [_example("Alice has switched it off", _STATE, status=200)],
    "tags": ["device"],
}
SHADOW_PATCH: dict[str, Any] = {
    "operation_id": "update_shadow",
    "summary": "Say what the unit is now",
    "description": "Patches are merged key by key; null removes a key. `version` guards against writing over what you "
    "have not seen: 409 says which version is the present one. `reported.readings` takes readings in the words of "
    "POST /readings; a plain number under a level slot's ID is taken as its level now.",
    "request": {JSON: ref("ShadowUpdate")},
    "responses": _answers((200, "Shadow"), more=(409,)),
    "examples": [
        _example("It is off now", {"state": {"reported": {"powerState": "OFF"}}, "version": 12}),
        _example("With a reading", {"state": {"reported": {"readings": [_BEANS]}}}),
    ],
    "tags": ["device"],
}
EVENTS_POST: dict[str, Any] = {
    "operation_id": "tell_event",
    "summary": "Tell what happened: doorbell pressed, consumable replaced, factory reset",
    "description": "Idempotent by `id`. A factory reset takes the unit from its owner, unless it happened before their claim; without "
    "`happened_at` it may have, if the unit was not heard since.",
    "request": {JSON: ref("Event")},
    "responses": _answers((201, "EventResult"), (200, "EventResult")),
    "examples": [
        _example("Somebody is at the door", {"type": "doorbell_press", "id": "3f1c-0001"}),
        _example("New beans", {"type": "consumable_replaced", "id": "3f1c-0002", "slot": "beans", "reading": _BEANS}),
        _example("Back to the factory's settings", {"type": "factory_reset", "id": "reset-4", "epoch": 4}),
        _example("Recorded", {"id": "3f1c-0001", "status": "recorded"}, status=201),
    ],
    "tags": ["device"],
}
KEY_POST: dict[str, Any] = {
    "operation_id": "rotate_key",
    "summary": "A new key for this unit",
    "description": "Keep the new key, then use it. The key you asked with works until then and some days longer, so a "
    "lost answer is no harm: ask again.",
    "request": None,
    "responses": _answers((201, "Key"), bodiless=True, more=(409,)),
    "tags": ["device"],
}
IOT_POST: dict[str, Any] = {
    "operation_id": "aws_iot_rule",
    "summary": "What AWS IoT accepted: the door of the rule's HTTP action",
    "description": "SELECT *, topic(3) as thingName FROM '$aws/things/+/shadow/update/accepted'. The header "
    "X-Iot-Secret must be right. The confirmation of the HTTP destination arrives here as well, without it.",
    "request": {JSON: OBJECT},
    "responses": _answers() | {(200, JSON): OBJECT, (403, PROBLEM): ref("Problem"), (404, PROBLEM): ref("Problem")},
    "tags": ["AWS IoT"],
}


class DeviceScheme(OpenApiAuthenticationExtension):
    """Serial number and device key."""

    target_class = "devices.authentication.DeviceAuthentication"
    name = "device"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "basic", "description": "Serial number and device key."}


class RuleScheme(OpenApiAuthenticationExtension):
    """The secret that AWS IoT's rule sends along."""

    target_class = "devices.iot_door.RuleAuthentication"
    name = "rule"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "X-Iot-Secret"}
