"""A Device in Alexa's words: the one translator from the registry to messages. Reads, never writes. What all devices of a model have
in common is in makes.py."""

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from django.utils import timezone

from devices.models import Device
from skill import makes, verdict
from skill.alexa import discovery, interfaces, inventory
from skill.alexa.errors import NoSuchEndpoint
from skill.alexa.interfaces import Interface
from skill.alexa.messages import Json
from skill.database import select
from skill.makes import CONNECTIVITY, Make, make, products

log = logging.getLogger(__name__)
DESCRIPTION = "description"


class LeftOut(Exception):
    """Alexa would refuse this description: she is not told of the device, and the text says to staff why."""


class Described(NamedTuple):
    """The endpoint objects that Alexa may hear, their digests by endpointId, and of those that she may not: endpointId → why."""

    told: list[Json]
    digests: dict[str, str]
    left_out: dict[str, str]


class Level(NamedTuple):
    """What is left in one slot, as measured, but to a new owner as of the claim at the earliest (Inventory.told_as_of); units are
    the slot's."""

    instance: str
    measurement: str
    unit: str
    value: Decimal
    measured_at: datetime


@dataclass(slots=True)
class Unit:
    """A device as far as Alexa may know it, whoever read it."""

    pk: int
    endpoint_id: str
    name: str
    serial_number: str
    firmware_version: str
    online: bool
    last_seen_at: datetime | None
    make: Make
    levels: list[Level]
    stated: dict[str, Any] = field(default_factory=dict)  # of itself, besides levels, by the property's name
    stated_at: datetime | None = None


def level_key(instance: str) -> str:
    """The key of a level among an endpoint's properties."""
    return f"level:{instance}"


class Owned(NamedTuple):
    """A customer's device, read for its description; it begins as a Unit does."""

    pk: int
    endpoint_id: str
    name: str
    serial_number: str
    firmware_version: str
    online: bool
    last_seen_at: datetime | None
    model_id: int


def owned_by(user_id: int) -> list[Owned]:
    """The customer's devices, in a stable order, no more than Alexa takes. One query."""
    return [Owned(*row) for row in select(_OWNED, {"user": user_id, "most": discovery.MAX_ENDPOINTS})]


def announceable(user_id: Any) -> list[Device]:
    """The same devices, with no more of them than delivery needs to know them by."""
    devices = Device.objects.filter(owner=user_id).order_by("claimed_at", "pk")
    return list(devices.only("ownership")[: discovery.MAX_ENDPOINTS])


def find(user_id: int, endpoint_id: str | None) -> Device:
    """The customer's device with this endpointId. Raises NoSuchEndpoint, the same for unknown and for somebody else's."""
    device = (
        Device.objects.select_related("device_model").filter(owner=user_id, ownership=_ownership(endpoint_id)).first()
    )
    if device is None:
        raise NoSuchEndpoint("No such endpoint.")
    return device


def state(user_id: int, endpoint_id: str | None) -> list[Json]:
    """Every retrievable property of the customer's device with this endpointId, as known now. One query. Raises NoSuchEndpoint."""
    rows = select(_STATE, {"user": user_id, "ownership": _ownership(endpoint_id)})
    if not rows:
        raise NoSuchEndpoint("No such endpoint.")
    pk, online, last_seen_at, capabilities, stated, stated_at = rows[0][:6]
    common = Make("", "", "", "", (), makes.interfaces(capabilities))
    levels = [Level(*row[6:]) for row in rows if row[6] is not None]
    device = Unit(pk, "", "", "", "", online, last_seen_at, common, levels, orjson.loads(stated or "{}"), stated_at)
    return list(properties(device).values())


def _ownership(endpoint_id: str | None) -> uuid.UUID:
    """Raises NoSuchEndpoint for what we never gave, and for another way to write what we gave."""
    try:
        ownership = uuid.UUID(endpoint_id or "")
    except ValueError as error:
        raise NoSuchEndpoint("No such endpoint.") from error
    if str(ownership) != endpoint_id:
        raise NoSuchEndpoint("No such endpoint.")
    return ownership


def endpoint_id(device: Device) -> str:
    """Opaque, globally unique, and of the ownership: a new owner's differs."""
    return str(device.ownership)


