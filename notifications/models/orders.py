"""Orders, derived from their notifications. How: `folds.py`; who does it: `notifications/orders.py`."""

from typing import Any, Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Subquery

from devices.models import Device, Slot


class OrderQuerySet(models.QuerySet["Order"]):
    """Questions to the orders."""

    def shown_to(self, user: Any) -> Self:
        """Orders of the customer's devices, without those that were ordered before the device was theirs."""
        return self.filter(device__owner=user, first_at__gte=F("device__claimed_at"))

    def find_devices(self) -> int:
        """Give orders that came before their device or slot was registered what they lack; the number found.

        Idempotent, two statements.
        """
        devices = Device.objects.filter(
            serial_number=OuterRef("serial_number"), device_model__model_id=OuterRef("model_id")
        )
        slots = Slot.objects.filter(device_model__model_id=OuterRef("model_id"), slot_id=OuterRef("slot_name"))
        found = self.filter(Exists(devices), device=None).update(device=Subquery(devices.values("pk")[:1]))
        return found + self.filter(Exists(slots), slot=None).update(slot=Subquery(slots.values("pk")[:1]))


class Order(models.Model):
    """What Amazon is sending for one slot of one device: derived from its notifications, never edited."""

    class State(models.TextChoices):
        UNCLEAR = "UNCLEAR", "unclear"
        PLACED = "PLACED", "placed"
        CANCELLED = "CANCELLED", "cancelled"
        SHIPPED = "SHIPPED", "shipped"

    instance_id = models.CharField("instance ID", max_length=255, unique=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.UNCLEAR)
    conflict = models.BooleanField(default=False, help_text="Amazon said both shipped and cancelled.")
    device = models.ForeignKey(Device, on_delete=models.SET_NULL, null=True, blank=True, related_name="orders")
    slot = models.ForeignKey(Slot, on_delete=models.SET_NULL, null=True, blank=True, related_name="orders")
    serial_number = models.CharField(max_length=255, blank=True)
    model_id = models.CharField("model ID", max_length=255, blank=True)
    slot_name = models.CharField("slot ID", max_length=255, blank=True)
    first_at = models.DateTimeField("first heard of", null=True, help_text="Amazon's clock.")
    placed_at = models.DateTimeField(null=True, help_text="Empty when Amazon never said that it was placed.")
    last_at = models.DateTimeField("last heard of", null=True)
    estimated_delivery = models.DateTimeField(null=True)

    objects = OrderQuerySet.as_manager()

    class Meta:
        ordering = [F("last_at").desc(nulls_last=True), "-id"]
        indexes = [
            models.Index(fields=["device", "-last_at"], name="order_of_device"),
            models.Index(fields=["serial_number"], condition=Q(device__isnull=True), name="order_without_device"),
        ]

    def __str__(self) -> str:
        return self.instance_id


class OrderItem(models.Model):
    """One product of an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="items")
    place = models.PositiveSmallIntegerField(help_text="Where Amazon lists it, from 0.")
    asin = models.CharField("ASIN", max_length=64, blank=True)
    quantity = models.DecimalField(max_digits=18, decimal_places=6)
    unit = models.CharField(max_length=64)
    estimated_delivery = models.DateTimeField(null=True)

    class Meta:
        ordering = ["order_id", "place"]
        constraints = [models.UniqueConstraint(fields=["order", "place"], name="order_item_once")]

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} {self.unit} {self.asin}".strip()
