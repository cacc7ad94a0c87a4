"""Interfaces besides the inventory sensors: their capability objects, their properties, the press of a doorbell
(alexa reference 2.4, 7.8 to 7.10). What each of them is, is data: another interface is another entry in the registry's table."""

from dataclasses import dataclass
from datetime import UTC, datetime

from skill.alexa.messages import Json, timestamp

DOORBELL = "Alexa.DoorbellEventSource"


@dataclass(frozen=True)
class Interface:
    """One interface: the names of its properties and, where they are words, all of these words. One that is an event source has
    no properties."""

    name: str
    version: str
    properties: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    event_source: bool = False


def capability(interface: Interface) -> Json:
    """The capability object; every property is promised to be told and to be there when asked for."""
    body: Json = {"type": "AlexaInterface", "interface": interface.name, "version": interface.version}
    if interface.properties:
        supported = [{"name": name} for name in interface.properties]
        body["properties"] = {"supported": supported, "proactivelyReported": True, "retrievable": True}
    if interface.event_source:
        body["proactivelyReported"] = True
    return body


def state(interface: Interface, name: str, value: object, sampled_at: datetime) -> Json:
    """A property as the device said it, when it said so."""
    return {
        "namespace": interface.name,
        "name": name,
        "value": value,
        "timeOfSample": timestamp(sampled_at),
        "uncertaintyInMilliseconds": 0,
    }


def connectivity(online: bool) -> Json:
    """The value of `connectivity`."""
    return {"value": "OK" if online else "UNREACHABLE"}


def pressed(at: datetime) -> Json:
    """The payload of DoorbellPress: whole seconds (alexa reference 7.10)."""
    return {
        "cause": {"type": "PHYSICAL_INTERACTION"},
        "timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
