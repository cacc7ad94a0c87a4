"""What a product is, live: models, where they are sold, slots, the products that may fill them.

These rows are what the other rooms read; staff change them by publishing a draft (revisions.py, catalogue). Words and limits:
Alexa reference 2.2-2.6, 3 and 9.1.
"""

import re
import secrets
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from devices.capabilities import CHOOSABLE, Capability, interfaces_of, unknown
from devices.models.vocabulary import (
    VOLUME_UNITS,
    WEIGHT_UNITS,
    DisplayCategory,
    DrsState,
    MeasurementType,
    Sensor,
    sensor_refusal,
    unit_refusal,
)

_LOCALE = re.compile(r"[a-z]{2}-[A-Z]{2}")


class Marketplace(models.Model):
    """One of Amazon's shops. Another country is another row, not another line of code (Alexa reference 9.2)."""

    code = models.CharField(
        max_length=2, primary_key=True, validators=[RegexValidator(r"\A[A-Z]{2}\Z", "Two capital letters, e.g. US.")]
    )
    name = models.CharField(max_length=60)
    locale = models.CharField(
        max_length=5,
        validators=[RegexValidator(r"\A[a-z]{2}-[A-Z]{2}\Z", "A language and a country, e.g. de-DE.")],
        help_text="The language in which names are shown there, e.g. de-DE.",
    )

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


def new_model_id() -> str:
    """For a model whose ID nobody typed: 12 letters and digits that are easily told apart."""
    return "".join(secrets.choice("23456789ABCDEFGHJKMNPQRSTWXYZ") for _ in range(12))


