"""The only signals of the house: what the registry tells the rooms above it, which it does not know.

All are sent INSIDE the transaction that caused them, once per verb call with everything that changed, so a receiver
writes its own rows in the same transaction; a receiver that raises undoes the cause as well. Nobody may talk on the
wire in a receiver.

``inventory_changed``  changes: list[InventoryChange]
    A level sensor has one entry per slot: where the state stands after the call (``previous`` before it; equal when
    the device repeated itself). A level that came too late to move the state is left out. A usage or level-usage
    sensor has one entry per newly stored reading, late or not, in the device's own order; ``value`` is a delta.
``endpoint_changed``   device_ids: list[int] (ascending), what: "ownership" | "description" | "connectivity" | "power"
    With "power" comes wished: bool, whether the unit has become what it was asked to be. With "description" comes
    among: int, how many devices hear of the same change in all, if that is more than this set.
``doorbell_pressed``   device_id: int, event_id: str (the device's own), pressed_at: datetime (the device's clock, or ours)
    Once for each press, however often the device repeats itself. Old presses are told, too: who hears them knows when
    a ring is worthless.
``reach_asked``        device_model_id: int
    A question, not news: each receiver returns how many customers would hear of a change of this model's description.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.dispatch import Signal


@dataclass(frozen=True)
class InventoryChange:
    """One thing that Alexa may want to know. ``device_id`` and ``slot_id`` are primary keys; units are the slot's.

    ``previous`` is None for the first level of a slot, and for every delta.
    """

    device_id: int
    slot_id: int
    instance: str
    sensor: str
    value: Decimal
    previous: Decimal | None
    measured_at: datetime
    cause: str = "PHYSICAL_INTERACTION"


inventory_changed = Signal()
endpoint_changed = Signal()
doorbell_pressed = Signal()
reach_asked = Signal()
