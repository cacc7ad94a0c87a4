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
from devices.models import Device, DeviceModel, Inventory, ModelMarketplace, Slot
from devices.registry import plain_name
from skill import verdict
from skill.alexa import discovery, interfaces, inventory
from skill.alexa.errors import NoSuchEndpoint
from skill.alexa.interfaces import Interface
from skill.alexa.messages import Json

log = logging.getLogger(__name__)
CONNECTIVITY = "connectivity"
DESCRIPTION = "description"


@dataclass
class Make:
    """What all devices of one model have in common in one region. `local_name`: what it is called there, if it has one name, for
    devices that nobody gave another than `plain_name`. `forms`: the description of any of them, by those of its texts that are its own.
    """

    manufacturer: str
    model: str
    description: str
    category: str
    sensors: tuple[inventory.Sensor, ...]
    interfaces: tuple[Interface, ...] = ()
    plain_name: str = ""
    local_name: str = ""
    forms: dict[frozenset[str], discovery.Form] = field(default_factory=dict)
    faults: list[str] | None = None  # of what they have in common; None: not looked at yet

    @property
    def states(self) -> bool:
        """Has it properties that the device itself must say?"""
        return any(name != CONNECTIVITY for interface in self.interfaces for name in interface.properties)


class LeftOut(Exception):
    """Alexa would refuse this description: she is not told of the device, and the text says to staff why."""


class Described(NamedTuple):
    """The endpoint objects that Alexa may hear, their digests by endpointId, and of those that she may not: endpointId → why."""

    told: list[Json]
    digests: dict[str, str]
    left_out: dict[str, str]


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
    return describable().prefetch_related(_LEFT_IN_IT)


def describable() -> QuerySet[Device]:
    """Devices with everything that their descriptions need: three queries, however many they are."""
    return Device.objects.select_related("device_model").prefetch_related("device_model__slots", _MARKETPLACES)


_LEFT_IN_IT = Prefetch("inventories", Inventory.objects.select_related("slot"))
_MARKETPLACES = Prefetch("device_model__marketplaces", ModelMarketplace.objects.select_related("marketplace"))


def models() -> QuerySet[DeviceModel]:
    """Models with everything that their devices' descriptions need: three queries, however many they are."""
    sold = Prefetch("marketplaces", ModelMarketplace.objects.select_related("marketplace"))
    return DeviceModel.objects.prefetch_related("slots", sold)


def owned_by(user: Any) -> QuerySet[Device]:
    """The customer's devices, in a stable order, no more than Alexa takes."""
    return describable().filter(owner=user).order_by("claimed_at", "pk")[: discovery.MAX_ENDPOINTS]


def announceable(user_id: Any) -> list[Device]:
    """The same devices, with no more of them than delivery needs to know them by."""
    devices = Device.objects.filter(owner=user_id).order_by("claimed_at", "pk")
    return list(devices.only("ownership")[: discovery.MAX_ENDPOINTS])


def find(user: Any, endpoint_id: str | None) -> Device:
    """The customer's device with this endpointId, its levels and its shadow; two queries.

    Raises NoSuchEndpoint, the same for unknown and for somebody else's.
    """
    try:
        ownership = uuid.UUID(endpoint_id or "")
        if str(ownership) != endpoint_id:
            raise ValueError("another way to write an id that we never gave")
        known = Device.objects.select_related("device_model", "shadow").prefetch_related(_LEFT_IN_IT)
        return known.get(owner=user, ownership=ownership)
    except (ValueError, ValidationError, Device.DoesNotExist) as error:
        raise NoSuchEndpoint("No such endpoint.") from error


def endpoint_id(device: Device) -> str:
    """Opaque, globally unique, and of the ownership: a new owner's differs."""
    return str(device.ownership)


def describe_all(devices: Iterable[Device], region: str) -> Described:
    """The endpoint objects of these devices, each checked by itself: a bad one is left out with the reason, and hides nobody else."""
    found, makes = Described([], {}, {}), Makes(region)
    for device in devices:
        try:
            known = nameplate(device, makes(device.device_model))
            found.told.append(describe(known))
            found.digests[known.endpoint_id] = digest(known)
        except LeftOut as reason:
            found.left_out[endpoint_id(device)] = str(reason)
        except Exception as error:
            log.exception("device %s cannot be described to Alexa", device.serial_number)
            found.left_out[endpoint_id(device)] = f"{type(error).__name__}: {error}"
    return found


