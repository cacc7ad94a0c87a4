"""What is left in a unit (Inventory) and what it said (Reading). How a reading is recorded is in inventory.py."""

from typing import Self

from django.db import models

from devices.models.products import Slot
from devices.models.units import Device


class Inventory(models.Model):
    """What is left in one slot of one device: the newest reading by (epoch, sequence). Units are the slot's.

    For usage and level-usage sensors ``value`` is the last amount used, not a stock: nobody knows the stock.
    """

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="inventories", db_index=False)
    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="+", db_index=False)
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


class ReadingQuerySet(models.QuerySet["Reading"]):
    """Questions to the history."""

    def latest_first(self) -> Self:
        """In the device's own order, newest first; together with one device and slot it is an index scan."""
        return self.order_by("-epoch", "-sequence")

    def shown_to_owner(self, device: Device) -> Self:
        """What the present owner may see: heard since the claim and measured since the claim; else nothing."""
        since = device.claimed_at
        return self.filter(device=device, heard_at__gte=since, measured_at__gte=since) if since else self.none()


class Reading(models.Model):
    """What a device said, once for each (slot, epoch, sequence). History: written by record_reading, never changed."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="readings", db_index=False)
    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="+", db_index=False)
    epoch = models.IntegerField(default=0)
    sequence = models.BigIntegerField()
    value = models.DecimalField(max_digits=12, decimal_places=3)
    measured_at = models.DateTimeField()
    heard_at = models.DateTimeField()

    objects = ReadingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["device", "slot", "epoch", "sequence"], name="reading_stored_once")
        ]

    def __str__(self) -> str:
        return f"{self.epoch}:{self.sequence} = {self.value.normalize():f}"
