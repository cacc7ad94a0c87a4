"""The kinds of message from a skill, each with its envelope and payload (Alexa reference 1.2, 3.2, 4, 7)."""

import json
import re
from collections.abc import Callable
from typing import Literal

from . import words
from .discovery import endpoint_id, endpoint_list
from .properties import measurement, names_of, property_list
from .shapes import Found, array, exactly, instant, is_number, is_object, item, items, keys, one_of, pattern, text

_MESSAGE_ID = re.compile(r"[A-Za-z0-9-]{1,127}")
_REPORT_BYTES = 256 * 1024
_LONGEST_TOKEN = 2048  # bytes that Login with Amazon promises not to pass


def message_violations(message: object, over: Literal["gateway", "answer"] | None) -> Found:
    """Everything wrong with one message by itself."""
    yield from keys(message, "message", ["event"], ["context"])
    yield from keys(item(message, "event"), "event", ["header", "payload"], ["endpoint"])
    header = item(message, "event", "header")
    if not is_object(header):
        yield "event.header: must be an object"
        return
    check = KINDS.get(_kind(header))
    if check is None:
        yield f"event.header: {_kind(header)[0]} {_kind(header)[1]} is no message that a skill may send"
        return
    yield from _header(header)
    yield from _way(header, over)
    if not is_object(item(message, "event", "payload")):
        yield "event.payload: must be an object"
    yield from check(message, over == "gateway" or (over is None and _has_scope(message)))


def _kind(header: dict[str, object]) -> tuple[str, str]:
    namespace, name = header.get("namespace"), header.get("name")
    return namespace if isinstance(namespace, str) else "?", name if isinstance(name, str) else "?"


def _has_scope(message: object) -> bool:
    return item(message, "event", "endpoint", "scope") is not None


def _header(header: dict[str, object]) -> Found:
    consumed = header.get("name") == "InventoryConsumed"
    required = ["namespace", "name", "payloadVersion", "messageId"] + ["instance"] * consumed
    yield from keys(header, "event.header", required, ["correlationToken"])
    yield from exactly(header.get("payloadVersion"), "event.header.payloadVersion", "3")
    saying = "1 to 127 letters, digits or -"
    yield from pattern(header.get("messageId"), "event.header.messageId", _MESSAGE_ID, saying)
    if "correlationToken" in header:
        yield from text(header["correlationToken"], "event.header.correlationToken")
        if header.get("name") in words.PROACTIVE:
            yield "event.header.correlationToken: does not belong in a proactive event"


def _way(header: dict[str, object], over: str | None) -> Found:
    granting = header.get("namespace") == "Alexa.Authorization"
    if over == "gateway" and (granting or header.get("name") in words.SYNCHRONOUS):
        yield f"event.header.name: {header.get('name')} is answered to the directive, never sent to the gateway"
    if over == "answer" and header.get("name") in words.PROACTIVE:
        yield f"event.header.name: {header.get('name')} goes to the Event Gateway, it answers no directive"


def _scope(value: object, where: str) -> Found:
    yield from keys(value, where, ("type", "token"))
    yield from exactly(item(value, "type"), f"{where}.type", "BearerToken")
    yield from text(item(value, "token"), f"{where}.token", _LONGEST_TOKEN)


def _endpoint(message: object, scoped: bool) -> Found:
    endpoint = item(message, "event", "endpoint")
    yield from keys(endpoint, "event.endpoint", ["endpointId"] + ["scope"] * scoped, ["scope", "cookie"])
    yield from endpoint_id(item(endpoint, "endpointId"), "event.endpoint.endpointId")
    if item(endpoint, "scope") is not None:
        yield from _scope(item(endpoint, "scope"), "event.endpoint.scope")


def _without(message: object, *paths: tuple[str, ...]) -> Found:
    """These parts have no place in this kind of message."""
    for path in paths:
        holder = item(message, *path[:-1])
        if is_object(holder) and path[-1] in holder:
            yield f"{'.'.join(path)}: does not belong in a {item(message, 'event', 'header', 'name')}"


