"""Endpoint objects and capabilities: Discover.Response and AddOrUpdateReport (Alexa reference 2.2 to 2.6, 3)."""

import re
import unicodedata

from . import words
from .properties import measurement
from .shapes import Found, array, exactly, is_object, item, items, keys, no_twins, one_of, pattern, text, texts

ENDPOINT_ID = re.compile(r"[A-Za-z0-9_\-=#;:?@&]{1,256}")
_LOCALE = re.compile(r"[a-z]{2}-[A-Z]{2}")
_COOKIE_BYTES = 5000


def endpoint_list(value: object, where: str, least: int = 0) -> Found:
    """The endpoints of a discovery: at most 300, every one whole, no id twice."""
    yield from array(value, where, least, 300)
    for position, member in enumerate(items(value)):
        yield from _endpoint(member, f"{where}[{position}]")
    yield from no_twins(texts(item(member, "endpointId") for member in items(value)), where)


def endpoint_id(value: object, where: str) -> Found:
    """1 to 256 characters of the set that page and schema agree on (no space, no dot)."""
    yield from pattern(value, where, ENDPOINT_ID, "1 to 256 letters, digits or _ - = # ; : ? @ &")


def _endpoint(value: object, where: str) -> Found:
    required = ("endpointId", "manufacturerName", "friendlyName", "description", "displayCategories", "capabilities")
    optional = ("additionalAttributes", "connections", "relationships", "registration", "cookie")
    yield from keys(value, where, required, optional)
    if not is_object(value):
        return
    yield from endpoint_id(value.get("endpointId"), f"{where}.endpointId")
    for key in ("manufacturerName", "friendlyName", "description"):
        yield from text(value.get(key), f"{where}.{key}", 128)
    yield from _categories(value.get("displayCategories"), f"{where}.displayCategories")
    yield from _extras(value, where)
    yield from _capabilities(value.get("capabilities"), f"{where}.capabilities")


def names_to_say(message: object) -> Found:
    """The friendly names of a discovery that a customer could not say: letters, digits and spaces (reference 2.2).

    Apart from the other rules, because Alexa takes such a device all the same.
    """
    for position, member in enumerate(items(item(message, "event", "payload", "endpoints"))):
        yield from _spoken(item(member, "friendlyName"), f"event.payload.endpoints[{position}].friendlyName")


def _spoken(value: object, where: str) -> Found:
    strangers = sorted({sign for sign in value if not _is_said(sign)}) if isinstance(value, str) else []
    if strangers:
        yield f"{where}: only letters, digits and spaces, not {' '.join(strangers)[:40]}"


def _is_said(sign: str) -> bool:
    """Marks belong to their letters: without them no Thai or Hindi name could be written."""
    return sign == " " or unicodedata.category(sign)[0] in "LMN"


def _categories(value: object, where: str) -> Found:
    yield from array(value, where, 1)
    for position, member in enumerate(items(value)):
        if not isinstance(member, str) or member not in words.CATEGORIES:
            yield f"{where}[{position}]: is no display category that Alexa documents"
    yield from no_twins(texts(items(value)), where)


def _extras(value: dict[str, object], where: str) -> Found:
    if "additionalAttributes" in value:
        attributes = value["additionalAttributes"]
        yield from keys(attributes, f"{where}.additionalAttributes", (), words.ATTRIBUTES)
        for key, given in attributes.items() if is_object(attributes) else ():
            yield from text(given, f"{where}.additionalAttributes.{key}", 256)
    if "cookie" in value:
        yield from _cookie(value["cookie"], f"{where}.cookie")
    for position, member in enumerate(items(value.get("connections"))):
        yield from one_of(item(member, "type"), f"{where}.connections[{position}].type", words.CONNECTIONS)


def _cookie(value: object, where: str) -> Found:
    if not is_object(value) or not all(isinstance(member, str) for member in value.values()):
        yield f"{where}: must be an object of texts"
        return
    size = sum(len(str(part).encode("utf-8", "surrogatepass")) for pair in value.items() for part in pair)
    if size > _COOKIE_BYTES:
        yield f"{where}: has {size} bytes, {_COOKIE_BYTES} are allowed"


def _capabilities(value: object, where: str) -> Found:
    yield from array(value, where, 1, 100)
    for position, member in enumerate(items(value)):
        yield from _capability(member, f"{where}[{position}]")
    if not any(item(member, "interface") == "Alexa" for member in items(value)):
        yield f'{where}: the base interface "Alexa" is missing'
    pairs = [texts([item(member, "interface"), item(member, "instance")]) for member in items(value)]
    yield from no_twins([" ".join(pair) for pair in pairs if pair], where)


def _capability(value: object, where: str) -> Found:
    yield from keys(value, where, ("type", "interface", "version"), _allowed_beside(value))
    if not is_object(value):
        return
    yield from exactly(value.get("type"), f"{where}.type", "AlexaInterface")
    yield from text(value.get("interface"), f"{where}.interface")
    yield from _version(value, where)
    if "properties" in value:
        yield from _properties(value["properties"], f"{where}.properties")
    yield from _by_interface(value, where)


