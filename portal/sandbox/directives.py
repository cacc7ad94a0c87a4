"""The directives that Alexa sends (Alexa reference 1.1, 2.1, 4, 7.5, 7.9). Pure: ids and tokens are arguments."""

from __future__ import annotations

from .state import Json


def discover(token: str, message_id: str) -> Json:
    """Alexa.Discovery Discover: no endpoint, no correlationToken."""
    return _directive(_header("Alexa.Discovery", "Discover", message_id), {"scope": _scope(token)})


def accept_grant(token: str, message_id: str, code: str) -> Json:
    """Alexa.Authorization AcceptGrant: `code` is Login with Amazon's, `token` is the skill's own."""
    payload = {"grant": {"type": "OAuth2.AuthorizationCode", "code": code}, "grantee": _scope(token)}
    return _directive(_header("Alexa.Authorization", "AcceptGrant", message_id), payload)


def report_state(token: str, message_id: str, correlation: str, endpoint: Json) -> Json:
    """Alexa ReportState, with the cookie of discovery echoed."""
    return _about(endpoint, token, _header("Alexa", "ReportState", message_id) | {"correlationToken": correlation})


def turn(token: str, message_id: str, correlation: str, endpoint: Json, on: bool) -> Json:
    """Alexa.PowerController TurnOn or TurnOff."""
    header = _header("Alexa.PowerController", "TurnOn" if on else "TurnOff", message_id)
    return _about(endpoint, token, header | {"correlationToken": correlation})


def _about(endpoint: Json, token: str, header: Json) -> Json:
    told = {"scope": _scope(token), "endpointId": endpoint["endpointId"], "cookie": endpoint.get("cookie", {})}
    return _directive(header, {}, told)


def _header(namespace: str, name: str, message_id: str) -> Json:
    return {"namespace": namespace, "name": name, "payloadVersion": "3", "messageId": message_id}


def _scope(token: str) -> Json:
    return {"type": "BearerToken", "token": token}


def _directive(header: Json, payload: Json, endpoint: Json | None = None) -> Json:
    middle = {"endpoint": endpoint} if endpoint else {}
    return {"directive": {"header": header, **middle, "payload": payload}}
