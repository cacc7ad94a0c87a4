"""What a shadow message of a thing means and what is answered to it. No connection, no broker: topics and bytes.

Codes of ``rejected`` are HTTP's, as AWS IoT's: 400 unusable, 404 no such thing, 409 version conflict, 413 too large, 500 ours.
"""

import logging
import re
from typing import Any

from django.utils import timezone
from rest_framework.exceptions import ParseError

from devices import documents, iot, presence, shadow
from devices.models import Device, Door, Shadow
from devices.parsers import LARGEST_BODY, loads

log = logging.getLogger(__name__)

Reply = tuple[str, dict[str, Any]]

_TOPIC = re.compile(r"(?P<prefix>.+)/things/(?P<thing>[^/]+)/shadow/(?P<verb>update/accepted|update|get)")


class _Rejected(Exception):
    """Not taken: the code and the words for the thing."""

    def __init__(self, code: int, message: str, token: Any = None) -> None:
        super().__init__(message)
        self.code, self.token = code, token


def is_of_a_thing(topic: str) -> bool:
    """Whether it is a shadow topic with a thing's name; "+" in a subscription is matched by an empty name too."""
    return _TOPIC.fullmatch(topic) is not None


def answered(topic: str, payload: bytes) -> list[Reply]:
    """Act on an update or a get as the shadow service, and what to publish then. Idempotent as documents.hear is.

    Raises what the database raises; all other trouble is an answer.
    """
    thing, verb = _parts(topic)
    try:
        body = (_update if verb == "update" else _get)(thing, _json(payload, verb))
    except _Rejected as refusal:
        log.info("%s of a thing rejected: %d", verb, refusal.code)
        return [_reply(topic, "rejected", documents.rejected(refusal.code, str(refusal), refusal.token))]
    return [_reply(topic, "accepted", body)]


def listened(topic: str, payload: bytes) -> list[Reply]:
    """Take what AWS IoT has accepted; there is nothing to publish. What cannot be used is logged and dropped."""
    thing, _ = _parts(topic)
    try:
        said = documents.parse_accepted(_json(payload, "update"))
        documents.hear_accepted(_device(thing), said, timezone.now())
    except (_Rejected, documents.DocumentRefused) as refusal:
        log.warning("what AWS IoT accepted cannot be used here: %s", refusal)
    return []


def stumbled(topic: str) -> list[Reply]:
    """The answer when the fault is ours."""
    if _parts(topic)[1] == "update/accepted":
        return []
    return [_reply(topic, "rejected", documents.rejected(500, "Something is wrong here; send it again later."))]


def delta(prefix: str, thing: str, row: Shadow) -> Reply:
    """What the thing should change."""
    body = {"version": row.version, "timestamp": int(row.changed_at.timestamp()), "state": shadow.delta(row)}
    return f"{prefix}/things/{thing}/shadow/update/delta", body


def _parts(topic: str) -> tuple[str, str]:
    found = _TOPIC.fullmatch(topic)
    if found is None:
        raise ValueError("not a shadow topic that we subscribed to")
    return found["thing"], found["verb"]


def _reply(topic: str, how: str, body: dict[str, Any]) -> Reply:
    return f"{topic}/{how}", body


def _json(payload: bytes, verb: str) -> Any:
    if verb == "get" and not payload.strip():
        return {}
    if len(payload) > LARGEST_BODY:
        raise _Rejected(413, f"Larger than {LARGEST_BODY} bytes; send smaller batches.")
    try:
        return loads(payload)
    except ParseError as error:
        raise _Rejected(400, str(error.detail)) from error


def _device(thing: str) -> Device:
    device = iot.device_of(thing)
    if device is None:
        raise _Rejected(404, "No device has this name.")
    return device


def _update(thing: str, body: Any) -> dict[str, Any]:
    now, token = timezone.now(), body.get("clientToken") if isinstance(body, dict) else None
    device = _device(thing)
    try:
        said = documents.parse(body)
        return documents.accepted(said, documents.hear(device, said, now, Door.MQTT), now)
    except shadow.VersionConflict as conflict:
        raise _Rejected(409, str(conflict), token) from conflict
    except (documents.DocumentRefused, shadow.ShadowRefused) as refusal:
        raise _Rejected(400, str(refusal), token) from refusal


def _get(thing: str, body: Any) -> dict[str, Any]:
    device = _device(thing)
    presence.heard_from(device, timezone.now())
    row = shadow.read(device)
    row = row if row.door == Door.MQTT else shadow.update(device, door=Door.MQTT)
    token = body.get("clientToken") if isinstance(body, dict) else None
    return documents.document(row) | ({"clientToken": token} if isinstance(token, str) else {})
