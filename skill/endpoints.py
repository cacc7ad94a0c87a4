"""A Device in Alexa's words: the one translator from the registry to messages. Reads, never writes."""

import logging
import uuid
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from devices.models import Device, Inventory, Slot
from skill.alexa import discovery, inventory
from skill.alexa.errors import NoSuchEndpoint
from skill.alexa.messages import Json

log = logging.getLogger(__name__)
CONNECTIVITY = "connectivity"
DESCRIPTION = "description"


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
    """The customer's device with this endpointId. Raises NoSuchEndpoint, the same for unknown and for somebody else's."""
    try:
        ownership = uuid.UUID(endpoint_id or "")
        if str(ownership) != endpoint_id:
            raise ValueError("another way to write an id that we never gave")
        return whole().get(owner=user, ownership=ownership)
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
            described.append(describe(device))
        except Exception:
            log.exception("device %s cannot be described to Alexa", device.serial_number)
    return described


def describe(device: Device) -> Json:
    """The endpoint object of discovery."""
    model = device.device_model
    return discovery.endpoint(
        discovery.Appliance(
            endpoint_id=endpoint_id(device),
            friendly_name=discovery.friendly_name(device.name, model.name),
            manufacturer=model.manufacturer,
            model=model.name,
            description=model.description,
            category=model.display_category,
            serial_number=device.serial_number,
            firmware_version=device.firmware_version,
            sensors=tuple(_sensor(slot) for slot in model.slots.all()),
        )
    )


def _sensor(slot: Slot) -> inventory.Sensor:
    return inventory.Sensor(
        instance=slot.instance,
        kind=slot.sensor,
        measurement=slot.measurement,
        unit=slot.unit,
        replenishment_id=slot.replenishment_id,
        names=((slot.name, slot.locale),),
    )


def properties(device: Device) -> dict[str, Json]:
    """Every retrievable property by its key: levels as measured, then connectivity. A sensor without a reading is left out, never 0."""
    levels = {level_key(item.slot.instance): _level(item) for item in _announced_levels(device.inventories.all())}
    return levels | {CONNECTIVITY: inventory.connectivity(device.online, device.last_seen_at or timezone.now())}


def _announced_levels(inventories: Iterable[Inventory]) -> list[Inventory]:
    return [item for item in inventories if item.slot.sensor == "level" and item.slot.replenishment_id]


def _level(item: Inventory) -> Json:
    return inventory.level(item.slot.instance, item.slot.measurement, item.slot.unit, item.value, item.measured_at)
