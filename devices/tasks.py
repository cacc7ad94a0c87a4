"""The registry's work that beat asks for."""

from celery import shared_task
from django.utils import timezone

from devices import presence


@shared_task(name="devices.mark_silent", ignore_result=True)
def mark_silent() -> int:
    """Ring presence.mark_silent; every minute is often enough. Repeating or losing one costs nothing."""
    return presence.mark_silent(timezone.now())
