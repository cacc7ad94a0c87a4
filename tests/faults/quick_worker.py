"""The portal's Celery app for the short form: the same code, with leases and back-offs of seconds instead of minutes."""

import django

django.setup()

from portal.celery import app  # noqa: E402
from skill import claims, gateway, speech, tasks  # noqa: E402

claims.LEASE_SECONDS = 20
gateway.TIMEOUT_SECONDS = 8
tasks.LOOKOUT_SECONDS = 2.0
speech.LONGEST_BACK_OFF = speech.LONGEST_WITHOUT_TOKEN = 4.0
speech.SLOW.update(dict.fromkeys(speech.SLOW, 2.0))

__all__ = ["app"]
