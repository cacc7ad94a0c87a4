"""What a unit should be (desired), what it says it is (reported), and what it told us once (DeviceEvent).

How they change is in shadow.py and events.py; how the difference reaches the unit, in talkback.py.
"""

from django.db import models
from django.db.models import Q

from devices.models.units import Device


class Door(models.TextChoices):
    """The way by which a unit last spoke, and therefore the way by which it is spoken to."""

    NONE = "", "never heard"
    HTTPS = "https", "HTTPS: it asks"
    MQTT = "mqtt", "MQTT broker"
    AWS = "aws", "AWS IoT Core"


class Shadow(models.Model):
    """One unit's desired and reported state. ``version`` is +1 with every change of either.

    ``ownership`` is the Device's when this was written: under another one all of it is the former owner's and counts as
    empty. ``reported_at``: when what it reports changed last. ``marks`` holds, where AWS IoT keeps the shadow, its
    version for each reported leaf, because its messages may arrive in any order. ``due_at`` NULL: the unit need not be
    told anything by us; ``told`` is the desired state that AWS IoT took last. The lease is of whoever is telling now.
    """

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="shadow")
    ownership = models.UUIDField(null=True, editable=False)
    desired = models.JSONField(default=dict, blank=True)
    reported = models.JSONField(default=dict, blank=True)
    reported_at = models.DateTimeField(null=True, blank=True)
    marks = models.JSONField(default=dict, blank=True)
    version = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField()
    door = models.CharField(max_length=8, choices=Door.choices, default=Door.NONE, blank=True)
    told = models.JSONField(default=dict, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    lease = models.UUIDField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [models.Index(fields=["door", "due_at"], condition=Q(due_at__isnull=False), name="shadow_due")]

    def __str__(self) -> str:
        return f"version {self.version}"


class EventType(models.TextChoices):
    """What happens to a unit besides readings."""

    DOORBELL_PRESS = "doorbell_press", "Doorbell pressed"
    CONSUMABLE_REPLACED = "consumable_replaced", "Consumable replaced"
    FACTORY_RESET = "factory_reset", "Reset to factory settings"


class DeviceEvent(models.Model):
    """One thing that a unit told us; its own ``event_id`` makes the second telling harmless."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="events", db_index=False)
    event_id = models.CharField(max_length=64)
    type = models.CharField(max_length=24, choices=EventType.choices)
    slot_id = models.CharField("slot", max_length=64, blank=True)
    happened_at = models.DateTimeField(help_text="The device's clock; ours where it has none.")
    heard_at = models.DateTimeField()

    class Meta:
        ordering = ["-heard_at", "-pk"]
        indexes = [models.Index(fields=["heard_at"], name="event_heard")]
        constraints = [models.UniqueConstraint(fields=["device", "event_id"], name="event_told_once")]

    def __str__(self) -> str:
        return f"{self.get_type_display()} {self.event_id}"
