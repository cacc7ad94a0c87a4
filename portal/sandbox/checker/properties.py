"""Measurements and property objects: what stands in a context or a change (Alexa reference 1.3, 2.6, 3, 7.8, 7.9)."""

from . import words
from .shapes import Found, array, instant, is_number, is_object, item, items, keys, no_twins, one_of, text

Name = tuple[str, str, str]


def measurement(value: object, where: str, with_value: bool = True) -> Found:
    """A measurement object, with its value in a report and without one in a capability (reference 2.6)."""
    kind = item(value, "@type")
    if not isinstance(kind, str) or kind not in words.UNITS:
        yield from one_of(kind, f"{where}.@type", words.UNITS)
        return
    units = words.UNITS[kind]
    yield from keys(value, where, ["@type"] + ["value"] * with_value + ["unit"] * bool(units))
    if units and item(value, "unit") is not None:
        yield from one_of(item(value, "unit"), f"{where}.unit", units)
    if with_value:
        yield from _amount(kind, item(value, "value"), f"{where}.value")


def _amount(kind: str, value: object, where: str) -> Found:
    if not is_number(value):
        yield f"{where}: must be a number"
    elif value < 0:
        yield f"{where}: must not be negative"
    elif kind == "Percentage" and value > 100:
        yield f"{where}: a percentage ends at 100"
    elif kind == "Count" and value != int(value):
        yield f"{where}: a count is a whole number"


def property_list(value: object, where: str, least: int = 0) -> Found:
    """An array of property objects, no two of one name."""
    yield from array(value, where, least)
    for position, member in enumerate(items(value)):
        yield from _property(member, f"{where}[{position}]")
    yield from no_twins([_shown(name) for name in names_of(value)], where)


def names_of(properties: object) -> list[Name]:
    """(namespace, instance, name) of each property: what makes it unique."""
    return [name_of(member) for member in items(properties) if is_object(member)]


def name_of(member: object) -> Name:
    """(namespace, instance, name), with "" for what is not there."""
    parts = [item(member, key) for key in ("namespace", "instance", "name")]
    first, second, third = (part if isinstance(part, str) else "" for part in parts)
    return first, second, third


def _shown(name: Name) -> str:
    return " ".join(part for part in name if part)


def _property(value: object, where: str) -> Found:
    required = ("namespace", "name", "value", "timeOfSample", "uncertaintyInMilliseconds")
    yield from keys(value, where, required, ["instance"])
    if not is_object(value):
        return
    for key in ("namespace", "name"):
        yield from text(value.get(key), f"{where}.{key}")
    yield from instant(value.get("timeOfSample"), f"{where}.timeOfSample")
    yield from _uncertainty(value.get("uncertaintyInMilliseconds"), f"{where}.uncertaintyInMilliseconds")
    yield from _value(value, where)


def _uncertainty(value: object, where: str) -> Found:
    if not is_number(value) or value < 0:
        yield f"{where}: must be a number of milliseconds, 0 or more"


def _value(member: dict[str, object], where: str) -> Found:
    namespace = name_of(member)[0]
    if namespace in words.CONSUMING:
        yield f"{where}: {namespace} has no properties; each use is an InventoryConsumed event"
    elif namespace == words.LEVEL:
        yield from _named(member, "level", where)
        yield from text(member.get("instance"), f"{where}.instance")
        yield from measurement(member.get("value"), f"{where}.value")
    elif namespace == words.HEALTH:
        yield from _named(member, "connectivity", where)
        yield from _connectivity(member.get("value"), f"{where}.value")
    elif namespace == words.POWER:
        yield from _named(member, "powerState", where)
        yield from one_of(member.get("value"), f"{where}.value", {"ON", "OFF"})
    elif namespace == words.DOORBELL:
        yield f"{where}: {namespace} has no properties"


def _named(member: dict[str, object], wanted: str, where: str) -> Found:
    yield from one_of(member.get("name"), f"{where}.name", {wanted})


def _connectivity(value: object, where: str) -> Found:
    yield from keys(value, where, ["value"], ["reason"])
    yield from one_of(item(value, "value"), f"{where}.value", {"OK", "UNREACHABLE"})
    if is_object(value) and "reason" in value:
        yield from text(value["reason"], f"{where}.reason")
        if value.get("value") == "OK":
            yield f"{where}.reason: belongs to UNREACHABLE only"
