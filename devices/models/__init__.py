"""What exists (models, slots, products, units) and what is left in it (inventory, readings): one file for each matter.

Here: columns, constraints and the questions one row or a set of rows can answer about itself. Not here: how a reading is recorded
(inventory.py), how a unit changes hands (registry.py), anything of Amazon's wire.
"""

from devices.models.products import DeviceModel, Marketplace, ModelMarketplace, Slot, SlotProduct
from devices.models.readings import DailyUse, HeardSequences, Inventory, Reading
from devices.models.revisions import HandCheck, Picture, Revision
from devices.models.shadow import DeviceEvent, Door, EventType, Shadow
from devices.models.units import SERIAL_PATTERN, AttemptCount, ClaimAttempt, Device
from devices.models.vocabulary import VOLUME_UNITS, WEIGHT_UNITS, DisplayCategory, DrsState, MeasurementType, Sensor

__all__ = [
    "SERIAL_PATTERN",
    "VOLUME_UNITS",
    "WEIGHT_UNITS",
    "AttemptCount",
    "ClaimAttempt",
    "DailyUse",
    "Device",
    "DeviceEvent",
    "DeviceModel",
    "DisplayCategory",
    "Door",
    "DrsState",
    "EventType",
    "HandCheck",
    "HeardSequences",
    "Inventory",
    "Marketplace",
    "MeasurementType",
    "ModelMarketplace",
    "Picture",
    "Reading",
    "Revision",
    "Sensor",
    "Shadow",
    "Slot",
    "SlotProduct",
]
