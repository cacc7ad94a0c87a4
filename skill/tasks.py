"""The worker's edge: what the doorbell and beat ring for."""

from datetime import timedelta

from celery import shared_task
from django.db.models.functions import Now

from skill import delivery, doorbell, oauth
from skill.models import Endpoint, Event

KEPT = timedelta(days=30)


@shared_task(name="skill.deliver")
def deliver() -> None:
    """One slice; if more is due, ring again, so that other queues of this worker get their turn."""
    if delivery.deliver():
        doorbell.ring()


@shared_task(name="skill.tidy")
def tidy() -> None:
    """Delete what nobody looks at any more: tokens long expired, events long told, endpoints long forgotten. Parked events stay."""
    oauth.forget_expired()
    old = Event.objects.filter(settled_at__lt=Now() - KEPT).exclude(status=Event.Status.PARKED)
    Event.objects.filter(pk__in=old.values("pk")[:10_000]).delete()
    Endpoint.objects.filter(wanted=False, due_at__isnull=True, events__isnull=True).delete()
