"""Celery's edge: look into the inbox. Rung for by the doorbell and, without it, by beat."""

import time

from celery import shared_task

from notifications import doorbell, inbox
from notifications.models import DrsRegistration, Order

SLICE = 30.0  # seconds; then let others have the worker


@shared_task(name="notifications.process", ignore_result=True)
def process() -> int:
    """Process what is due, message by message, and return how many; many workers may do so at once."""
    end, processed = time.monotonic() + SLICE, 0
    while inbox.process_next():
        processed += 1
        if time.monotonic() > end:
            doorbell.ring()
            break
    return processed


@shared_task(name="notifications.find_devices", ignore_result=True)
def find_devices() -> int:
    """Give orders and Dash registrations the devices that were registered after them."""
    return Order.objects.find_devices() + DrsRegistration.objects.find_devices()
