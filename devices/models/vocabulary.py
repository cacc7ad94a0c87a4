"""The words a description is made of, Amazon's where Amazon has one (Alexa reference 2.3, 2.6, 3 and 9.1); no tables."""

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


class DrsState(models.TextChoices):
    """How far a model has come with Amazon's Dash programme (Alexa reference 9.1)."""

    DRAFT = "draft", "Draft: not yet shown to Amazon"
    TESTING = "testing", "Testing: with test replenishment IDs"
    CERTIFIED = "certified", "Certified: with live replenishment IDs"
    LOCKED = "locked", "Locked: only marketplaces may be added"


def unit_refusal(measurement: str, unit: str) -> str:
    """Why this unit does not go with this measurement; empty where it does (Alexa reference 2.6)."""
    allowed = {MeasurementType.VOLUME: VOLUME_UNITS, MeasurementType.WEIGHT: WEIGHT_UNITS}.get(measurement)
    if allowed is None:
        return f"{measurement} has no unit; leave it empty." if unit else ""
    return "" if unit in allowed else f"{measurement} needs one of its units, e.g. {allowed[0]}."


def sensor_refusal(sensor: str, measurement: str) -> str:
    """Why this sensor does not count so; empty where it does (Alexa reference 2.6: the usage sensor names three)."""
    if sensor == Sensor.USAGE and measurement == MeasurementType.PERCENTAGE:
        return "A usage sensor counts in Count, Volume or Weight."
    return ""
