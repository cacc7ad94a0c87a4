"""The worker's edge: what the doorbell and beat ring for."""

import logging
from datetime import timedelta
from typing import Any

from celery import shared_task, signals
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from skill import delivery, doorbell, oauth
from skill.models import Endpoint, Event
from skill.quoting import quote

log = logging.getLogger(__name__)
KEPT = timedelta(days=30)
AT_ONCE = 1000


@signals.worker_shutting_down.connect
def _stop_soon(**kwargs: Any) -> None:
    delivery.stop_soon()


@shared_task(name="skill.deliver")
def deliver() -> None:
    """One slice; if more is due, ring again, so that other queues of this worker get their turn. A database that is out of reach is
    one line in the log: the next knock tries again."""
    try:
        more = delivery.deliver()
    except (OperationalError, InterfaceError) as error:
        log.error("delivery stopped, the database does not answer: %s", quote(error, 200))
        return
    if more:
        doorbell.ring()


@shared_task(name="skill.tidy")
def tidy() -> None:
    """Delete what nobody looks at any more: tokens long expired, events long told, endpoints long forgotten. Parked events stay."""
    oauth.forget_expired()
    old = Event.objects.filter(settled_at__lt=Now() - KEPT).exclude(status=Event.Status.PARKED)
    Event.objects.filter(pk__in=old.values("pk")[:10_000]).delete()
    _forget_endpoints()


@transaction.atomic
def _forget_endpoints() -> None:
    """Locked before they are deleted: one that is wanted again meanwhile stays."""
    told = Event.objects.filter(endpoint=OuterRef("pk"))
    gone = Endpoint.objects.select_for_update(skip_locked=True).filter(~Exists(told), wanted=False, due_at__isnull=True)
    ids = list(gone.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    Endpoint.objects.filter(pk__in=ids).delete()
