"""Who has linked the skill and what was discovered for them: the part of memory that app, gateway and Dash share."""

from __future__ import annotations

from collections.abc import Iterable

from .checker.shapes import is_object, item, items
from .state import Json, State, stamp

HOUSEHOLD = "household"
LATER = ("Response", "ErrorResponse")
_MOST_OWED = 100


class NotLinkedError(Exception):
    """There is no linked account of that name; the text is for a person."""


def linked(state: State, account: str = HOUSEHOLD) -> Json:
    """The link of an Amazon account, or NotLinkedError."""
    link: Json | None = state.links.get(account)
    if link is None or link["status"] != "linked":
        raise NotLinkedError(f"The Amazon account “{account}” has not linked the skill. Press Link account first.")
    return link


def announced(state: State, account: str) -> dict[str, Json]:
    """endpointId -> endpoint object, as last announced for this account."""
    link = state.links.get(account)
    return {key: value["endpoint"] for key, value in link["endpoints"].items()} if link else {}


def announce(state: State, account: str, endpoints: Iterable[Json], whole: bool) -> str:
    """Endpoints of a Discover.Response (whole) or of an AddOrUpdateReport (the others stay as they are). Words on what is new.

    As with Alexa, a device that a later discovery leaves out does not vanish: it is marked missing.
    """
    endpoints = list(endpoints)
    words = [_difference(announced(state, account).get(new["endpointId"]), new) for new in endpoints]
    known = state.links[account]["endpoints"]
    if whole:
        for entry in known.values():
            entry["missing"] = True
    for endpoint in endpoints:
        entry = known.get(endpoint["endpointId"], {})
        known[endpoint["endpointId"]] = entry | {"endpoint": endpoint, "missing": False, "seen_at": stamp()}
    state.save()
    return "; ".join(words)


def _difference(old: Json | None, new: Json) -> str:
    name = new["friendlyName"]
    if old is None:
        return f"{name} is new"
    changed = [_change(key, old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return f"{name}: {', '.join(changed) or 'nothing changed'}"


def _change(key: str, old: object, new: object) -> str:
    if key == "capabilities":
        before, after = _interfaces(old), _interfaces(new)
        parts = [f"+{name}" for name in sorted(after - before)] + [f"-{name}" for name in sorted(before - after)]
        return f"capabilities {' '.join(parts) or 'differ inside'}"
    return f"{key} “{old}” → “{new}”" if isinstance(old, str) and isinstance(new, str) else f"{key} changed"


def _interfaces(capabilities: object) -> set[str]:
    given = [member for member in items(capabilities) if is_object(member)]
    return {f"{member.get('interface')} {member.get('instance', '')}".strip() for member in given}


def withdraw(state: State, account: str, endpoint_ids: Iterable[str]) -> str:
    """A DeleteReport: these are gone; what is not known is no trouble. Words on what went."""
    gone = [state.links[account]["endpoints"].pop(endpoint_id, None) for endpoint_id in endpoint_ids]
    state.save()
    return "; ".join(f"{entry['endpoint']['friendlyName']} is gone" if entry else "one was not known" for entry in gone)


def hear(state: State, account: str, message: object) -> None:
    """The state that a report or an answer tells of its endpoint, as the app would show it."""
    entry = state.links[account]["endpoints"].get(item(message, "event", "endpoint", "endpointId"))
    if entry is None:
        return
    told = [
        *items(item(message, "context", "properties")),
        *items(item(message, "event", "payload", "change", "properties")),
    ]
    for member in told:
        if item(member, "name") in ("powerState", "connectivity"):
            value = item(member, "value")
            entry[str(item(member, "name"))] = item(value, "value") if is_object(value) else value
    if item(message, "event", "header", "name") == "DoorbellPress":
        entry["rang_at"] = item(message, "event", "payload", "timestamp")
    state.touch()


def open_directive(state: State, account: str, correlation: str, endpoint_id: str, what: str) -> None:
    """A directive goes out: until it is answered, its answer may come over the gateway, too, perhaps before we know it is deferred."""
    deferred = state.links[account].setdefault("deferred", {})
    deferred[correlation] = {"endpoint": endpoint_id, "what": what}
    while len(deferred) > _MOST_OWED:
        del deferred[next(iter(deferred))]
    state.save()


def close_directive(state: State, account: str, correlation: str) -> None:
    """It was answered at once."""
    state.links[account].get("deferred", {}).pop(correlation, None)
    state.touch()


def owed(state: State, account: str, message: object) -> list[str]:
    """What is wrong with an answer over the gateway: it must belong to a directive that is open, and to its endpoint."""
    if item(message, "event", "header", "name") not in LATER:
        return []
    link: Json = state.links[account]
    directive = link.get("deferred", {}).get(item(message, "event", "header", "correlationToken"))
    if directive is None:
        return ["event.header.correlationToken: no directive with this token waits for an answer"]
    if directive["endpoint"] != item(message, "event", "endpoint", "endpointId"):
        return ["event.endpoint.endpointId: the directive that it answers was for another endpoint"]
    return []


def answered(state: State, account: str, message: object) -> str:
    """The answer that was owed has come. Words about it."""
    directive = state.links[account]["deferred"].pop(item(message, "event", "header", "correlationToken"))
    state.save()
    error = item(message, "event", "payload", "type")
    return f"{directive['what']}: {f'not done, {error}' if error else 'done, as promised'}"
