"""Does a message say what discovery announced: endpoint, instance, measurement, unit? (Alexa reference 2.4, 2.5)"""

from collections.abc import Mapping

from . import words
from .properties import name_of
from .shapes import Found, brief, is_object, item, items

Announced = Mapping[str, Mapping[str, object]]
Capability = Mapping[str, object]


def against_announcement(message: object, announced: Announced) -> list[str]:
    """The sentences about one message, given all that was announced. Kinds that name no endpoint have none."""
    name = item(message, "event", "header", "name")
    endpoint_id = item(message, "event", "endpoint", "endpointId")
    if endpoint_id is None or name == "ErrorResponse":
        return []
    endpoint = announced.get(endpoint_id) if isinstance(endpoint_id, str) else None
    if endpoint is None:
        return [f"event.endpoint.endpointId: {brief(endpoint_id)} was never announced"]
    return list(_about(message, endpoint))


def _about(message: object, endpoint: Mapping[str, object]) -> Found:
    name = item(message, "event", "header", "name")
    for position, member in enumerate(items(item(message, "context", "properties"))):
        yield from _property(member, endpoint, f"context.properties[{position}]")
    for position, member in enumerate(items(item(message, "event", "payload", "change", "properties"))):
        at = f"event.payload.change.properties[{position}]"
        yield from _property(member, endpoint, at)
        yield from _promised(member, endpoint, at)
    if name == "InventoryConsumed":
        yield from _consumed(message, endpoint)
    if name == "DoorbellPress" and _find(endpoint, words.DOORBELL, "") is None:
        yield f"event: {words.DOORBELL} was not announced for this endpoint"
    if name == "StateReport":
        yield from _whole_state(message, endpoint)


def _capabilities(endpoint: Mapping[str, object]) -> list[dict[str, object]]:
    return [member for member in items(endpoint.get("capabilities")) if is_object(member)]


def _find(endpoint: Mapping[str, object], interface: str, instance: str) -> Capability | None:
    for member in _capabilities(endpoint):
        if member.get("interface") == interface and member.get("instance", "") == instance:
            return member
    return None


def _property(member: object, endpoint: Mapping[str, object], where: str) -> Found:
    namespace, instance, name = name_of(member)
    capability = _find(endpoint, namespace, instance)
    if capability is None:
        yield f"{where}: {namespace} {instance}".rstrip() + " was not announced for this endpoint"
        return
    if name not in _supported(capability):
        yield f"{where}.name: {brief(name)} was not announced for {namespace}"
    if namespace in words.INVENTORY:
        yield from _same_measurement(item(member, "value"), capability, f"{where}.value")


def _supported(capability: Capability) -> list[object]:
    return [item(member, "name") for member in items(item(capability, "properties", "supported"))]


def _promised(member: object, endpoint: Mapping[str, object], where: str) -> Found:
    namespace, instance, _ = name_of(member)
    capability = _find(endpoint, namespace, instance)
    if capability is not None and item(capability, "properties", "proactivelyReported") is not True:
        yield f"{where}: {namespace} was announced without proactivelyReported"


def _same_measurement(value: object, capability: Capability, where: str) -> Found:
    for key in ("@type", "unit"):
        wanted = item(capability, "configuration", "measurement", key)
        if item(value, key) != wanted:
            yield f"{where}.{key}: {brief(item(value, key))}, but {brief(wanted)} was announced"


def _consumed(message: object, endpoint: Mapping[str, object]) -> Found:
    namespace, instance, _ = name_of(item(message, "event", "header"))
    capability = _find(endpoint, namespace, instance)
    if capability is None:
        yield f"event.header: {namespace} {instance} was not announced for this endpoint"
        return
    usage = item(message, "event", "payload", "usage")
    yield from _same_measurement(usage, capability, "event.payload.usage")


def _whole_state(message: object, endpoint: Mapping[str, object]) -> Found:
    told = {name_of(member) for member in items(item(message, "context", "properties"))}
    for capability in _capabilities(endpoint):
        if item(capability, "properties", "retrievable") is not True:
            continue
        for name in _supported(capability):
            wanted = name_of({**capability, "namespace": capability.get("interface"), "name": name})
            if wanted not in told:
                yield f"context.properties: {' '.join(part for part in wanted if part)} is retrievable but missing"
