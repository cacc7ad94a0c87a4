"""Announcements to many: spread, a customer's devices together, and never in the way of one that was renamed just now."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from devices import registry
from devices.models import Device
from devices.signals import endpoint_changed
from skill.models import Endpoint

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_model_published_to_many_is_spread(
    machine: Any, linked: Any, crema: Any, alice: Any, settings: Any
) -> None:
    """A quarter of the gateway's rate for announcements; a customer's devices stay together; one device alone goes at once."""
    for number in range(3):
        registered = registry.register(f"CRM20-100{number}", crema)
        registry.claim(alice, registered.device.serial_number, registered.claim_code)
    far = Now() + timedelta(days=1)
    Endpoint.objects.update(due_at=far, not_before=None)
    settings.GATEWAY_RATE = 100
    ids = sorted(Device.objects.values_list("pk", flat=True))
    endpoint_changed.send(sender=Device, device_ids=ids, what="description", among=100_000)
    due = set(Endpoint.objects.values_list("due_at", flat=True))
    assert len(due) == 1
    assert timezone.now() < due.pop() < timezone.now() + timedelta(seconds=4000)
    assert {"description"} <= set(Endpoint.objects.first().changed)
    Endpoint.objects.update(due_at=far)
    registry.rename(machine, "Kitchen espresso")
    assert Endpoint.objects.get(device=machine).due_at <= timezone.now()