def _context(message: object) -> Found:
    context = item(message, "context")
    if is_object(message) and "context" in message:
        yield from keys(context, "context", (), ["properties"])
    if is_object(context) and "properties" in context:
        yield from property_list(context["properties"], "context.properties")


def _correlated(message: object) -> Found:
    if item(message, "event", "header", "correlationToken") is None:
        yield "event.header.correlationToken: is missing; copy it from the directive"


def _change_report(message: object, _: bool) -> Found:
    yield from _endpoint(message, scoped=True)
    yield from _context(message)
    change = item(message, "event", "payload", "change")
    yield from keys(item(message, "event", "payload"), "event.payload", ["change"])
    yield from keys(change, "event.payload.change", ("cause", "properties"))
    yield from keys(item(change, "cause"), "event.payload.change.cause", ["type"])
    yield from one_of(item(change, "cause", "type"), "event.payload.change.cause.type", words.CHANGE_CAUSES)
    yield from property_list(item(change, "properties"), "event.payload.change.properties", 1)
    both = {*names_of(item(change, "properties"))} & {*names_of(item(message, "context", "properties"))}
    for name in sorted(both):
        yield f"{' '.join(part for part in name if part)}: stands in the change and in the context; once is right"


def _report_of_endpoints(message: object) -> Found:
    yield from _without(message, ("context",), ("event", "endpoint"))
    yield from keys(item(message, "event", "payload"), "event.payload", ("endpoints", "scope"))
    yield from _scope(item(message, "event", "payload", "scope"), "event.payload.scope")


def _add_or_update(message: object, _: bool) -> Found:
    yield from _report_of_endpoints(message)
    yield from endpoint_list(item(message, "event", "payload", "endpoints"), "event.payload.endpoints", 1)
    if _bytes(item(message, "event", "payload")) > _REPORT_BYTES:
        yield "event.payload: is larger than 256 KB"


def _bytes(value: object) -> int:
    try:
        return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    except (RecursionError, TypeError, ValueError):
        return 0  # not JSON at all: the other rules have said so


def _delete_report(message: object, _: bool) -> Found:
    yield from _report_of_endpoints(message)
    endpoints = item(message, "event", "payload", "endpoints")
    yield from array(endpoints, "event.payload.endpoints", 1, 300)
    for position, member in enumerate(items(endpoints)):
        yield from keys(member, f"event.payload.endpoints[{position}]", ["endpointId"])
        yield from endpoint_id(item(member, "endpointId"), f"event.payload.endpoints[{position}].endpointId")


def _inventory_consumed(message: object, _: bool) -> Found:
    yield from _endpoint(message, scoped=True)
    yield from text(item(message, "event", "header", "instance"), "event.header.instance")
    if item(message, "context", "properties"):
        yield "context: does not belong in an InventoryConsumed"
    payload = item(message, "event", "payload")
    yield from keys(payload, "event.payload", ("usage", "timeOfSample"))
    yield from measurement(item(payload, "usage"), "event.payload.usage")
    yield from instant(item(payload, "timeOfSample"), "event.payload.timeOfSample")
    usage = item(message, "event", "header", "namespace") == words.USAGE
    if usage and item(payload, "usage", "@type") == "Percentage":
        yield "event.payload.usage.@type: a usage sensor counts Count, Volume or Weight"


def _doorbell_press(message: object, _: bool) -> Found:
    yield from _endpoint(message, scoped=True)
    yield from _context(message)
    payload = item(message, "event", "payload")
    yield from keys(payload, "event.payload", ("cause", "timestamp"))
    yield from one_of(item(payload, "cause", "type"), "event.payload.cause.type", words.DOORBELL_CAUSES)
    yield from instant(item(payload, "timestamp"), "event.payload.timestamp", whole_seconds=True)


