"""Rings the delivery worker after commit. Nothing depends on it: a sweep looks anyway, so a lost ring costs seconds, never work.

The broker is spoken to by a thread of its own: whoever rings never waits, not even for a broker that does not answer at all.
"""

import logging
import os
import threading
import time

from celery import current_app
from django.db import transaction

log = logging.getLogger(__name__)
QUIET = 0.1  # seconds between two rings of one process; a burst becomes one ring at its start and one after it
EXPIRES = 10

_lock = threading.Lock()
_asked = threading.Event()
_ringer: threading.Thread | None = None


def ring() -> None:
    """Ask for a delivery once this transaction is committed (at once, outside of one). Never raises, never waits for the broker."""
    transaction.on_commit(_ask, robust=True)


def _ask() -> None:
    global _ringer
    _asked.set()
    with _lock:
        if _ringer is None:
            _ringer = threading.Thread(target=_ring_when_asked, name="doorbell", daemon=True)
            _ringer.start()


def _ring_when_asked() -> None:
    """What is asked while it rings or pauses is one more ring."""
    while True:
        _asked.wait()
        _asked.clear()
        _send()
        time.sleep(QUIET)


def _send() -> None:
    try:
        current_app.send_task("skill.deliver", queue="delivery", expires=EXPIRES, ignore_result=True, retry=False)
    except Exception as error:  # whatever the broker's library raises: the sweep will look
        log.warning("doorbell not heard (%s); the sweep will look", type(error).__name__)


def _forget() -> None:
    """A forked process has no ringer."""
    global _lock, _asked, _ringer
    _lock, _asked, _ringer = threading.Lock(), threading.Event(), None


os.register_at_fork(after_in_child=_forget)
