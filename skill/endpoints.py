"""A Device in Alexa's words: the one translator from the registry to messages. Reads, never writes."""

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from devices.capabilities import Capability
from devices.models import Device, DeviceModel, Inventory, Slot
from skill.alexa import discovery, interfaces, inventory
from skill.alexa.errors import NoSuchEndpoint
from skill.alexa.interfaces import Interface
from skill.alexa.messages import Json

log = logging.getLogger(__name__)
CONNECTIVITY = "connectivity"
DESCRIPTION = "description"


@dataclass
class Make:
    """What all devices of one model have in common. `forms`: the description of any of them, by those of its texts that are its own."""

    manufacturer: str
    model: str
    description: str
    category: str
    sensors: tuple[inventory.Sensor, ...]
    interfaces: tuple[Interface, ...] = ()
    forms: dict[frozenset[str], discovery.Form] = field(default_factory=dict)

    @property
    def states(self) -> bool:
        """Has it properties that the device itself must say?"""
        return any(name != CONNECTIVITY for interface in self.interfaces for name in interface.properties)


class Level(NamedTuple):
    """What is left in one slot, as measured; units are the slot's."""

    instance: str
    measurement: str
    unit: str
    value: Decimal
    measured_at: datetime


@dataclass(slots=True)
class Unit:
    """A device as far as Alexa may know it, whoever read it: whole (below), or flat for many at once (jobs.py)."""

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


def whole() -> QuerySet[Device]:
    """Devices with everything that Alexa may ask of them: four queries, however many they are."""
    return Device.objects.select_related("device_model").prefetch_related(
        "device_model__slots", Prefetch("inventories", Inventory.objects.select_related("slot"))
    )


def owned_by(user: Any) -> QuerySet[Device]:
    """The customer's devices, in a stable order, no more than Alexa takes."""
    return whole().filter(owner=user).order_by("claimed_at", "pk")[: discovery.MAX_ENDPOINTS]


def announceable(user_id: Any) -> list[Device]:
    """The same devices, with no more of them than delivery needs to know them by."""
    devices = Device.objects.filter(owner=user_id).order_by("claimed_at", "pk")
    return list(devices.only("ownership")[: discovery.MAX_ENDPOINTS])


def find(user: Any, endpoint_id: str | None) -> Device:
    """The customer's device with this endpointId, and its shadow. Raises NoSuchEndpoint, the same for unknown and for somebody else's."""
    try:
        ownership = uuid.UUID(endpoint_id or "")
        if str(ownership) != endpoint_id:
            raise ValueError("another way to write an id that we never gave")
        return whole().select_related("shadow").get(owner=user, ownership=ownership)
    except (ValueError, ValidationError, Device.DoesNotExist) as error:
        raise NoSuchEndpoint("No such endpoint.") from error


def endpoint_id(device: Device) -> str:
    """Opaque, globally unique, and of the ownership: a new owner's differs."""
    return str(device.ownership)


def describe_all(devices: Iterable[Device]) -> list[Json]:
    """The endpoint objects of these devices; one that cannot be described is left out and logged, and hides nobody else."""
    described = []
    for device in devices:
        try:
            described.append(describe(unit(device)))
        except Exception:
            log.exception("device %s cannot be described to Alexa", device.serial_number)
    return described


def unit(device: Device) -> Unit:
    """A device that was read whole, without what it says of itself."""
    return Unit(
        pk=device.pk,
        endpoint_id=endpoint_id(device),
        name=device.name,
        serial_number=device.serial_number,
        firmware_version=device.firmware_version,
        online=device.online,
        last_seen_at=device.last_seen_at,
        make=make(device.device_model),
        levels=[_level(item) for item in device.inventories.all() if _is_announced_level(item.slot)],
    )


def make(model: DeviceModel) -> Make:
    sensors = tuple(_sensor(slot) for slot in model.slots.all())
    besides = tuple(_interface(entry) for entry in model.interfaces)
    return Make(model.manufacturer, model.name, model.description, model.display_category, sensors, besides)


def _interface(entry: Capability) -> Interface:
    return Interface(entry.interface, entry.version, entry.properties, entry.values, entry.event_source)


def _sensor(slot: Slot) -> inventory.Sensor:
    return inventory.Sensor(
        instance=slot.instance,
        kind=slot.sensor,
        measurement=slot.measurement,
        unit=slot.unit,
        replenishment_id=slot.replenishment_id,
        names=((slot.name, slot.locale),),
    )


def _is_announced_level(slot: Slot) -> bool:
    return slot.sensor == "level" and slot.replenishment_id != ""


def is_silent(device: Unit) -> bool:
    """Does Alexa know a level sensor of which there is no reading?"""
    known = [sensor for sensor in device.make.sensors if sensor.kind == "level" and sensor.replenishment_id]
    return len(known) > len(device.levels)


def _level(item: Inventory) -> Level:
    return Level(item.slot.instance, item.slot.measurement, item.slot.unit, item.value, item.measured_at)


def describe(device: Unit) -> Json:
    """The endpoint object of discovery."""
    return discovery.endpoint(_appliance(device.make, _own_texts(device)))


def digest(device: Unit) -> str:
    """discovery.digest of the description, at a tenth of the cost: it is compared with every daily report."""
    own = _own_texts(device)
    filled = frozenset(name for name, text in own.items() if text)
    if (form := device.make.forms.get(filled)) is None:
        form = device.make.forms[filled] = discovery.form(lambda blanks: _appliance(device.make, own | blanks), filled)
    return form.digest(own)


def _own_texts(device: Unit) -> dict[str, str]:
    return {
        "endpoint_id": device.endpoint_id,
        "friendly_name": discovery.friendly_name(device.name, device.make.model),
        "serial_number": device.serial_number,
        "firmware_version": device.firmware_version,
    }


def _appliance(make: Make, own: dict[str, str]) -> discovery.Appliance:
    return discovery.Appliance(
        manufacturer=make.manufacturer,
        model=make.model,
        description=make.description,
        category=make.category,
        interfaces=make.interfaces,
        sensors=make.sensors,
        **own,
    )


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


def state(device: Device) -> list[Json]:
    """Every retrievable property of a device that find() gave."""
    known = unit(device)
    shadow = getattr(device, "shadow", None)
    if shadow is not None and shadow.ownership in (None, device.ownership):
        known.stated, known.stated_at = shadow.reported, shadow.reported_at
    return list(properties(known).values())


def _is_stated(device: Unit, interface: Interface, name: str) -> bool:
    """Did the device say it, in words that Alexa knows?"""
    value = device.stated.get(name)
    return device.stated_at is not None and value is not None and (value in interface.values or not interface.values)