def _state_of_endpoint(message: object, scoped: bool) -> Found:
    """Response and StateReport: the whole state stands in the context, the payload is empty."""
    yield from _correlated(message)
    yield from _endpoint(message, scoped)
    yield from _context(message)
    yield from keys(item(message, "event", "payload"), "event.payload", ())
    if item(message, "event", "header", "name") == "StateReport":
        yield from array(item(message, "context", "properties"), "context.properties")


def _deferred(message: object, _: bool) -> Found:
    yield from _correlated(message)
    yield from _without(message, ("context",), ("event", "endpoint"))
    payload = item(message, "event", "payload")
    yield from keys(payload, "event.payload", (), ["estimatedDeferralInSeconds"])
    seconds = item(payload, "estimatedDeferralInSeconds")
    if seconds is not None and (not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 0):
        yield "event.payload.estimatedDeferralInSeconds: must be a whole number of seconds"


def _error(message: object, scoped: bool) -> Found:
    yield from _without(message, ("context",))
    if scoped or item(message, "event", "endpoint") is not None:
        yield from _endpoint(message, scoped)
    if scoped:
        yield from _correlated(message)
    payload = item(message, "event", "payload")
    kind = item(payload, "type")
    extra = words.ERROR_EXTRAS.get(kind) if isinstance(kind, str) else None
    yield from keys(payload, "event.payload", ("type", "message"), [extra] if extra else [])
    yield from one_of(kind, "event.payload.type", words.ERROR_TYPES)
    yield from text(item(payload, "message"), "event.payload.message")
    yield from _error_extra(kind, payload)


def _error_extra(kind: object, payload: object) -> Found:
    if kind == "NOT_SUPPORTED_IN_CURRENT_MODE":
        mode = item(payload, "currentDeviceMode")
        yield from one_of(mode, "event.payload.currentDeviceMode", words.DEVICE_MODES)
    percentage = item(payload, "percentageState")
    if percentage is not None and not is_number(percentage):
        yield "event.payload.percentageState: must be a number"


def _discover_response(message: object, _: bool) -> Found:
    yield from _without(message, ("context",), ("event", "endpoint"))
    yield from keys(item(message, "event", "payload"), "event.payload", ["endpoints"])
    yield from endpoint_list(item(message, "event", "payload", "endpoints"), "event.payload.endpoints")


def _accept_grant_response(message: object, _: bool) -> Found:
    yield from _without(message, ("context",), ("event", "endpoint"))
    yield from keys(item(message, "event", "payload"), "event.payload", ())


def _accept_grant_error(message: object, _: bool) -> Found:
    yield from _without(message, ("context",), ("event", "endpoint"))
    payload = item(message, "event", "payload")
    yield from keys(payload, "event.payload", ("type", "message"))
    yield from one_of(item(payload, "type"), "event.payload.type", {"ACCEPT_GRANT_FAILED"})
    yield from text(item(payload, "message"), "event.payload.message")


KINDS: dict[tuple[str, str], Callable[[object, bool], Found]] = {
    ("Alexa", "ChangeReport"): _change_report,
    ("Alexa", "Response"): _state_of_endpoint,
    ("Alexa", "StateReport"): _state_of_endpoint,
    ("Alexa", "DeferredResponse"): _deferred,
    ("Alexa", "ErrorResponse"): _error,
    ("Alexa.Discovery", "Discover.Response"): _discover_response,
    ("Alexa.Discovery", "AddOrUpdateReport"): _add_or_update,
    ("Alexa.Discovery", "DeleteReport"): _delete_report,
    ("Alexa.Authorization", "AcceptGrant.Response"): _accept_grant_response,
    ("Alexa.Authorization", "ErrorResponse"): _accept_grant_error,
    (words.USAGE, "InventoryConsumed"): _inventory_consumed,
    (words.LEVEL_USAGE, "InventoryConsumed"): _inventory_consumed,
    (words.DOORBELL, "DoorbellPress"): _doorbell_press,
}
