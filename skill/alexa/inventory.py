"""The inventory sensors and the event of a use (alexa reference 2.5, 2.6 and 3)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from skill.alexa.messages import Json, timestamp

INTERFACES = {
    "level": "Alexa.InventoryLevelSensor",
    "usage": "Alexa.InventoryUsageSensor",
    "level_usage": "Alexa.InventoryLevelUsageSensor",
}


@dataclass(frozen=True)
class Sensor:
    """One consumable of a model. `kind` is level, usage or level_usage; `names` are (text, locale) pairs."""

    instance: str
    kind: str
    measurement: str
    unit: str
    replenishment_id: str
    names: tuple[tuple[str, str], ...]


def capability(sensor: Sensor) -> Json:
    """The capability object; usage sensors have no properties at all (alexa reference 3)."""
    body: Json = {
        "type": "AlexaInterface",
        "interface": INTERFACES[sensor.kind],
        "version": "3",
        "instance": sensor.instance,
    }
    if sensor.kind == "level":
        body["properties"] = {"supported": [{"name": "level"}], "proactivelyReported": True, "retrievable": True}
    measurement = {"@type": sensor.measurement} | ({"unit": sensor.unit} if sensor.unit else {})
    return body | {
        "capabilityResources": {
            "friendlyNames": [
                {"@type": "text", "value": {"text": text, "locale": locale}} for text, locale in sensor.names
            ]
        },
        "configuration": {
            "measurement": measurement,
            "replenishment": {"@type": "DashReplenishmentId", "value": sensor.replenishment_id},
        },
    }


def measured(measurement: str, unit: str, value: Decimal) -> Json:
    """A measurement object with its value; 0 is a value like any other."""
    number = int(value) if value == value.to_integral_value() else float(value)
    return {"@type": measurement, "value": number} | ({"unit": unit} if unit else {})


def level(instance: str, measurement: str, unit: str, value: Decimal, measured_at: datetime) -> Json:
    """The `level` property: what is left, when the device measured it."""
    return {
        "namespace": INTERFACES["level"],
        "instance": instance,
        "name": "level",
        "value": measured(measurement, unit, value),
        "timeOfSample": timestamp(measured_at),
        "uncertaintyInMilliseconds": 0,
    }


def consumed(measurement: str, unit: str, amount: Decimal, used_at: datetime) -> Json:
    """The payload of InventoryConsumed: the amount is a delta, the time in whole seconds (alexa reference 3.2)."""
    return {
        "usage": measured(measurement, unit, amount),
        "timeOfSample": used_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
