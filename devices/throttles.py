"""How much one unit, and one stranger, may ask of the device API.

Counted in this process's memory, not in the shared cache: a limit must not cost the database more than the request it
guards. So a limit holds for each web process by itself; it protects against a unit gone wild, it is no billing.
"""

import threading
import time
from collections import Counter

from django.conf import settings
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

REQUESTS_PER_MINUTE = 120  # of one unit; each may carry 1,000 readings
FAILURES_PER_MINUTE = 30  # from one address
MINUTE = 60

MOST_COUNTED = 50_000  # units and addresses; beyond it the minute begins anew, for memory is not a stranger's to fill

_lock = threading.Lock()
_counts: Counter[str] = Counter()
_minute = 0


class DeviceThrottle(BaseThrottle):
    """At most DEVICE_REQUESTS_PER_MINUTE requests of one unit within a minute of the clock."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        limit = getattr(settings, "DEVICE_REQUESTS_PER_MINUTE", REQUESTS_PER_MINUTE)
        return _count(f"device:{request.auth.pk}") <= limit

    def wait(self) -> float:
        return seconds_left()


def count_failure(request: Request) -> None:
    """Count one failed authentication from this address; raises Throttled when there were too many within the minute.

    The address is the connection's own: a forwarded address could be invented by the caller.
    """
    if _count(f"failures:{request.META.get('REMOTE_ADDR', '')}") > FAILURES_PER_MINUTE:
        raise Throttled(wait=seconds_left(), detail="Too many failed attempts from this address.")


def seconds_left() -> float:
    """Until the present minute is over."""
    return MINUTE - time.time() % MINUTE


def forget() -> None:
    """Begin again (for tests)."""
    with _lock:
        _counts.clear()


def _count(door: str) -> int:
    """How often this minute, this time counted. A cache of Django's costs five times as much, on every request."""
    global _minute
    with _lock:
        if (now := int(time.time() // MINUTE)) != _minute or len(_counts) > MOST_COUNTED:
            _minute = now
            _counts.clear()
        _counts[door] += 1
        return _counts[door]
