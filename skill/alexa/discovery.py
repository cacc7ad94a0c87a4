"""What Alexa may know of a device: endpoint objects and the messages that carry them (alexa reference 2, 7.2 and 7.3)."""

import functools
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import cycle
from json.encoder import encode_basestring_ascii as quoted

from skill.alexa import inventory
from skill.alexa.interfaces import Interface, capability
from skill.alexa.messages import Json, bearer, event

MAX_ENDPOINTS = 300
MAX_DELETIONS = 30  # larger DeleteReports were seen to fail (alexa reference 6.3)
MAX_REPORT_BYTES = 250_000  # Amazon's 256 KB, less the envelope
LARGE_ANSWER_BYTES = 100_000  # others saw discovery fail near 128 kB
_COUNTRIES = {"NA": {"US", "CA", "MX", "BR"}, "FE": {"JP", "AU", "NZ"}}  # all others are served from Europe


@dataclass(frozen=True)
class Appliance:
    """A device in Alexa's words; everything that an endpoint object holds."""

    endpoint_id: str
    friendly_name: str
    manufacturer: str
    model: str
    description: str
    category: str
    serial_number: str
    firmware_version: str = ""
    interfaces: tuple[Interface, ...] = field(default=())
    sensors: tuple[inventory.Sensor, ...] = field(default=())


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


def endpoint(appliance: Appliance) -> Json:
    """The endpoint object. Sensors without a replenishment ID are left out until it comes (alexa reference 2.5)."""
    attributes = {
        "manufacturer": appliance.manufacturer,
        "model": appliance.model,
        "serialNumber": appliance.serial_number,
        "firmwareVersion": appliance.firmware_version,
    }
    return {
        "endpointId": appliance.endpoint_id,
        "manufacturerName": appliance.manufacturer,
        "friendlyName": appliance.friendly_name,
        "description": appliance.description,
        "displayCategories": [appliance.category],
        "additionalAttributes": {key: value for key, value in attributes.items() if value},
        "capabilities": [
            {"type": "AlexaInterface", "interface": "Alexa", "version": "3"},
            *(capability(interface) for interface in appliance.interfaces),
            *(inventory.capability(sensor) for sensor in appliance.sensors if sensor.replenishment_id),
        ],
    }


def size(message: Json) -> int:
    """Bytes of a message as Lambda's own writer makes them, which is what Alexa gets."""
    return len(json.dumps(message))


def digest(endpoint_object: Json) -> str:
    """Equal for equal descriptions, whatever the order of keys."""
    return hashlib.sha256(_canonical(endpoint_object).encode()).hexdigest()


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True)
class Form:
    """A description in its canonical writing with blanks; filled, it gives the digest of the whole."""

    pieces: tuple[str, ...]  # text, name of a blank, text, name of a blank, …, text

    def digest(self, own: dict[str, str]) -> str:
        """`own`: the text for each blank."""
        written = [quoted(own[piece]) if blank else piece for blank, piece in zip(cycle((0, 1)), self.pieces)]
        return hashlib.sha256("".join(written).encode()).hexdigest()


def form(make: Callable[[dict[str, str]], Appliance], blanks: Iterable[str]) -> Form:
    """The form of the descriptions of what `make` makes; the NUL that marks a blank stands in no text of a database."""
    written = _canonical(endpoint(make({name: f"\0{name}" for name in blanks})))
    return Form(tuple(re.split(r'"\\u0000(\w+)"', written)))


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
