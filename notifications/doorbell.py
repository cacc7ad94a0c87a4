"""Rings the worker after commit, by task name. Nothing depends on it: beat sweeps what was not rung for."""

import logging
from threading import Lock, Timer

from celery import current_app
from django.db import transaction

log = logging.getLogger(__name__)

PAUSE = 0.2  # seconds; a burst of messages is one ring, and the broker never delays our answer to SNS
EXPIRES = 10  # seconds
_lock = Lock()
_waiting: Timer | None = None


def ring() -> None:
    """Have `notifications.process` look soon after the transaction commits. Never raises; many rings are one."""
    transaction.on_commit(_soon, robust=True)


def _soon() -> None:
    global _waiting
    with _lock:
        if _waiting is None:
            _waiting = Timer(PAUSE, _send)
            _waiting.daemon = True
            _waiting.start()


def _send() -> None:
    """The pause ends before sending, so that who rings meanwhile is heard by the next ring."""
    global _waiting
    with _lock:
        _waiting = None
    try:
        current_app.send_task("notifications.process", expires=EXPIRES, ignore_result=True, retry=False)
    except Exception:  # whatever is wrong with the broker, the sweep comes anyway
        log.warning("The doorbell did not ring; the sweep will find the work", exc_info=True)
