"""What a product is: models, slots, the products that may fill them. Words and limits: Alexa reference 2.2-2.6, 3 and 9.1."""

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

VOLUME_UNITS = (
    "LITER", "MILLILITER", "METRIC_CUP", "METRIC_TEASPOON", "UK_TABLESPOON", "AU_TABLESPOON", "CUBIC_CENTIMETER",
    "CUBIC_METER", "UK_GALLON", "UK_QUART", "UK_PINT", "UK_CUP", "UK_GILL", "UK_FLUID_OUNCE", "UK_FLUID_DRAM",
    "CUBIC_INCH", "CUBIC_FOOT", "CUBIC_YARD", "US_FLUID_GALLON", "US_FLUID_QUART", "US_FLUID_PINT", "US_FLUID_CUP",
    "US_FLUID_OUNCE", "US_GILL", "US_TABLESPOON", "US_TEASPOON", "US_DRAM", "US_DRY_GALLON", "US_DRY_QUART",
    "US_DRY_PINT",
)  # fmt: skip
WEIGHT_UNITS = ("KILOGRAM", "GRAM", "MILLIGRAM", "MICROGRAM", "METRIC_POUND", "POUND", "OUNCE", "DRAM")


class DisplayCategory(models.TextChoices):
    """Alexa's picture of a device: the part of the list in the Alexa reference 2.3 that a consumable can sit in."""

    OTHER = "OTHER", "Other"
    AIR_CONDITIONER = "AIR_CONDITIONER", "Air conditioner"
    AIR_FRESHENER = "AIR_FRESHENER", "Air freshener"
    AIR_PURIFIER = "AIR_PURIFIER", "Air purifier"
    AIR_QUALITY_MONITOR = "AIR_QUALITY_MONITOR", "Air quality monitor"
    CAMERA = "CAMERA", "Camera"
    COFFEE_MAKER = "COFFEE_MAKER", "Coffee maker"
    CONTACT_SENSOR = "CONTACT_SENSOR", "Contact sensor"
    DISHWASHER = "DISHWASHER", "Dishwasher"
    DOORBELL = "DOORBELL", "Doorbell"
    DRYER = "DRYER", "Dryer"
    FAN = "FAN", "Fan"
    HUB = "HUB", "Hub"
    LIGHT = "LIGHT", "Light"
    MICROWAVE = "MICROWAVE", "Microwave"
    MOTION_SENSOR = "MOTION_SENSOR", "Motion sensor"
    OVEN = "OVEN", "Oven"
    PRINTER = "PRINTER", "Printer"
    REMOTE = "REMOTE", "Remote"
    SECURITY_SYSTEM = "SECURITY_SYSTEM", "Security system"
    SLOW_COOKER = "SLOW_COOKER", "Slow cooker"
    SMARTPLUG = "SMARTPLUG", "Smart plug"
    SWITCH = "SWITCH", "Switch"
    TEMPERATURE_SENSOR = "TEMPERATURE_SENSOR", "Temperature sensor"
    THERMOSTAT = "THERMOSTAT", "Thermostat"
    VACUUM_CLEANER = "VACUUM_CLEANER", "Vacuum cleaner"
    WASHER = "WASHER", "Washer"
    WATER_HEATER = "WATER_HEATER", "Water heater"


class Sensor(models.TextChoices):
    """What a slot knows about its consumable (Alexa reference 3)."""

    LEVEL = "level", "Level: what is left"
    USAGE = "usage", "Usage: what was just used"
    LEVEL_USAGE = "level_usage", "Level usage: how much of its life was just used"


class MeasurementType(models.TextChoices):
    """In what a slot counts (Alexa reference 2.6)."""

    PERCENTAGE = "Percentage", "Percentage"
    COUNT = "Count", "Count"
    VOLUME = "Volume", "Volume"
    WEIGHT = "Weight", "Weight"


class DeviceModel(models.Model):
    """A product of the maker; a "device" in Amazon's Dash console (Alexa reference 9.1)."""

    model_id = models.CharField(
        "model ID",
        max_length=64,
        unique=True,
        validators=[RegexValidator(r"\A[A-Za-z0-9+_-]+\Z", "Use letters, digits, plus, underscore and hyphen only.")],
        help_text="As in Amazon's Dash console.",
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
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["model_id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.model_id})"


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
    replenishment_id = models.CharField(
        "replenishment ID", max_length=256, blank=True, help_text="Amazon's, one per slot."
    )

    class Meta:
        ordering = ["device_model_id", "slot_id"]
        constraints = [
            models.UniqueConstraint(fields=["device_model", "slot_id"], name="slot_id_once_per_model"),
            models.UniqueConstraint(fields=["device_model", "instance"], name="slot_instance_once_per_model"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.slot_id})"

    @property
    def reports_amount_left(self) -> bool:
        """True where a reading is what is left; False where it is what was used (a delta)."""
        return self.sensor == Sensor.LEVEL

    def clean(self) -> None:
        """Refuse what Amazon does not take: which unit goes with which measurement (Alexa reference 2.6)."""
        allowed = {MeasurementType.VOLUME: VOLUME_UNITS, MeasurementType.WEIGHT: WEIGHT_UNITS}.get(self.measurement)
        if allowed is None and self.unit:
            raise ValidationError({"unit": f"{self.measurement} has no unit; leave it empty."})
        if allowed is not None and self.unit not in allowed:
            raise ValidationError({"unit": f"{self.measurement} needs one of its units, e.g. {allowed[0]}."})
        if self.sensor == Sensor.USAGE and self.measurement == MeasurementType.PERCENTAGE:
            raise ValidationError({"measurement": "A usage sensor counts in Count, Volume or Weight."})


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
