"""What Alexa may know of a device: endpoint objects and the messages that carry them (alexa reference 2, 7.2 and 7.3)."""

import functools
import json
import unicodedata
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from hashlib import blake2b
from operator import itemgetter
from typing import Any

from skill.alexa import inventory
from skill.alexa.interfaces import Interface, capability
from skill.alexa.messages import Json, bearer, event

MAX_ENDPOINTS = 300
MAX_DELETIONS = 30  # larger DeleteReports were seen to fail (alexa reference 6.3)
MAX_REPORT_BYTES = 250_000  # Amazon's 256 KB, less the envelope
LARGE_ANSWER_BYTES = 100_000  # others saw discovery fail near 128 kB
_COUNTRIES = {"NA": {"US", "CA", "MX", "BR"}, "FE": {"JP", "AU", "NZ"}}  # all others are served from Europe


@functools.lru_cache(maxsize=4096)
def friendly_name(name: str, fallback: str) -> str:
    """A name that Alexa takes: letters (with their marks), digits and spaces, at most 128 (alexa reference 2.2).

    Apostrophes go ("Alices machine"), other signs part words. What is left of nothing is the fallback's.
    """
    for text in (name, fallback):
        together = "".join(letter for letter in unicodedata.normalize("NFC", text) if letter not in "'’ʼ`´")
        words = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in together).split()
        if words:
            return " ".join(words)[:128].strip()
    return "Device"


def is_spoken_in(region: str, locale: str) -> bool:
    """Whether customers whose Alexa lives in this region (NA, EU, FE) may use this locale: by its country (alexa reference 6.1)."""
    country = locale.rpartition("-")[2]
    home = next((name for name, countries in _COUNTRIES.items() if country in countries), "EU")
    return region == home


def pattern(
    manufacturer: str,
    model: str,
    description: str,
    category: str,
    interfaces: Iterable[Interface],
    sensors: Iterable[inventory.Sensor],
) -> Json:
    """What the endpoint objects of all devices of one model have in common, with room for what is a device's own (`endpoint`).

    Sensors without a replenishment ID are left out until it comes (alexa reference 2.5).
    """
    attributes = {"manufacturer": manufacturer, "model": model}
    return {
        "endpointId": "",
        "manufacturerName": manufacturer,
        "friendlyName": "",
        "description": description,
        "displayCategories": [category],
        "additionalAttributes": {key: value for key, value in attributes.items() if value},
        "capabilities": [
            {"type": "AlexaInterface", "interface": "Alexa", "version": "3"},
            *(capability(interface) for interface in interfaces),
            *(inventory.capability(sensor) for sensor in sensors if sensor.replenishment_id),
        ],
    }


def endpoint(
    common: Json, *, endpoint_id: str, friendly_name: str, serial_number: str, firmware_version: str = ""
) -> Json:
    """The endpoint object of one device. What it has from the pattern is the pattern's own, not a copy: nobody writes to it."""
    texts = {"serialNumber": serial_number, "firmwareVersion": firmware_version}
    attributes = common["additionalAttributes"] | {key: value for key, value in texts.items() if value}
    return common | {"endpointId": endpoint_id, "friendlyName": friendly_name, "additionalAttributes": attributes}


def size(message: Json) -> int:
    """Bytes of a message as Lambda's own writer makes them, which is what Alexa gets."""
    return len(json.dumps(message))


# A digest has eight letters for each part, so that it can be told which part of a description is another than Alexa heard.
_OWN: dict[str, Callable[[Json], str]] = {
    "friendlyName": itemgetter("friendlyName"),
    "additionalAttributes (model, serial number, firmware)": lambda endpoint: "\0".join(
        map("\0".join, sorted(endpoint["additionalAttributes"].items()))
    ),
}
_COMMON: dict[str, Callable[[Json], Any]] = {
    "manufacturerName": itemgetter("manufacturerName"),
    "description": itemgetter("description"),
    "displayCategories": itemgetter("displayCategories"),
    "capabilities (which it has)": lambda endpoint: [
        {key: value for key, value in each.items() if key not in ("capabilityResources", "configuration")}
        for each in endpoint["capabilities"]
    ],
    "capabilities (names of sensors)": lambda endpoint: [
        each.get("capabilityResources") for each in endpoint["capabilities"]
    ],
    "capabilities (measurement or replenishment ID)": lambda endpoint: [
        each.get("configuration") for each in endpoint["capabilities"]
    ],
}
_LETTERS = 8  # 48 bits


def digest(endpoint_object: Json) -> str:
    """Equal for equal descriptions of one endpoint, whatever the order of keys: 64 letters."""
    return own_digest(endpoint_object) + common_digest(endpoint_object)


def own_digest(endpoint_object: Json) -> str:
    """The first letters of the digest: of what is a device's own."""
    return "".join(_short(part(endpoint_object)) for part in _OWN.values())


def common_digest(common: Json) -> str:
    """The other letters of the digest: of what comes from the pattern."""
    return "".join(_short(_canonical(part(common))) for part in _COMMON.values())


def differences(one: str, other: str) -> list[str] | None:
    """The parts in which the descriptions with these digests differ; None if one of them is no digest."""
    names = [*_OWN, *_COMMON]
    if not len(one) == len(other) == _LETTERS * len(names):
        return None
    places = [slice(at, at + _LETTERS) for at in range(0, len(one), _LETTERS)]
    return [name for name, place in zip(names, places, strict=True) if one[place] != other[place]]


def _short(text: str) -> str:
    return b2a_base64(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest(), newline=False).decode()


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def discover_response(message_id: str, endpoints: list[Json]) -> Json:
    return event("Alexa.Discovery", "Discover.Response", message_id, {"endpoints": endpoints[:MAX_ENDPOINTS]})


def add_or_update_report(message_id: str, token: str, endpoints: list[Json]) -> Json:
    return event("Alexa.Discovery", "AddOrUpdateReport", message_id, {"endpoints": endpoints, "scope": bearer(token)})


def delete_report(message_id: str, token: str, endpoint_ids: list[str]) -> Json:
    endpoints = [{"endpointId": endpoint_id} for endpoint_id in endpoint_ids]
    return event("Alexa.Discovery", "DeleteReport", message_id, {"endpoints": endpoints, "scope": bearer(token)})


def batches(endpoints: Iterable[Json]) -> list[list[Json]]:
    """Endpoint objects in groups that one AddOrUpdateReport may carry: 300 of them, 256 KB."""
    groups: list[list[Json]] = []
    size = 0
    for item in endpoints:
        length = len(json.dumps(item).encode()) + 1
        if not groups or len(groups[-1]) == MAX_ENDPOINTS or size + length > MAX_REPORT_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(item)
        size += length
    return groups
