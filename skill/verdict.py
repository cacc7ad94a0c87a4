"""Would Alexa take this endpoint object? Our own judge of each, before it is said (alexa reference 2.2 to 2.6).

She refuses a whole discovery because of one bad endpoint, so each is judged by itself. What all devices of a model have in common is
judged once (`about_make`), what is a device's own every time (`about_own`). Never raises for anything that `discovery.endpoint` makes.
"""

import re
from collections.abc import Iterator

from devices.models.vocabulary import DisplayCategory, MeasurementType, Sensor, sensor_refusal, unit_refusal
from skill.alexa import inventory
from skill.alexa.messages import ENDPOINT_ID, Json

MOST_CAPABILITIES = 100
_LOCALE = re.compile(r"[a-z]{2}-[A-Z]{2}")
_KINDS = {interface: kind for kind, interface in inventory.INTERFACES.items()}


def about(endpoint: Json) -> list[str]:
    """Everything that is wrong with it, in words for staff; nothing: Alexa will take it."""
    return about_own(endpoint) + about_make(endpoint)


def about_own(endpoint: Json) -> list[str]:
    """What is wrong with its own texts: identity, name, attributes."""
    faults = []
    if not ENDPOINT_ID.fullmatch(endpoint["endpointId"]):
        faults.append("endpointId: 1 to 256 letters, digits or _ - = # ; : ? @ &")
    if not 1 <= len(endpoint["friendlyName"]) <= 128:
        faults.append("friendlyName: 1 to 128 characters")
    for key, text in endpoint["additionalAttributes"].items():
        if not 1 <= len(text) <= 256:
            faults.append(f"additionalAttributes.{key}: 1 to 256 characters")
    return faults


def about_make(endpoint: Json) -> list[str]:
    """What is wrong with what comes from its model."""
    return [*_texts(endpoint), *_capabilities(endpoint["capabilities"])]


def _texts(endpoint: Json) -> Iterator[str]:
    for key in ("manufacturerName", "description"):
        if not 1 <= len(endpoint[key].strip()) <= 128:
            yield f"{key}: 1 to 128 characters; correct the model"
    for key in ("manufacturer", "model"):
        if key not in endpoint["additionalAttributes"]:
            yield f"additionalAttributes.{key} is missing; correct the model"
    for category in endpoint["displayCategories"]:
        if category not in DisplayCategory.values:
            yield f"displayCategories: {category[:40]} is not one of Alexa's; correct the model"


def _capabilities(capabilities: list[Json]) -> Iterator[str]:
    if len(capabilities) > MOST_CAPABILITIES:
        yield f"{len(capabilities)} capabilities; Alexa takes {MOST_CAPABILITIES}"
    pairs = [(capability["interface"], capability.get("instance", "")) for capability in capabilities]
    if ("Alexa", "") not in pairs:
        yield "the base interface Alexa is missing"
    for interface, instance in sorted({pair for pair in pairs if pairs.count(pair) > 1}):
        yield f"{interface} {instance} is there twice"
    for capability in capabilities:
        if kind := _KINDS.get(capability["interface"]):
            yield from _sensor(kind, capability)


def _sensor(kind: str, capability: Json) -> Iterator[str]:
    where = f"slot {capability['instance'] or '(no instance)'}"
    names = [name["value"] for name in capability["capabilityResources"]["friendlyNames"]]
    measurement = capability["configuration"]["measurement"]
    if not capability["instance"]:
        yield f"{where}: has no instance"
    if not names or not all(name["text"].strip() and len(name["text"]) <= 128 for name in names):
        yield f"{where}: a name is missing, or longer than 128 characters"
    for locale in [name["locale"] for name in names if not _LOCALE.fullmatch(name["locale"])][:1]:
        yield f"{where}: {locale[:20]} is no locale such as en-US"
    if refusal := _measurement(kind, measurement):
        yield f"{where}: {refusal}"


def _measurement(kind: str, measurement: Json) -> str:
    if measurement["@type"] not in MeasurementType.values:
        return f"{str(measurement['@type'])[:20]} is no measurement of Alexa's."
    return unit_refusal(measurement["@type"], measurement.get("unit", "")) or sensor_refusal(
        Sensor(kind), measurement["@type"]
    )