def _allowed_beside(value: object) -> tuple[str, ...]:
    """An interface that we do not know may have keys of its own (a camera has)."""
    known = ("properties", "instance", "capabilityResources", "configuration", "proactivelyReported")
    strange = item(value, "interface") not in ("Alexa", *words.INVENTORY, words.HEALTH, words.POWER, words.DOORBELL)
    return (*known, *value) if strange and is_object(value) else known


def _version(value: dict[str, object], where: str) -> Found:
    allowed = {"3", "3.1", "3.2"} if value.get("interface") == words.HEALTH else {"3"}
    yield from one_of(value.get("version"), f"{where}.version", allowed)


def _properties(value: object, where: str) -> Found:
    switches = ("proactivelyReported", "retrievable", "nonControllable")
    yield from keys(value, where, (), ("supported", *switches))
    for key in switches:
        if is_object(value) and key in value and not isinstance(value[key], bool):
            yield f"{where}.{key}: must be true or false, not a text or number"
    for position, member in enumerate(items(item(value, "supported"))):
        yield from keys(member, f"{where}.supported[{position}]", ["name"])
        yield from text(item(member, "name"), f"{where}.supported[{position}].name")


def _by_interface(value: dict[str, object], where: str) -> Found:
    interface = value.get("interface")
    if interface == words.LEVEL:
        yield from _reports(value, "level", where)
    if interface == words.HEALTH:
        yield from _reports(value, "connectivity", where)
    if interface == words.POWER:
        yield from _supports(value, "powerState", where)
    if interface in (words.USAGE, words.LEVEL_USAGE):
        yield from _no_properties(value, where)
    if isinstance(interface, str) and interface in words.INVENTORY:
        yield from _inventory(value, where)
    if interface == words.DOORBELL:
        yield from _no_properties(value, where)
        yield from exactly(value.get("proactivelyReported"), f"{where}.proactivelyReported", True)
    elif "proactivelyReported" in value:
        yield f"{where}.proactivelyReported: stands in properties, not beside them"


def _supports(value: dict[str, object], name: str, where: str) -> Found:
    supported = [item(member, "name") for member in items(item(value, "properties", "supported"))]
    if supported != [name]:
        yield f'{where}.properties.supported: must be [{{"name": "{name}"}}]'


def _reports(value: dict[str, object], name: str, where: str) -> Found:
    yield from _supports(value, name, where)
    for key in ("proactivelyReported", "retrievable"):
        yield from exactly(item(value, "properties", key), f"{where}.properties.{key}", True)


def _no_properties(value: dict[str, object], where: str) -> Found:
    if "properties" in value:
        yield f"{where}.properties: {value['interface']} has no properties; leave them out"


def _inventory(value: dict[str, object], where: str) -> Found:
    yield from text(value.get("instance"), f"{where}.instance")
    yield from _friendly_names(item(value, "capabilityResources", "friendlyNames"), f"{where}.capabilityResources")
    configuration = value.get("configuration")
    at = f"{where}.configuration"
    yield from keys(configuration, at, ("measurement", "replenishment"))
    yield from measurement(item(configuration, "measurement"), f"{at}.measurement", with_value=False)
    if value.get("interface") == words.USAGE and item(configuration, "measurement", "@type") == "Percentage":
        yield f"{at}.measurement: a usage sensor counts Count, Volume or Weight"
    yield from _replenishment(item(configuration, "replenishment"), f"{at}.replenishment")


def _replenishment(value: object, where: str) -> Found:
    """Without its ID a slot is left out of discovery until it has one (reference 2.5)."""
    yield from keys(value, where, ("@type", "value"))
    yield from exactly(item(value, "@type"), f"{where}.@type", "DashReplenishmentId")
    yield from text(item(value, "value"), f"{where}.value")


def _friendly_names(value: object, where: str) -> Found:
    yield from array(value, f"{where}.friendlyNames", 1)
    for position, member in enumerate(items(value)):
        at = f"{where}.friendlyNames[{position}]"
        yield from keys(member, at, ("@type", "value"))
        yield from one_of(item(member, "@type"), f"{at}.@type", {"text", "asset"})
        yield from _friendly_name(item(member, "@type"), item(member, "value"), f"{at}.value")


def _friendly_name(kind: object, value: object, where: str) -> Found:
    if kind == "asset":
        yield from keys(value, where, ["assetId"])
        yield from text(item(value, "assetId"), f"{where}.assetId")
    else:
        yield from keys(value, where, ("text", "locale"))
        yield from text(item(value, "text"), f"{where}.text")
        yield from pattern(item(value, "locale"), f"{where}.locale", _LOCALE, "a locale like en-US")
