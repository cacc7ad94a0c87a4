"""Celery: how the workers start, and the beat schedule. Beat only knocks; what is due stands in the database."""

import os

from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("portal")
app.set_default()  # for every thread: whoever rings a doorbell means this app
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def _knock(task: str, seconds: float) -> dict[str, object]:
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds, 1)}}


app.conf.beat_schedule = {
    "deliver": _knock("skill.deliver", settings.DELIVERY_SWEEP),
    "process notifications": _knock("notifications.process", 10),
    "find the devices of orders": _knock("notifications.find_devices", 60),
    "compare topics with AWS": _knock("notifications.check_drift", 86400),
    "forget old messages": _knock("notifications.tidy", 3600),
    "alarms": _knock("portal.alarms", 60),
    "mark silent devices": _knock("devices.mark_silent", 60),
    "tidy": _knock("skill.tidy", 3600),
}
app.conf.beat_schedule_filename = str(settings.DATA_DIR / "beat-schedule")
