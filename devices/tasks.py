"""The registry's work that beat asks for."""

from celery import shared_task
from django.utils import timezone

from devices import catalogue, claiming, events, history, iot, presence


@shared_task(name="devices.mark_silent", ignore_result=True)
def mark_silent() -> int:
    """Ring presence.mark_silent; every minute is often enough. Repeating or losing one costs nothing."""
    return presence.mark_silent(timezone.now())


@shared_task(name="devices.keep_history", ignore_result=True)
def keep_history() -> dict[str, int]:
    """Ring history.keep; a few times a day would be plenty, for partitions are made months ahead. Repeating costs nothing."""
    return history.keep(timezone.now())


@shared_task(name="devices.tell_of_publications", ignore_result=True)
def tell_of_publications() -> int:
    """Ring catalogue.tell_waiting: it goes on where publishing a model ran out of time or died. Repeating costs nothing."""
    return catalogue.tell_waiting()


@shared_task(name="devices.forget_claim_attempts", ignore_result=True)
def forget_claim_attempts() -> int:
    """Ring claiming.forget_attempts; once a day would be often enough."""
    return claiming.forget_attempts()


@shared_task(name="devices.talk_back", ignore_result=True)
def talk_back() -> int:
    """Ring iot.talk_back, for things behind AWS IoT: after a wish, and every so often in case that ring was lost."""
    return iot.talk_back()


@shared_task(name="devices.forget_events", ignore_result=True)
def forget_events() -> int:
    """Ring events.forget; once a day would be often enough."""
    return events.forget(timezone.now())
