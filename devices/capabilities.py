"""Which interfaces a model may have besides its slots: one table. Another interface is another entry.

Here: facts (Alexa reference 2.4 and 7.8-7.10). Not here: messages; the room above writes the capability object of each entry from
its columns and decides what a directive does.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Capability:
    """One interface. ``properties``: what it reports, under the same names as in a device's shadow; an ``event_source`` has
    none, it tells events. ``values``: all that its properties may be, where they are words. ``expected_of``: display
    categories in which customers would miss it.
    """

    key: str
    label: str
    interface: str
    properties: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    event_source: bool = False
    always: bool = False
    expected_of: tuple[str, ...] = ()
    version: str = "3"


TABLE: dict[str, Capability] = {
    entry.key: entry
    for entry in (
        Capability(
            "EndpointHealth", "Says whether it is reachable", "Alexa.EndpointHealth", ("connectivity",), always=True
        ),
        Capability(
            "PowerController",
            "Can be switched on and off",
            "Alexa.PowerController",
            ("powerState",),
            values=("ON", "OFF"),
            expected_of=("SMARTPLUG", "SWITCH"),
        ),
        Capability(
            "DoorbellEventSource",
            "Rings like a doorbell",
            "Alexa.DoorbellEventSource",
            event_source=True,
            expected_of=("DOORBELL",),
        ),
    )
}
CHOOSABLE = {key: entry for key, entry in TABLE.items() if not entry.always}


def interfaces_of(keys: Iterable[str]) -> tuple[Capability, ...]:
    """The interfaces with these keys and those that every model has, in the table's order."""
    wanted = set(keys)
    return tuple(entry for key, entry in TABLE.items() if entry.always or key in wanted)


def unknown(keys: Iterable[str]) -> list[str]:
    """Which of these keys are not in the table."""
    return sorted({str(key) for key in keys} - TABLE.keys())
