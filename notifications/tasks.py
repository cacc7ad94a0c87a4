"""Celery's edge: look into the inbox. Rung for by the doorbell and, without it, by beat."""

import time
from datetime import timedelta

from botocore.exceptions import BotoCoreError, ClientError
from celery import shared_task
from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from notifications import doorbell, operating, processing, provision, retention
from notifications.models import DrsRegistration, Order, Topic

SLICE = 30.0  # seconds; then let others have the worker
DAILY, HOURLY = timedelta(hours=23), timedelta(minutes=50)  # a little less, for beat's knocks are no clock


@shared_task(name="notifications.process", ignore_result=True)
def process() -> int:
    """Process what is due and return how many messages that were; many workers may do so at once.

    Fewer than a batch were all; whatever came meanwhile has rung for itself.
    """
    end, processed = time.monotonic() + SLICE, 0
    while (taken := processing.process_due()) == processing.BATCH:
        processed += taken
        if time.monotonic() > end:
            doorbell.ring()
            return processed
    return processed + taken


@shared_task(name="notifications.operate", ignore_result=True)
def operate() -> int:
    """Ask Smart Properties for what is due, one after the other, and return how many that were; workers share the work."""
    end, asked = time.monotonic() + SLICE, 0
    while operating.operate_next():
        asked += 1
        if time.monotonic() > end:
            break
    return asked


@shared_task(name="notifications.find_devices", ignore_result=True)
def find_devices() -> int:
    """Give orders and Dash registrations the devices that were registered after them."""
    return Order.objects.find_devices() + DrsRegistration.objects.find_devices()


@shared_task(name="notifications.check_drift", ignore_result=True)
def check_drift() -> int:
    """Compare topics at AWS with what should be there; how many differ. Only where we manage them.

    Each daily, and hourly while it differs, or its subscription is waited for or was ended. When is decided by the row: beat forgets
    at every start when it last knocked.
    """
    if not settings.SNS_MANAGED:
        return 0
    old = Q(drift_checked_at=None) | Q(drift_checked_at__lt=Now() - DAILY)
    ended = Q(subscription__in=[Topic.Subscription.PENDING, Topic.Subscription.UNSUBSCRIBED])
    differing = (~Q(drift=[]) | ended) & Q(drift_checked_at__lt=Now() - HOURLY)
    return sum(bool(_checked(topic)) for topic in Topic.objects.filter(old | differing))


def _checked(topic: Topic) -> list[str]:
    try:
        return provision.check(topic)
    except (BotoCoreError, ClientError, ValueError) as problem:  # the last: an answer or an address that we cannot read
        words = [] if _is_another_s(topic, problem) else [f"AWS could not be asked: {type(problem).__name__}"]
        Topic.objects.filter(pk=topic.pk).update(drift=words, drift_checked_at=Now())
        return words


def _is_another_s(topic: Topic, problem: Exception) -> bool:
    """AWS refuses, and may: whose topic it is, sets it up."""
    try:
        return isinstance(problem, ClientError) and provision.of_another_account(topic)
    except (BotoCoreError, ClientError):
        return False


@shared_task(name="notifications.tidy", ignore_result=True)
def tidy() -> tuple[int, int]:
    """Forget what is old enough; make room for the days to come."""
    return retention.tidy()
