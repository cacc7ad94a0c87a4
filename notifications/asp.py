"""What Alexa Smart Properties says: one event read, tolerantly. Whatever is unknown is kept.

Only the event's ID, namespace and name are indispensable; most payloads are not documented, so what is needed is looked for
where it may be. Effects are `properties.py`. Imports nothing of Django. Source: Smart Properties events, sections 4 and 5.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from notifications import strict_json

ACTIVATION: Final = "Alexa.Enterprise.Subscription.Activation"
AUTOMATION: Final = "Alexa.Automation.Execution.Completion"
SKILL_FAILURE: Final = "Alexa.Skill.Interaction.Failure"
ASSIGNMENT: Final = "Alexa.Role.Management.Assignment"
REVOCATION: Final = "Alexa.Role.Management.Revocation"
SETUP: Final = "Alexa.Endpoint.Lifecycle.SetupCompletion"
KNOWN: Final = (ACTIVATION, AUTOMATION, SKILL_FAILURE, ASSIGNMENT, REVOCATION, SETUP)
_ENDPOINT: Final = re.compile(r"amzn1\.alexa\.endpoint\.[^\s\x00-\x1f\x7f-\x9f]{1,480}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Unreadable(Exception):
    """A text that we cannot understand, with the reason in words for a person."""


@dataclass(frozen=True)
class Event:
    """One event as understood. `time` is None where it says none that we can read: then the message's own time counts."""

    event_id: str
    namespace: str
    name: str
    digest: str
    time: datetime | None = None
    unit_id: str = ""
    skill_id: str = ""
    endpoint_id: str = ""
    automation_id: str = ""
    principal_id: str = ""
    role_id: str = ""
    failed: bool = False
    errors: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return f"{self.namespace}.{self.name}"


def parse(text: str) -> Event:
    """The event in an SNS Message. Pure; raises only Unreadable."""
    try:
        document = strict_json.read_object(text)
    except strict_json.NotStrict as problem:
        raise Unreadable(f"The text inside is {problem}.") from problem
    header, payload = _object(document, "header"), _object(document, "payload")
    kind = _object(header, "eventType")
    event = Event(
        _needed(_object(header, "eventId"), "id", "header.eventId.id"),
        _needed(kind, "namespace", "header.eventType.namespace"),
        _needed(kind, "name", "header.eventType.name"),
        hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest(),
        _instant(_object(header, "eventTime").get("timestamp")),
        **_about(_object(header, "entities"), payload),
        **_result(payload),
    )
    if event.kind == SETUP and not event.endpoint_id:
        raise Unreadable("A finished set-up names no endpoint.")
    return event


def _about(entities: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, Any]:
    """Who and what it is about, from where it may stand."""
    unit, skill, resource = (_object(entities, name) for name in ("unit", "skill", "resource"))
    return {
        "unit_id": _first(unit.get("id"), resource.get("resourceId"), _object(payload, "unit").get("id")),
        "skill_id": _first(skill.get("id"), _object(payload, "skill").get("id")),
        "endpoint_id": _endpoint(entities, payload),
        "automation_id": _first(_object(payload, "automation").get("id")),
        "principal_id": _beginning("amzn1.account.", payload, entities),
        "role_id": _beginning("amzn1.alexa.role.", payload, entities),
    }


def _endpoint(entities: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    """The first endpoint ID, in the order of the places where it is expected."""
    places = _object(payload, "endpoint").get("id"), payload.get("endpointId"), _object(entities, "endpoint").get("id")
    return next((place for place in places if isinstance(place, str) and _ENDPOINT.fullmatch(place)), "")


def _result(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Anything but FAILURE with no errors is success: the word for success is not documented."""
    result = _object(payload, "result")
    errors = [error for error in _list(result.get("errors")) if isinstance(error, dict)]
    words = tuple(" ".join(_plain(error.get(name)) for name in ("type", "id", "message")).strip() for error in errors)
    return {"failed": result.get("status") == "FAILURE" or bool(words), "errors": words}


def _beginning(prefix: str, *documents: Mapping[str, Any]) -> str:
    """The first text that begins so, wherever it stands."""
    return next((text for document in documents for text in _texts(document) if text.startswith(prefix)), "")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and len(value) <= 512 and not _CONTROL.search(value):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def _object(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What is missing or odd is empty: extra and missing members are normal."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _first(*values: object) -> str:
    return next((plain for value in values if (plain := _plain(value))), "")


def _plain(value: object) -> str:
    return _CONTROL.sub(" ", value)[:512] if isinstance(value, str) else ""


def _needed(document: Mapping[str, Any], name: str, path: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 255 or _CONTROL.search(value):
        raise Unreadable(f"{path} is missing, not text, or too long.")
    return value


def _instant(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC) if found else None
    except (ValueError, OverflowError):
        return None


def as_json(event: Event) -> dict[str, Any]:
    """For a JSON column; `from_json` reads it back to an equal value."""
    return asdict(event) | {"time": event.time.isoformat() if event.time else None, "errors": list(event.errors)}


def from_json(document: Mapping[str, Any]) -> Event:
    """The event that `as_json` wrote."""
    time = document["time"]
    return Event(
        **{**document, "time": datetime.fromisoformat(time) if time else None, "errors": tuple(document["errors"])}
    )


def endpoint_in(document: Any) -> str:
    """The first endpoint ID in an answer of Amazon's, wherever it stands: after an association it may be a new one."""
    return next((text for text in _texts(document) if _ENDPOINT.fullmatch(text)), "")


def mentions(document: Any, identifier: str) -> bool:
    """Whether exactly this stands somewhere in an answer of Amazon's."""
    return any(text == identifier for text in _texts(document))


def serial_in(document: Any) -> str:
    """An endpoint's serial number, as text or as {"value": {"text": …}}."""
    for holder in _objects(document):
        found = holder.get("serialNumber")
        inner = found.get("value", found) if isinstance(found, dict) else found
        text = inner.get("text") if isinstance(inner, dict) else inner
        if isinstance(text, str) and text:
            return _plain(text)[:255]
    return ""


def units_in(document: Any) -> set[str]:
    """The units that an endpoint is associated with."""
    holders = (_list(holder.get("associatedUnits")) for holder in _objects(document))
    return {_plain(unit.get("id")) for units in holders for unit in units if isinstance(unit, dict)} - {""}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner)