class DeviceModel(models.Model):
    """A product of the maker; a "device" in Amazon's Dash console (Alexa reference 9.1)."""

    model_id = models.CharField(
        "model ID",
        max_length=64,
        unique=True,
        default=new_model_id,
        validators=[RegexValidator(r"\A[A-Za-z0-9+_-]+\Z", "Use letters, digits, plus, underscore and hyphen only.")],
        help_text="As in Amazon's Dash console. It stays for ever.",
    )
    name = models.CharField(max_length=60)
    manufacturer = models.CharField(max_length=128)
    description = models.CharField(max_length=128, help_text="Names the maker; customers see it in the Alexa app.")
    display_category = models.CharField(max_length=32, choices=DisplayCategory.choices, default=DisplayCategory.OTHER)
    offline_after = models.DurationField(
        default=timedelta(minutes=60),
        validators=[MinValueValidator(timedelta(minutes=2)), MaxValueValidator(timedelta(days=31))],
        help_text="A unit that has been silent for so long is offline: hh:mm:ss, 2 minutes to 31 days.",
    )
    drs_state = models.CharField("DRS state", max_length=16, choices=DrsState.choices, default=DrsState.DRAFT)
    capabilities = models.JSONField(
        default=list, blank=True, help_text="Interfaces besides the slots' and those that every model has."
    )
    warranty_months = models.PositiveSmallIntegerField(
        default=24, validators=[MaxValueValidator(240)], help_text="Counted from the claim; 0: none."
    )
    picture = models.ForeignKey("devices.Picture", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["model_id"]
        permissions = [("publish_devicemodel", "Can publish a draft of a device model")]

    def __str__(self) -> str:
        return f"{self.name} ({self.model_id})"

    @property
    def interfaces(self) -> tuple[Capability, ...]:
        """Every interface of this model besides its slots, those that all models have first."""
        return interfaces_of(self.capabilities)

    def clean(self) -> None:
        """Refuse interfaces that nobody has heard of."""
        if odd := unknown(self.capabilities):
            known = ", ".join(sorted(CHOOSABLE))
            raise ValidationError({"capabilities": f"Not known: {', '.join(odd)}. Known: {known}."})


class ModelMarketplace(models.Model):
    """Where a model is sold and what it is called there; each is certified on its own (Alexa reference 9.1)."""

    device_model = models.ForeignKey(DeviceModel, on_delete=models.CASCADE, related_name="marketplaces")
    marketplace = models.ForeignKey(Marketplace, on_delete=models.PROTECT, related_name="+")
    friendly_name = models.CharField(max_length=128, help_text="In the language of the marketplace.")

    class Meta:
        ordering = ["device_model_id", "marketplace_id"]
        constraints = [
            models.UniqueConstraint(fields=["device_model", "marketplace"], name="marketplace_once_per_model")
        ]

    def __str__(self) -> str:
        return f"{self.friendly_name} ({self.marketplace_id})"


_opaque_id = RegexValidator(r"\A[!-~]+\Z", "Amazon's text as it is: no spaces, no letters outside ASCII.")


class Slot(models.Model):
    """One consumable of a model and the sensor that watches it."""

    device_model = models.ForeignKey(DeviceModel, on_delete=models.CASCADE, related_name="slots")
    slot_id = models.CharField(
        "slot ID",
        max_length=64,
        validators=[RegexValidator(r"\A[A-Za-z0-9._-]+\Z", "Use letters, digits, dot, underscore and hyphen only.")],
        help_text="What the device calls it.",
    )
    name = models.CharField(max_length=128, help_text="What the customer calls it.")
    locale = models.CharField(max_length=5, default="en-US", help_text="Language of the name.")
    sensor = models.CharField(max_length=16, choices=Sensor.choices, default=Sensor.LEVEL)
    measurement = models.CharField(max_length=16, choices=MeasurementType.choices, default=MeasurementType.PERCENTAGE)
    unit = models.CharField(
        max_length=24,
        blank=True,
        choices=[(unit, unit) for unit in VOLUME_UNITS + WEIGHT_UNITS],
        help_text="For Volume and Weight only.",
    )
    capacity = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    instance = models.CharField(
        max_length=64,
        validators=[RegexValidator(r"\A[A-Za-z0-9._-]+\Z", "Use letters, digits, dot, underscore and hyphen only.")],
        help_text="Alexa's name of the sensor, the same for every unit, e.g. Beans.Hopper. Never change it.",
    )
    names = models.JSONField(
        default=dict,
        blank=True,
        help_text='Names by language, synonyms after the first: {"de-DE": ["Kaffeebohnen", "Bohnen"]}.',
    )
    raw_zero = models.DecimalField(
        max_digits=12, decimal_places=3, default=0, help_text="The figure that a device sends when there is nothing."
    )
    raw_factor = models.DecimalField(
        max_digits=18,
        decimal_places=9,
        default=1,
        help_text="Reported = (sent - zero) x factor; 1 where the device counts as we do.",
    )
    replenishment_id = models.CharField(
        "replenishment ID",
        max_length=256,
        blank=True,
        validators=[_opaque_id],
        help_text="What Alexa is told now: the test ID until the model is certified, then the live one.",
    )
    test_replenishment_id = models.CharField(
        "test replenishment ID", max_length=256, blank=True, validators=[_opaque_id]
    )
    live_replenishment_id = models.CharField(
        "live replenishment ID", max_length=256, blank=True, validators=[_opaque_id]
    )

    class Meta:
        ordering = ["device_model_id", "slot_id"]
        constraints = [
            models.UniqueConstraint(fields=["device_model", "slot_id"], name="slot_id_once_per_model"),
            models.UniqueConstraint(fields=["device_model", "instance"], name="slot_instance_once_per_model"),
            models.UniqueConstraint(
                fields=["test_replenishment_id"],
                condition=~Q(test_replenishment_id=""),
                name="test_replenishment_id_once",
            ),
            models.UniqueConstraint(
                fields=["live_replenishment_id"],
                condition=~Q(live_replenishment_id=""),
                name="live_replenishment_id_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.slot_id})"

    @property
    def reports_amount_left(self) -> bool:
        """True where a reading is what is left; False where it is what was used (a delta)."""
        return self.sensor == Sensor.LEVEL

    @property
    def localized_names(self) -> tuple[tuple[str, str], ...]:
        """Every (text, locale) that Alexa may show or understand, the main name first (Alexa reference 2.4)."""
        others = [(text, locale) for locale in sorted(self.names) for text in self.names[locale]]
        return tuple(dict.fromkeys([(self.name, self.locale), *others]))

    def name_in(self, locale: str) -> str:
        """The slot's name in this language, else its main name."""
        return next(iter(self.names.get(locale, [])), self.name)

    def from_raw(self, raw: Decimal) -> Decimal:
        """A figure as the device sends it, in the slot's measurement. A calibrated level stays within empty and full:
        a scale that drifts a gram below its zero means empty. Without calibration the figure is returned as it is.
        """
        if (self.raw_zero, self.raw_factor) == (0, 1):
            return raw
        value = (raw - self.raw_zero) * self.raw_factor
        if not self.reports_amount_left:
            return value
        full = Decimal(100) if self.measurement == MeasurementType.PERCENTAGE else value
        return min(max(value, Decimal(0)), full)

    def clean(self) -> None:
        """Refuse what Amazon does not take, with the reason."""
        refusals = {
            "unit": unit_refusal(self.measurement, self.unit),
            "measurement": sensor_refusal(self.sensor, self.measurement),
            "raw_factor": "A factor is above 0." if self.raw_factor <= 0 else "",
            "raw_zero": "Only a level has a zero." if self.raw_zero and not self.reports_amount_left else "",
            "capacity": "A capacity is above 0." if self.capacity is not None and self.capacity <= 0 else "",
            "names": _names_refusal(self.names),
        }
        if wrong := {field: text for field, text in refusals.items() if text}:
            raise ValidationError(wrong)


def _names_refusal(names: Any) -> str:
    """Names by language, each with 1 to 128 characters (Alexa reference 2.4)."""
    if not isinstance(names, dict) or not all(isinstance(texts, list) and texts for texts in names.values()):
        return "Give at least one name for each language."
    if odd := [locale for locale in names if not _LOCALE.fullmatch(locale)]:
        return f"{odd[0]} is not a language and a country, e.g. de-DE."
    texts = [text for texts in names.values() for text in texts]
    right = all(isinstance(text, str) and text.strip() and len(text) <= 128 for text in texts)
    return "" if right else "A name has 1 to 128 characters."


class SlotProduct(models.Model):
    """A product that may fill a slot in one marketplace."""

    slot = models.ForeignKey(Slot, on_delete=models.CASCADE, related_name="products")
    marketplace = models.CharField(
        max_length=2, default="US", validators=[RegexValidator(r"\A[A-Z]{2}\Z", "Two capital letters, e.g. US.")]
    )
    asin = models.CharField(
        "ASIN",
        max_length=10,
        validators=[RegexValidator(r"\A[A-Z0-9]{10}\Z", "An ASIN is 10 capital letters and digits.")],
    )
    title = models.CharField(max_length=256, blank=True)
    quantity = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    unit = models.CharField(max_length=24, blank=True)
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["slot_id", "marketplace", "asin"]
        constraints = [
            models.UniqueConstraint(fields=["slot", "marketplace", "asin"], name="asin_once_per_slot_and_marketplace")
        ]

    def __str__(self) -> str:
        return f"{self.asin} ({self.marketplace})"
