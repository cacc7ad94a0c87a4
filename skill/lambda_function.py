"""The courier in AWS Lambda: takes a directive from Alexa to the portal and the portal's answer back. Standard library only.

It adds its region (that is how the portal knows the customer's) and the shared secret, keeps one connection, and stops early
enough that Alexa always gets an Alexa answer. It never repeats a request: an AcceptGrant's code can be used once.

Environment: DIRECTIVE_URL (https://portal.example/skill/directive), COURIER_SECRET.
"""

import http.client
import json
import os
import uuid
from urllib.parse import urlsplit

REGIONS = {"us-east-1": "NA", "eu-west-1": "EU", "us-west-2": "FE"}
RESERVE = 1.0  # seconds kept back of what Lambda has left, to answer by ourselves
LONGEST = 7.0  # Alexa waits 8 seconds

_kept = None


def lambda_handler(event, context):
    """The portal's answer to the directive `event`, or an ErrorResponse when the portal did not answer in time."""
    seconds = LONGEST
    if context is not None and hasattr(context, "get_remaining_time_in_millis"):
        seconds = max(0.5, min(LONGEST, context.get_remaining_time_in_millis() / 1000 - RESERVE))
    try:
        return _ask(json.dumps(event).encode(), seconds)
    except (OSError, http.client.HTTPException, ValueError) as error:
        print(json.dumps({"error": type(error).__name__, "directive": _name_of(event)}))  # noqa: T201  (Lambda's log)
        return _error(event)


def _ask(body, seconds):
    """POST once; a kept connection that the portal closed in the meantime is noticed before, not after, sending."""
    target = urlsplit(os.environ["DIRECTIVE_URL"])
    connection = _connection(target, seconds)
    try:
        connection.request("POST", target.path, body, _headers())
        answer = connection.getresponse()
        text = answer.read()
    except Exception:
        _drop()
        raise
    if answer.status != 200:
        _drop()
        raise ValueError(f"the portal answered {answer.status}")
    document = json.loads(text)
    if not isinstance(document, dict) or "event" not in document:
        raise ValueError("the portal's answer is no Alexa event")
    return document


def _connection(target, seconds):
    global _kept
    if _kept is not None and _is_stale(_kept):
        _drop()
    if _kept is None:
        kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        _kept = kind(target.hostname, target.port, timeout=seconds)
    _kept.timeout = seconds
    if _kept.sock is not None:
        _kept.sock.settimeout(seconds)
    return _kept


def _is_stale(connection):
    """A socket that is readable before we asked anything was closed by the other side."""
    if connection.sock is None:
        return False
    import select

    return bool(select.select([connection.sock], [], [], 0)[0])


def _drop():
    global _kept
    if _kept is not None:
        _kept.close()
    _kept = None


def _headers():
    region = os.environ.get("SKILL_REGION") or REGIONS.get(os.environ.get("AWS_REGION", ""), "NA")
    return {
        "Content-Type": "application/json",
        "X-Courier-Secret": os.environ["COURIER_SECRET"],
        "X-Skill-Region": region,
    }


def _header_of(event):
    directive = event.get("directive") if isinstance(event, dict) else None
    header = directive.get("header") if isinstance(directive, dict) else None
    return (header if isinstance(header, dict) else {}), (directive if isinstance(directive, dict) else {})


def _name_of(event):
    header, _ = _header_of(event)
    return f"{header.get('namespace')}.{header.get('name')}"


def _error(event):
    """INTERNAL_ERROR, or what AcceptGrant knows instead; never a word about credentials."""
    header, directive = _header_of(event)
    grant = header.get("namespace") == "Alexa.Authorization"
    answer = {
        "header": {
            "namespace": "Alexa.Authorization" if grant else "Alexa",
            "name": "ErrorResponse",
            "payloadVersion": "3",
            "messageId": str(uuid.uuid4()),
        },
        "payload": {
            "type": "ACCEPT_GRANT_FAILED" if grant else "INTERNAL_ERROR",
            "message": "The device cloud did not answer in time.",
        },
    }
    if isinstance(header.get("correlationToken"), str):
        answer["header"]["correlationToken"] = header["correlationToken"]
    endpoint = directive.get("endpoint")
    if isinstance(endpoint, dict) and isinstance(endpoint.get("endpointId"), str):
        answer["endpoint"] = {"endpointId": endpoint["endpointId"]}
    return {"event": answer}
