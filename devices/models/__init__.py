"""What exists (models, slots, products, units) and what is left in it (inventory, readings): one file for each matter.

Here: columns, constraints and the questions one row or a set of rows can answer about itself. Not here: how a reading is recorded
(inventory.py), how a unit changes hands (registry.py), anything of Amazon's wire.
"""

from devices.models.products import (
    VOLUME_UNITS,
    WEIGHT_UNITS,
    DeviceModel,
    DisplayCategory,
    MeasurementType,
    Sensor,
    Slot,
    SlotProduct,
)
from devices.models.readings import Inventory, Reading
from devices.models.units import SERIAL_PATTERN, Device

__all__ = [
    "SERIAL_PATTERN",
    "VOLUME_UNITS",
    "WEIGHT_UNITS",
    "Device",
    "DeviceModel",
    "DisplayCategory",
    "Inventory",
    "MeasurementType",
    "Reading",
    "Sensor",
    "Slot",
    "SlotProduct",
]
