"""What the tests of the skill do."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from devices.inventory import Measurement, record_reading
from skill import delivery
from skill.models import Endpoint


def reading(device: Any, value: float, sequence: int, slot: str = "beans") -> Any:
    return record_reading(device, [Measurement(slot, sequence, Decimal(str(value)), None)], timezone.now())


def make_due(endpoints: Any, daily: bool = False) -> None:
    """As if the time had come."""
    long_ago = Now() - timedelta(minutes=1)
    endpoints.filter(due_at__isnull=False).update(
        due_at=long_ago, not_before=None, **({"daily_at": long_ago} if daily else {})
    )


def deliver_all() -> None:
    """Slices until nothing is due."""
    for _ in range(20):
        if not delivery.deliver(5) and not Endpoint.objects.filter(due_at__lte=Now(), lease=None).exists():
            return
    raise AssertionError("delivery does not come to rest")
