"""Envelopes: what surrounds every message to and from Alexa (alexa reference 1, 4, 6 and 7)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from skill.alexa.errors import InvalidDirective

Json = dict[str, Any]
ENDPOINT_ID = re.compile(r"[A-Za-z0-9_\-=#;:?@&]{1,256}")

CAUSES = (
    "PHYSICAL_INTERACTION",
    "APP_INTERACTION",
    "PERIODIC_POLL",
    "RULE_TRIGGER",
    "VOICE_INTERACTION",
    "ALEXA_INTERACTION",
)


@dataclass(frozen=True)
class Directive:
    """A directive, parsed: shape checked, meaning not."""

    namespace: str
    name: str
    token: str
    endpoint_id: str | None
    correlation_token: str | None
    payload: Json


def parse(document: Any) -> Directive:
    """The directive in a decoded JSON document. Raises InvalidDirective naming what is wrong (alexa reference 1.1)."""
    directive = _member(document, "directive", dict, "message")
    header = _member(directive, "header", dict, "directive")
    payload = _member(directive, "payload", dict, "directive")
    if _member(header, "payloadVersion", str, "header") != "3":
        raise InvalidDirective('payloadVersion must be "3".')
    endpoint = directive.get("endpoint")
    if endpoint is not None and not isinstance(endpoint, dict):
        raise InvalidDirective("directive.endpoint must be an object.")
    correlation_token = header.get("correlationToken")
    if correlation_token is not None and not isinstance(correlation_token, str):
        raise InvalidDirective("header.correlationToken must be a string.")
    return Directive(
        namespace=_member(header, "namespace", str, "header"),
        name=_member(header, "name", str, "header"),
        token=_token(endpoint, payload),
        endpoint_id=_member(endpoint, "endpointId", str, "endpoint") if endpoint is not None else None,
        correlation_token=correlation_token,
        payload=payload,
    )


def _member(parent: Any, key: str, kind: type[Any], where: str) -> Any:
    value = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(value, kind):
        raise InvalidDirective(f"{where}.{key} is missing or not {'an object' if kind is dict else 'a string'}.")
    if kind is str and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidDirective(f"{where}.{key} is not valid Unicode.")
    return value


def _token(endpoint: Json | None, payload: Json) -> str:
    """The customer's access token, wherever this directive carries it: endpoint.scope, payload.scope or payload.grantee."""
    for scope in ((endpoint or {}).get("scope"), payload.get("scope"), payload.get("grantee")):
        if isinstance(scope, dict):
            if scope.get("type") != "BearerToken":
                raise InvalidDirective("Only a scope of type BearerToken is understood.")
            return str(_member(scope, "token", str, "scope"))
    raise InvalidDirective("The directive carries no BearerToken scope.")


def correlation_of(document: Any) -> tuple[str | None, str | None]:
    """(correlationToken, endpointId) as far as a broken message has them, so that even its error answers to something.

    What could not stand in an answer (an empty token, an id that no endpoint can have) is left out of it.
    """
    directive = document.get("directive") if isinstance(document, dict) else None
    header = directive.get("header") if isinstance(directive, dict) else None
    endpoint = directive.get("endpoint") if isinstance(directive, dict) else None
    token = header.get("correlationToken") if isinstance(header, dict) else None
    endpoint_id = endpoint.get("endpointId") if isinstance(endpoint, dict) else None
    fits = isinstance(endpoint_id, str) and ENDPOINT_ID.fullmatch(endpoint_id)
    return (token if isinstance(token, str) and token else None, endpoint_id if fits else None)


def timestamp(moment: datetime) -> str:
    """UTC with milliseconds and Z: more digits, or +00:00, Alexa's schema refuses."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def event(
    namespace: str,
    name: str,
    message_id: str,
    payload: Json,
    *,
    correlation_token: str | None = None,
    instance: str | None = None,
    endpoint_id: str | None = None,
    token: str | None = None,
    context: list[Json] | None = None,
) -> Json:
    """An event. `token` is Amazon's and goes only to the event gateway; synchronous answers carry none."""
    header: Json = {"namespace": namespace, "name": name, "payloadVersion": "3", "messageId": message_id}
    if correlation_token is not None:
        header["correlationToken"] = correlation_token
    if instance:
        header["instance"] = instance
    body: Json = {"header": header}
    if endpoint_id is not None:
        scope = {"scope": bearer(token)} if token else {}
        body["endpoint"] = scope | {"endpointId": endpoint_id}
    body["payload"] = payload
    return {"event": body} if context is None else {"context": {"properties": context}, "event": body}


def bearer(token: str) -> Json:
    return {"type": "BearerToken", "token": token}


def accept_grant_response(message_id: str) -> Json:
    return event("Alexa.Authorization", "AcceptGrant.Response", message_id, {})


def state_report(message_id: str, correlation_token: str | None, endpoint_id: str, properties: list[Json]) -> Json:
    """The answer to ReportState: every retrievable property (alexa reference 7.5)."""
    return event(
        "Alexa",
        "StateReport",
        message_id,
        {},
        correlation_token=correlation_token,
        endpoint_id=endpoint_id,
        context=properties,
    )


def response(message_id: str, correlation_token: str, endpoint_id: str, properties: list[Json]) -> Json:
    """The answer to a directive that was carried out: every property as it is now (alexa reference 7.6)."""
    return event(
        "Alexa",
        "Response",
        message_id,
        {},
        correlation_token=correlation_token,
        endpoint_id=endpoint_id,
        context=properties,
    )


def deferred_response(message_id: str, correlation_token: str, seconds: int) -> Json:
    """The answer will come to the event gateway, within about so many seconds (alexa reference 7.6)."""
    payload = {"estimatedDeferralInSeconds": seconds}
    return event("Alexa", "DeferredResponse", message_id, payload, correlation_token=correlation_token)


def change_report(
    message_id: str, token: str, endpoint_id: str, cause: str, changed: list[Json], others: list[Json]
) -> Json:
    """What changed and why, with everything else in the context; a property stands in one of the two (alexa reference 7.4)."""
    payload = {"change": {"cause": {"type": cause}, "properties": changed}}
    return event("Alexa", "ChangeReport", message_id, payload, endpoint_id=endpoint_id, token=token, context=others)


def error_response(
    message_id: str,
    type_: str,
    message: str,
    *,
    correlation_token: str | None = None,
    endpoint_id: str | None = None,
    namespace: str = "Alexa",
    extra: Mapping[str, str] = MappingProxyType({}),
) -> Json:
    """An error is an ordinary answer (alexa reference 7.7)."""
    return event(
        namespace,
        "ErrorResponse",
        message_id,
        {"type": type_, "message": message, **extra},
        correlation_token=correlation_token,
        endpoint_id=endpoint_id,
    )