def describe_all(devices: Iterable[Owned], region: str) -> Described:
    """The endpoint objects of these devices, each checked by itself: a bad one is left out with the reason, and hides nobody else.
    One query."""
    devices = list(devices)
    found, known = Described([], {}, {}), products({device.model_id for device in devices})
    for device in devices:
        try:
            unit = nameplate(device, make(known[device.model_id], region))
            found.told.append(described := describe(unit))
            found.digests[unit.endpoint_id] = discovery.own_digest(described) + unit.make.digest
        except LeftOut as reason:
            found.left_out[device.endpoint_id] = str(reason)
        except Exception as error:
            log.exception("device %s cannot be described to Alexa", device.serial_number)
            found.left_out[device.endpoint_id] = f"{type(error).__name__}: {error}"
    return found


def nameplate(device: Owned, make: Make) -> Unit:
    """A device for its description, without levels."""
    return Unit(*device[:7], make, [])


def is_silent(device: Unit) -> bool:
    """Does Alexa know a level sensor of which there is no reading?"""
    return device.make.levels_owed > len(device.levels)


def is_idle(device: Unit) -> bool:
    """Is no report a day owed, because Alexa knows no level sensor?"""
    return device.make.levels_owed == 0


def endpoint_object(device: Unit) -> Json:
    """The endpoint object of discovery, as it is."""
    return discovery.endpoint(
        device.make.pattern,
        endpoint_id=device.endpoint_id,
        friendly_name=discovery.friendly_name(_name(device), device.make.model),
        serial_number=device.serial_number,
        firmware_version=device.firmware_version,
    )


def describe(device: Unit) -> Json:
    """The endpoint object of discovery, judged. Raises LeftOut if Alexa would refuse it."""
    described = endpoint_object(device)
    if faults := verdict.about_own(described) + device.make.faults:
        raise LeftOut("; ".join(faults)[:300])
    return described


def digest(device: Unit) -> str:
    """discovery.digest of the description; most of it was made with the make, for it is compared with every daily report."""
    return discovery.own_digest(endpoint_object(device)) + device.make.digest


def _name(device: Unit) -> str:
    """The owner's name for it; one that only has its model's is called as in the owner's country."""
    return device.make.local_name or device.name if device.name == device.make.plain_name else device.name


def properties(device: Unit) -> dict[str, Json]:
    """Every retrievable property by its key: levels as measured, then those of the other interfaces by their names.

    What the device has never said is left out: a level is not 0, a power state not OFF.
    """
    told = {level_key(level.instance): inventory.level(*level) for level in device.levels}
    for interface in device.make.interfaces:
        for name in interface.properties:
            if name == CONNECTIVITY:
                at = device.last_seen_at or timezone.now()
                told[name] = interfaces.state(interface, name, interfaces.connectivity(device.online), at)
            elif _is_stated(device, interface, name):
                told[name] = interfaces.state(interface, name, device.stated[name], device.stated_at)  # type: ignore[arg-type]
    return told


def _is_stated(device: Unit, interface: Interface, name: str) -> bool:
    """Did the device say it, in words that Alexa knows?"""
    value = device.stated.get(name)
    return device.stated_at is not None and value is not None and (value in interface.values or not interface.values)


_OWNED = """
SELECT id, ownership::text, name, serial_number, firmware_version, online, last_seen_at, device_model_id
FROM devices_device WHERE owner_id = %(user)s ORDER BY claimed_at, id LIMIT %(most)s
"""
_STATE = """
SELECT d.id, d.online, d.last_seen_at, m.capabilities::text, w.reported::text, w.reported_at,
  s.instance, s.measurement, s.unit, i.value, greatest(i.measured_at, d.claimed_at)
FROM devices_device AS d JOIN devices_devicemodel AS m ON m.id = d.device_model_id
LEFT JOIN devices_shadow AS w ON w.device_id = d.id AND (w.ownership IS NULL OR w.ownership = d.ownership)
LEFT JOIN (devices_inventory AS i JOIN devices_slot AS s ON s.id = i.slot_id AND s.sensor = 'level' AND s.replenishment_id <> '')
  ON i.device_id = d.id
WHERE d.owner_id = %(user)s AND d.ownership = %(ownership)s ORDER BY i.slot_id
"""
