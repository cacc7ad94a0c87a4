"""What is left in a unit (Inventory), what it said (Reading, HeardSequences) and what came of it by day (DailyUse).

Inventory is the only one of them that is written at rest: how a reading is recorded is in inventory.py, how the history
is kept in partitions and how long in history.py, and why a sequence number is known for ever in HeardSequences.
"""

from datetime import datetime, timedelta
from typing import Any, Self

from django.db import models

from devices.models.products import Slot
from devices.models.units import Device

# No index begins with the slot and none is needed: a slot with history has an Inventory, which keeps it from being deleted.
_VOUCHED_FOR: dict[str, Any] = {
    "on_delete": models.DO_NOTHING, "related_name": "+", "db_index": False, "db_constraint": False
}  # fmt: skip
CLOCKS_DIFFER = timedelta(minutes=5)  # measurements.AHEAD: nothing is measured later than this after it was heard


class Inventory(models.Model):
    """What is left in one slot of one device: the newest reading by (epoch, sequence). Units are the slot's.

    For usage and level-usage sensors ``value`` is the last amount used, not a stock: nobody knows the stock.
    """

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="inventories", db_index=False)
    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="+")
    value = models.DecimalField(max_digits=12, decimal_places=3)
    measured_at = models.DateTimeField(help_text="The device's clock.")
    heard_at = models.DateTimeField(help_text="Our clock.")
    epoch = models.IntegerField(default=0)
    sequence = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "inventories"
        ordering = ["device_id", "slot_id"]
        constraints = [models.UniqueConstraint(fields=["device", "slot"], name="inventory_once_per_slot")]

    def __str__(self) -> str:
        return f"{self.value.normalize():f}"

    def told_as_of(self, slot: Slot, claimed_at: datetime) -> datetime | None:
        """When this was measured, as an owner since ``claimed_at`` is told; None if they are told nothing of it.

        A use from before the claim is the former owner's. What is left is the machine's own state and stays, but when it
        was measured is told as the claim at the earliest. Plain SQL says the same of levels: skill's endpoints and jobs.
        """
        if slot.reports_amount_left:
            return max(self.measured_at, claimed_at)
        return self.measured_at if min(self.measured_at, self.heard_at) >= claimed_at else None


class ReadingQuerySet(models.QuerySet["Reading"]):
    """Questions to the history."""

    def latest_first(self) -> Self:
        """In the device's own order, newest first; together with one device and slot it is an index scan."""
        return self.order_by("-epoch", "-sequence")

    def measured_since(self, moment: datetime) -> Self:
        """Measured then or later. Looks only into the months in which such a reading can have been heard."""
        return self.filter(measured_at__gte=moment, heard_at__gte=moment - CLOCKS_DIFFER)

    def shown_to_owner(self, device: Device) -> Self:
        """What the present owner may see: heard since the claim and measured since the claim; else nothing."""
        since = device.claimed_at
        return self.filter(device=device, heard_at__gte=since, measured_at__gte=since) if since else self.none()


class Reading(models.Model):
    """What a device said, once for each (slot, epoch, sequence). History: written by record_reading, never changed.

    A table in partitions by the month of ``heard_at`` (history.py), so the database cannot keep the sequence numbers
    apart here: HeardSequences does. No foreign keys in the database, so that a month can be dropped without a lock on
    the registry; the locked Inventory row, which has them, vouches for device and slot.
    """

    device = models.ForeignKey(
        Device, on_delete=models.CASCADE, related_name="readings", db_index=False, db_constraint=False
    )
    slot = models.ForeignKey(Slot, **_VOUCHED_FOR)
    epoch = models.IntegerField(default=0)
    sequence = models.BigIntegerField()
    value = models.DecimalField(max_digits=12, decimal_places=3)
    measured_at = models.DateTimeField()
    heard_at = models.DateTimeField()

    objects = ReadingQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["device", "slot", "epoch", "sequence"], name="reading_in_order")]

    def __str__(self) -> str:
        return f"{self.epoch}:{self.sequence} = {self.value.normalize():f}"


class HeardSequences(models.Model):
    """Which sequence numbers of a slot are stored, 64 to a row: bit ``n`` of block ``b`` is sequence 64 b + n.

    Not in partitions and never dropped, so a repetition is known whatever time it claims and however old it is, even
    when its Reading has gone. A unit that counts by one costs about 2 bytes a reading (a unique key of its own for
    each would cost 100, for ever); one that counts in leaps costs a row each, no more than such a key.
    """

    pk = models.CompositePrimaryKey("device", "slot", "epoch", "block")
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    slot = models.ForeignKey(Slot, **_VOUCHED_FOR)
    epoch = models.IntegerField()
    block = models.BigIntegerField()
    bits = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.epoch}:{self.block} = {self.bits & (2**64 - 1):064b}"


class DailyUseQuerySet(models.QuerySet["DailyUse"]):
    """Questions to the days."""

    def shown_to_owner(self, device: Device) -> Self:
        """Whole days of the present owner: the day of the claim is left out, for another may have begun it."""
        since = device.claimed_at
        return self.filter(device=device, day__gt=since.date()) if since else self.none()


class DailyUse(models.Model):
    """What one slot of one device went through on one day (UTC, by the device's clock), in the slot's unit.

    Kept for years, in partitions by year (history.py), and always what the readings would add up to: record_reading
    writes it in the same transaction. ``consumed`` is for a level the sum of its falls, each on the day of the lower
    reading (a rise is a refill), for a usage the sum of the uses. ``last`` is the newest by (epoch, sequence).
    """

    pk = models.CompositePrimaryKey("device", "slot", "day")
    device = models.ForeignKey(
        Device, on_delete=models.CASCADE, related_name="days", db_index=False, db_constraint=False
    )
    slot = models.ForeignKey(Slot, **_VOUCHED_FOR)
    day = models.DateField()
    readings = models.IntegerField()
    minimum = models.DecimalField(max_digits=12, decimal_places=3)
    maximum = models.DecimalField(max_digits=12, decimal_places=3)
    last = models.DecimalField(max_digits=12, decimal_places=3)
    consumed = models.DecimalField(max_digits=24, decimal_places=3)  # a day of the largest uses, however many
    epoch = models.IntegerField()
    sequence = models.BigIntegerField()

    objects = DailyUseQuerySet.as_manager()

    class Meta:
        ordering = ["device_id", "slot_id", "day"]

    def __str__(self) -> str:
        return f"{self.day}: {self.consumed.normalize():f}"
