"""One unit and who owns it. How it changes hands is in registry.py."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from devices.models.products import DeviceModel

# No colon: a serial number is the user name of HTTP Basic. No slash: it is part of addresses.
SERIAL_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


class Device(models.Model):
    """One unit. ``ownership`` is new at every claim; Alexa's endpointId follows it, so a new owner waits for nobody."""

    serial_number = models.CharField(
        max_length=64,
        unique=True,
        validators=[RegexValidator(rf"\A{SERIAL_PATTERN}\Z", "Use letters, digits, dot, underscore and hyphen only.")],
    )
    device_model = models.ForeignKey(DeviceModel, on_delete=models.PROTECT, related_name="devices")
    # PROTECT: whoever deletes a customer releases the devices first, so that the rooms above hear of it.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="devices"
    )
    name = models.CharField(max_length=128, help_text="What the owner calls it, in Alexa too.")
    ownership = models.UUIDField(null=True, blank=True, unique=True, editable=False)
    claimed_at = models.DateTimeField(null=True, blank=True, editable=False)
    key_hash = models.CharField(max_length=64, editable=False)
    claim_code_hash = models.CharField(max_length=64, editable=False)
    firmware_version = models.CharField(max_length=64, blank=True)
    online = models.BooleanField(default=True, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["serial_number"]
        permissions = [
            ("rotate_key_device", "Can give a device a new key"),
            ("release_device", "Can release a device from its owner"),
        ]
        indexes = [
            models.Index(fields=["device_model", "last_seen_at"], condition=Q(online=True), name="device_silence"),
            models.Index(
                fields=["device_model", "claimed_at"],
                condition=Q(online=True, last_seen_at__isnull=True, claimed_at__isnull=False),
                name="device_never_heard",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(owner__isnull=True, ownership__isnull=True, claimed_at__isnull=True)
                | Q(owner__isnull=False, ownership__isnull=False, claimed_at__isnull=False),
                name="device_claim_is_whole",
            )
        ]

    def __str__(self) -> str:
        return self.serial_number