class Makes:
    """What the devices of each model have in common, made once."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.known: dict[int, Make] = {}

    def __call__(self, model: DeviceModel) -> Make:
        if model.pk not in self.known:
            self.known[model.pk] = make(model, self.region)
        return self.known[model.pk]


def unit(device: Device, make: Make) -> Unit:
    """A device that was read whole."""
    held = nameplate(device, make)
    held.levels = [_level(item) for item in device.inventories.all() if _is_announced_level(item.slot)]
    return held


def nameplate(device: Device, make: Make) -> Unit:
    """A device for its description, without levels."""
    return Unit(
        pk=device.pk,
        endpoint_id=endpoint_id(device),
        name=device.name,
        serial_number=device.serial_number,
        firmware_version=device.firmware_version,
        online=device.online,
        last_seen_at=device.last_seen_at,
        make=make,
        levels=[],
    )


def _interface(entry: Capability) -> Interface:
    return Interface(entry.interface, entry.version, entry.properties, entry.values, entry.event_source)


def _interfaces(model: DeviceModel) -> tuple[Interface, ...]:
    return tuple(_interface(entry) for entry in model.interfaces)


def make(model: DeviceModel, region: str) -> Make:
    """What the devices of this model have in common for customers of `region`: names in the languages that are spoken there."""
    return Make(
        manufacturer=model.manufacturer,
        model=model.name,
        description=model.description,
        category=model.display_category,
        sensors=tuple(_sensor(slot, region) for slot in model.slots.all()),
        interfaces=_interfaces(model),
        plain_name=plain_name(model.name),
        local_name=_local_name(model, region),
    )


def _local_name(model: DeviceModel, region: str) -> str:
    """What the model is called in the region's marketplaces, where they agree; which of them is a customer's, nobody tells us."""
    names = {
        sale.friendly_name
        for sale in model.marketplaces.all()
        if discovery.is_spoken_in(region, sale.marketplace.locale)
    }
    return names.pop() if len(names) == 1 else ""


def _sensor(slot: Slot, region: str) -> inventory.Sensor:
    return inventory.Sensor(
        instance=slot.instance,
        kind=slot.sensor,
        measurement=slot.measurement,
        unit=slot.unit,
        replenishment_id=slot.replenishment_id,
        names=_names(slot, region),
    )


def _names(slot: Slot, region: str) -> tuple[tuple[str, str], ...]:
    """The main name, whatever its language, and those that customers of the region may see or say."""
    first, *others = slot.localized_names
    return (first, *(name for name in others if discovery.is_spoken_in(region, name[1])))


def _is_announced_level(slot: Slot) -> bool:
    return slot.sensor == "level" and slot.replenishment_id != ""


def is_silent(device: Unit) -> bool:
    """Does Alexa know a level sensor of which there is no reading?"""
    known = [sensor for sensor in device.make.sensors if sensor.kind == "level" and sensor.replenishment_id]
    return len(known) > len(device.levels)


def _level(item: Inventory) -> Level:
    return Level(item.slot.instance, item.slot.measurement, item.slot.unit, item.value, item.measured_at)


def endpoint_object(device: Unit) -> Json:
    """The endpoint object of discovery, as it is."""
    return discovery.endpoint(_appliance(device.make, _own_texts(device)))


def describe(device: Unit) -> Json:
    """The endpoint object of discovery, judged. Raises LeftOut if Alexa would refuse it."""
    described = endpoint_object(device)
    if device.make.faults is None:
        device.make.faults = verdict.about_make(described)
    if faults := verdict.about_own(described) + device.make.faults:
        raise LeftOut("; ".join(faults)[:300])
    return described


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
        "friendly_name": discovery.friendly_name(_name(device), device.make.model),
        "serial_number": device.serial_number,
        "firmware_version": device.firmware_version,
    }


def _name(device: Unit) -> str:
    """The owner's name for it; one that only has its model's is called as in the owner's country."""
    return device.make.local_name or device.name if device.name == device.make.plain_name else device.name


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
    known = unit(device, Make("", "", "", "", (), _interfaces(device.device_model)))
    shadow = getattr(device, "shadow", None)
    if shadow is not None and shadow.ownership in (None, device.ownership):
        known.stated, known.stated_at = shadow.reported, shadow.reported_at
    return list(properties(known).values())


def _is_stated(device: Unit, interface: Interface, name: str) -> bool:
    """Did the device say it, in words that Alexa knows?"""
    value = device.stated.get(name)
    return device.stated_at is not None and value is not None and (value in interface.values or not interface.values)
