"""Whose a device is to Dash, and what is subscribed for its slots: derived from notifications, never edited."""

from typing import Any, Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Subquery

from devices.models import Device, Slot


class DrsRegistrationQuerySet(models.QuerySet["DrsRegistration"]):
    """Questions to the registrations."""

    def find_devices(self) -> int:
        """Give registrations and subscriptions that came before their device or slot what they lack; the number found.

        Idempotent, two statements.
        """
        serial = Q(serial_number=OuterRef("serial_number"))
        devices = Device.objects.filter(serial, device_model__model_id=OuterRef("model_id"))
        found = self.filter(Exists(devices), device=None).update(device=Subquery(devices.values("pk")[:1]))
        models_of = self.model.objects.filter(pk=OuterRef(OuterRef("registration_id"))).values("model_id")
        slots = Slot.objects.filter(device_model__model_id=Subquery(models_of), slot_id=OuterRef("slot_name"))
        unknown = SlotSubscription.objects.filter(Exists(slots), slot=None)
        return found + unknown.update(slot=Subquery(slots.values("pk")[:1]))


class DrsRegistration(models.Model):
    """One device by model and serial number, as Dash speaks of it. A deregistered one stays as a tombstone."""

    class State(models.TextChoices):
        UNCLEAR = "UNCLEAR", "unclear"
        PROVISIONAL = "PROVISIONAL", "subscription heard of, registration not yet"
        REGISTERED = "REGISTERED", "registered"
        DEREGISTERED = "DEREGISTERED", "deregistered"

    model_id = models.CharField("model ID", max_length=255)
    serial_number = models.CharField(max_length=255)
    state = models.CharField(max_length=16, choices=State.choices, default=State.UNCLEAR)
    customer_id = models.CharField("customer's pseudonym", max_length=255, blank=True, editable=False)
    epoch = models.PositiveIntegerField(default=0, help_text="How many times it was registered anew.")
    since = models.DateTimeField(null=True, help_text="Amazon's clock.")
    last_at = models.DateTimeField("last heard of", null=True)
    device = models.ForeignKey(
        Device, on_delete=models.SET_NULL, null=True, blank=True, related_name="drs_registrations"
    )

    objects = DrsRegistrationQuerySet.as_manager()

    class Meta:
        verbose_name = "Dash registration"
        ordering = [F("last_at").desc(nulls_last=True), "-id"]
        constraints = [models.UniqueConstraint(fields=["serial_number", "model_id"], name="drs_registration_once")]
        indexes = [
            models.Index(fields=["serial_number"], condition=Q(device__isnull=True), name="registration_without_device")
        ]

    def __str__(self) -> str:
        return f"{self.serial_number} ({self.model_id})"


class SlotSubscriptionQuerySet(models.QuerySet["SlotSubscription"]):
    """Questions to the subscriptions."""

    def shown_to(self, user: Any) -> Self:
        """Subscriptions of the customer's devices, of a registration that is not older than her ownership."""
        return self.filter(registration__device__owner=user, last_at__gte=F("registration__device__claimed_at"))


class SlotSubscription(models.Model):
    """What is subscribed for one slot in the present epoch of its device's registration."""

    registration = models.ForeignKey(DrsRegistration, on_delete=models.CASCADE, related_name="subscriptions")
    slot = models.ForeignKey(Slot, on_delete=models.SET_NULL, null=True, blank=True, related_name="subscriptions")
    slot_name = models.CharField("slot ID", max_length=255)
    subscribed = models.BooleanField()
    products = models.JSONField(default=list, help_text="What is chosen: asin, quantity, unit.")
    stale = models.BooleanField(default=False, help_text="The newest notification (version 1) named no products.")
    gone = models.JSONField("no longer chosen", default=list, help_text="ASINs that the newest change took away.")
    last_at = models.DateTimeField("last heard of")

    objects = SlotSubscriptionQuerySet.as_manager()

    class Meta:
        ordering = ["registration_id", "slot_name"]
        constraints = [models.UniqueConstraint(fields=["registration", "slot_name"], name="slot_subscription_once")]

    def __str__(self) -> str:
        return f"{self.slot_name}: {'subscribed' if self.subscribed else 'not subscribed'}"
