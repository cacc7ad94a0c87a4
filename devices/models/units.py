"""One unit, who owns it, and who tried to. How it changes hands is in registry.py and claiming.py."""

from datetime import datetime

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

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
    ownership = models.UUIDField(null=True, blank=True, editable=False)
    claimed_at = models.DateTimeField(null=True, blank=True, editable=False)
    warranty_until = models.DateField(
        null=True, blank=True, editable=False, help_text="Counted from the first claim; a later owner has what is left."
    )
    key_hash = models.CharField(max_length=64, editable=False)
    key_seen_at = models.DateTimeField(
        "present key first used",
        null=True,
        blank=True,
        editable=False,
        help_text="Empty: the unit may not have it yet.",
    )
    key_changed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Empty: the key is the factory's."
    )
    previous_key_hash = models.CharField(max_length=64, blank=True, default="", editable=False)
    previous_key_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Empty: until the present key is used."
    )
    claim_code_hash = models.CharField(max_length=64, editable=False)
    reset_epoch = models.IntegerField(default=0, editable=False)  # of the last factory reset that we heard of
    mac_address = models.CharField("MAC address", max_length=17, blank=True, default="", editable=False)
    firmware_version = models.CharField(max_length=64, blank=True)
    online = models.BooleanField(default=True, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    clock_doubted_at = models.DateTimeField(
        "clock last wrong",
        null=True,
        blank=True,
        editable=False,
        help_text="When it last claimed to have measured in the future, or before 2000; our time was taken instead.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["serial_number"]
        permissions = [
            ("rotate_key_device", "Can give a device a new key"),
            ("release_device", "Can release a device from its owner"),
            ("revoke_key_device", "Can revoke all keys of a device at once"),
            ("import_device", "Can import a factory's list of devices"),
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
            ),
            # With a condition, though NULLs are not compared: else PostgreSQL takes it for a key, and whoever adds a row about
            # the device would wait for a claim to end (and the claim, with the device locked, for them).
            models.UniqueConstraint(
                fields=["ownership"], condition=Q(ownership__isnull=False), name="device_ownership_is_one"
            ),
        ]

    def __str__(self) -> str:
        return self.serial_number

    def previous_key_lives(self, now: datetime) -> bool:
        """Whether the key before the present one still opens the door: a rotation is under way."""
        return bool(self.previous_key_hash) and (self.previous_key_until is None or self.previous_key_until > now)


class AttemptCount(models.Model):
    """How often one door was tried within its hour (attempts.py). ``door`` is a hash: the table tells nobody who tried."""

    door = models.CharField(max_length=64, primary_key=True)
    tried = models.PositiveSmallIntegerField()
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.tried} until {self.until:%H:%M}"


class ClaimAttempt(models.Model):
    """A refused claim with its true cause, for support; kept for 30 days. The customer sees only ``reference``.

    The unit is kept as the text that was typed, not as a foreign key: a key to check would make a refusal for a unit
    that exists cost more than one for a unit that does not.
    """

    class Cause(models.TextChoices):
        UNKNOWN = "unknown", "No such serial number"
        WRONG_CODE = "wrong_code", "The claim code is wrong"
        TAKEN = "taken", "The code is right, but the device has another owner"
        THROTTLED = "throttled", "Too many attempts, so it was not looked at"

    reference = models.CharField(max_length=16, unique=True)
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    serial_number = models.CharField(max_length=64, blank=True, help_text="As it was typed.")
    address = models.GenericIPAddressField(null=True, blank=True)
    cause = models.CharField(max_length=16, choices=Cause.choices)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.reference
