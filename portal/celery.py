"""Celery: how the workers start, and the beat schedule. Beat only knocks; what is due stands in the database."""

import os
from typing import Any

from celery import Celery, signals
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from portal import folder_broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")


def _knock(task: str, seconds: float) -> dict[str, object]:
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds, 1)}}


def _app() -> Celery:
    folder_broker.install()
    app = Celery("portal")
    app.set_default()  # for every thread: whoever rings a doorbell means this app
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.autodiscover_tasks()
    app.conf.beat_schedule = {
        "deliver": _knock("skill.deliver", settings.DELIVERY_SWEEP),
        "process notifications": _knock("notifications.process", 10),
        "ask Smart Properties": _knock("notifications.operate", 5),
        "find the devices of orders": _knock("notifications.find_devices", 60),
        "compare topics with AWS": _knock("notifications.check_drift", 3600),
        "forget old messages": _knock("notifications.tidy", 3600),
        "delete accounts": _knock("portal.finish_leaving", 60),
        "alarms": _knock("portal.alarms", 60),
        "forget claim attempts": _knock("devices.forget_claim_attempts", 3600),
        "mark silent devices": _knock("devices.mark_silent", 60),
        "keep the history": _knock("devices.keep_history", 3600),
        "tell of publications": _knock("devices.tell_of_publications", 30),
        "talk back to things": _knock("devices.talk_back", 10),
        "forget old events": _knock("devices.forget_events", 3600),
        "notice missed reports": _knock("skill.notice_misses", 300),
        "disable skills": _knock("skill.disable_due", 5),
        "follow linking": _knock("skill.follow_linking", 30),
        "tidy": _knock("skill.tidy", 3600),
    }
    # Keeps no file: after a restart it counts anew. So no pause is longer than an hour, or a beat that is restarted daily never knocks.
    app.conf.beat_scheduler = "celery.beat:Scheduler"
    return app


try:
    app = _app()
except ImproperlyConfigured as error:
    raise SystemExit(str(error)) from None


@signals.worker_init.connect
@signals.beat_init.connect
def refuse_to_start(**kwargs: Any) -> None:
    """Django's checks do not run by themselves in workers. SystemExit: Celery swallows every other exception of a signal."""
    from portal import checks

    try:
        checks.refuse_to_start()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None
