"""The worker's edge: what the doorbell and beat ring for."""

import logging
import threading
from typing import Any

from celery import shared_task, signals
from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.models import Exists, OuterRef

from skill import attempts, counts, delivery, doorbell, enablement, misses, oauth, parked, power
from skill.models import Endpoint, Event, Miss
from skill.quoting import quote

log = logging.getLogger(__name__)
AT_ONCE = 1000
LOOKOUT_SECONDS = 10.0


@signals.worker_ready.connect
def _look_anyway(sender: Any, **kwargs: Any) -> None:
    """A delivery worker looks by itself now and then: with neither beat nor broker, or with a clock by which every ring has expired,
    reports come a little later, and that is all."""
    if "delivery" in sender.app.amqp.queues.consume_from:
        threading.Thread(target=_look_now_and_then, name="lookout", daemon=True).start()


def _look_now_and_then() -> None:
    while not delivery.is_stopping(LOOKOUT_SECONDS):
        deliver()
        connections.close_all()


@signals.worker_shutting_down.connect
def _stop_soon(**kwargs: Any) -> None:
    delivery.stop_soon()


@signals.worker_shutdown.connect
def _hear_out(**kwargs: Any) -> None:
    delivery.wait_for_the_end()


@shared_task(name="skill.deliver")
def deliver() -> None:
    """One slice; if more is due, ring again, so that other queues of this worker get their turn. A database that is out of reach is
    one line in the log: the next knock tries again."""
    try:
        power.give_up()
        more = delivery.deliver()
    except (OperationalError, InterfaceError) as error:
        log.error("delivery stopped, the database does not answer: %s", quote(error, 200))
        return
    if more:
        doorbell.ring()


@shared_task(name="skill.notice_misses")
def notice_misses() -> None:
    """Note whose day ended without a report; a late report notes it too, but who is never reported again is found here."""
    if missed := misses.notice_all():
        log.warning("%d endpoints were not reported within 24 hours; see Missed reports in the admin", missed)


@shared_task(name="skill.tidy")
def tidy() -> None:
    """Delete what nobody looks at any more: tokens long expired, events long told, endpoints long forgotten. Parked events stay."""
    oauth.forget_expired()
    parked.forget_told()
    misses.forget_old()
    counts.fold()
    attempts.forget_old()
    _forget_endpoints()


@shared_task(name="skill.disable_due")
def disable_due() -> None:
    """Disable the skill at Amazon for customers who unlinked on our pages."""
    enablement.disable_due()


@shared_task(name="skill.follow_linking")
def follow_linking() -> None:
    """Note the first report of each new link, for the linking doctor."""
    attempts.follow_reports()


@transaction.atomic
def _forget_endpoints() -> None:
    """Locked before they are deleted: one that is wanted again meanwhile stays."""
    told, missed = Event.objects.filter(endpoint=OuterRef("pk")), Miss.objects.filter(endpoint=OuterRef("pk"))
    gone = Endpoint.objects.select_for_update(skip_locked=True).filter(wanted=False, due_at__isnull=True)
    gone = gone.filter(~Exists(told), ~Exists(missed))
    ids = list(gone.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    Endpoint.objects.filter(pk__in=ids).delete()
