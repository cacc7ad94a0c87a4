"""What stands in Alice's and Bob's homes for the tests of the pages: more devices, readings, orders."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from devices import inventory
from devices.models import Device, DeviceModel
from notifications.models import Order
from tests.people import owned

PASSWORD = "correct horse battery"


def claimed(owner: Any, model: DeviceModel, serial: str, name: str) -> Device:
    """A unit of the model that the owner claimed and named."""
    device = owned(owner, model, serial)
    Device.objects.filter(pk=device.pk).update(name=name)
    device.name = name
    return device


def owned_for(device: Device, days: int) -> Device:
    """As if it had been claimed so many days ago."""
    Device.objects.filter(pk=device.pk).update(claimed_at=timezone.now() - timedelta(days=days))
    device.refresh_from_db()
    return device


def reported(device: Device, *values: str, first: int = 1) -> None:
    """Readings a day apart, the last one just now, through the registry's own verb."""
    now = timezone.now()
    for place, value in enumerate(values):
        at = now - timedelta(days=len(values) - 1 - place)
        [outcome] = inventory.record_reading(
            device, [inventory.Measurement("beans", first + place, Decimal(value), at)], at
        )
        assert outcome.status == "recorded", outcome


def ordered(device: Device, state: str = "PLACED", ago: timedelta = timedelta(hours=3), **more: Any) -> Order:
    """Amazon's order for the device's beans: one pack of B00BEANS01, expected on 24 December."""
    at = timezone.now() - ago
    expected = datetime(2030, 12, 24, tzinfo=UTC)
    order = Order.objects.create(
        instance_id=f"amzn1.dash.v2.o.{uuid.uuid4()}",
        state=state,
        device=device,
        slot=device.device_model.slots.get(),
        serial_number=device.serial_number,
        slot_name="beans",
        **{"first_at": at, "placed_at": at, "last_at": at, "estimated_delivery": expected, **more},
    )
    order.items.create(place=0, asin="B00BEANS01", quantity=Decimal(2), unit="count", estimated_delivery=expected)
    return order
