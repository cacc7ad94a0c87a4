"""What all devices of one model have in common in Alexa's words. Read anew each time, made once: a product that reads as it did is
the same product, so nothing old is ever said, in whatever process it was published."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from devices.capabilities import interfaces_of
from devices.models import Slot
from devices.registry import plain_name
from skill import verdict
from skill.alexa import discovery, inventory
from skill.alexa.interfaces import Interface
from skill.alexa.messages import Json
from skill.database import select

CONNECTIVITY = "connectivity"
KEPT = 512  # products, in each of the ways that they were read


class Product(NamedTuple):
    """A model with its slots and where it is sold, as the database writes it: plain texts, the last three JSON."""

    pk: int
    name: str
    manufacturer: str
    description: str
    category: str
    capabilities: str
    slots: str
    sales: str


def products(model_ids: set[int]) -> dict[int, Product]:
    """These models by id, in one query."""
    rows = select(_PRODUCTS, {"models": sorted(model_ids)}) if model_ids else []
    return {row[0]: Product(*row) for row in rows}


@dataclass
class Make:
    """What all devices of one model have in common in one region. `local_name`: what it is called there, if it has one name, for
    devices that nobody gave another than `plain_name`.
    """

    manufacturer: str
    model: str
    description: str
    category: str
    sensors: tuple[inventory.Sensor, ...]
    interfaces: tuple[Interface, ...] = ()
    plain_name: str = ""
    local_name: str = ""

    @property
    def states(self) -> bool:
        """Has it properties that the device itself must say?"""
        return any(name != CONNECTIVITY for interface in self.interfaces for name in interface.properties)

    @functools.cached_property
    def levels_owed(self) -> int:
        """Of how many levels Amazon is owed a report a day: of those that have her replenishment ID."""
        return sum(sensor.kind == "level" and bool(sensor.replenishment_id) for sensor in self.sensors)

    @functools.cached_property
    def pattern(self) -> Json:
        """Their endpoint objects, but for what is a device's own."""
        return discovery.pattern(
            self.manufacturer, self.model, self.description, self.category, self.interfaces, self.sensors
        )

    @functools.cached_property
    def faults(self) -> list[str]:
        """Why Alexa would refuse all of them."""
        return verdict.about_make(self.pattern)

    @functools.cached_property
    def digest(self) -> str:
        """Their part of discovery.digest."""
        return discovery.common_digest(self.pattern)


@functools.lru_cache(maxsize=KEPT)
def make(product: Product, region: str) -> Make:
    """What the devices of this model have in common for customers of `region`: names in the languages that are spoken there."""
    return Make(
        manufacturer=product.manufacturer,
        model=product.name,
        description=product.description,
        category=product.category,
        sensors=tuple(_sensor(slot, region) for slot in orjson.loads(product.slots)),
        interfaces=interfaces(product.capabilities),
        plain_name=plain_name(product.name),
        local_name=_local_name(orjson.loads(product.sales), region),
    )


@functools.lru_cache(maxsize=KEPT)
def interfaces(capabilities: str) -> tuple[Interface, ...]:
    """The interfaces besides sensors of a model with these capabilities (JSON)."""
    return tuple(
        Interface(entry.interface, entry.version, entry.properties, entry.values, entry.event_source)
        for entry in interfaces_of(orjson.loads(capabilities))
    )


def _local_name(sales: list[list[str]], region: str) -> str:
    """What the model is called in the region's marketplaces, where they agree; which of them is a customer's, nobody tells us."""
    names = {name for name, locale in sales if discovery.is_spoken_in(region, locale)}
    return names.pop() if len(names) == 1 else ""


def _sensor(columns: dict[str, Any], region: str) -> inventory.Sensor:
    slot = Slot(**columns)
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


_PRODUCTS = """
SELECT m.id, m.name, m.manufacturer, m.description, m.display_category, m.capabilities::text,
  (SELECT coalesce(json_agg(json_build_object('instance', s.instance, 'sensor', s.sensor, 'measurement', s.measurement, 'unit', s.unit,
     'replenishment_id', s.replenishment_id, 'name', s.name, 'locale', s.locale, 'names', s.names) ORDER BY s.slot_id), '[]')::text
   FROM devices_slot AS s WHERE s.device_model_id = m.id),
  (SELECT coalesce(json_agg(json_build_array(x.friendly_name, k.locale) ORDER BY k.code), '[]')::text
   FROM devices_modelmarketplace AS x JOIN devices_marketplace AS k ON k.code = x.marketplace_id WHERE x.device_model_id = m.id)
FROM devices_devicemodel AS m WHERE m.id = ANY (%(models)s)
"""
