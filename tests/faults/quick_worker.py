"""The portal's Celery app for the short form: the same code, with leases and back-offs of seconds instead of minutes."""

import os
from pathlib import Path
from typing import Any

import django
from celery import signals

django.setup()

from portal.celery import app  # noqa: E402
from skill import claims, gateway, tasks, trouble  # noqa: E402

claims.LEASE_SECONDS = 20
gateway.TIMEOUT_SECONDS = 8
tasks.LOOKOUT_SECONDS = 2.0
trouble.LONGEST_BACK_OFF = trouble.LONGEST_WITHOUT_TOKEN = 4.0
trouble.SLOW.update(dict.fromkeys(trouble.SLOW, 2.0))


@signals.worker_ready.connect
def say_so(**kwargs: Any) -> None:
    """From now on it knows what SIGTERM means."""
    (Path(os.environ["DATA_DIR"]) / f"ready.{os.getpid()}").touch()


__all__ = ["app"]
