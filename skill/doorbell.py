"""Rings the delivery worker after commit. Nothing depends on it: a sweep looks anyway, so a lost ring costs seconds, never work."""

import logging
import threading
import time

from celery import current_app
from django.db import transaction

log = logging.getLogger(__name__)
QUIET = 0.1  # seconds between two rings of one process; a burst becomes one ring at its start and one after it
EXPIRES = 10

_lock = threading.Lock()
_last = 0.0
_timer: threading.Timer | None = None


def ring() -> None:
    """Ask for a delivery once this transaction is committed (at once, outside of one). Never raises, never waits for the broker."""
    transaction.on_commit(_coalesce, robust=True)


def _coalesce() -> None:
    global _last, _timer
    with _lock:
        wait = _last + QUIET - time.monotonic()
        if wait <= 0:
            _last = time.monotonic()
        elif _timer is not None:
            return
        else:
            _timer = threading.Timer(wait, _late)
            _timer.daemon = True
            _timer.start()
            return
    _send()


def _late() -> None:
    global _last, _timer
    with _lock:
        _last, _timer = time.monotonic(), None
    _send()


def _send() -> None:
    try:
        current_app.send_task("skill.deliver", queue="delivery", expires=EXPIRES, ignore_result=True, retry=False)
    except Exception as error:  # whatever the broker's library raises: the sweep will look
        log.warning("doorbell not heard (%s); the sweep will look", type(error).__name__)
