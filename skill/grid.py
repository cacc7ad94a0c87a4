"""When the next daily report is due: on a grid of its own per customer, so that the load is flat over the day for ever.

Each customer has a phase in the period P (22 h). The next due time is the first instant phase + k·P that is more than a margin (an
hour, or a twenty-second part of a shortened P) ahead. So gaps stay under P + margin = 23 h, and an outage leaves no step behind.
All devices of a customer share the phase: one token refresh serves them.
"""

import zlib

from django.conf import settings


def phase(user_id: int) -> float:
    """Seconds into the period, from a hash of the customer."""
    return zlib.crc32(f"customer {user_id}".encode()) / 2**32 * float(settings.REPORT_PERIOD)


def margin() -> float:
    return min(3600.0, settings.REPORT_PERIOD / 22)


def next_due(now: float, phase: float, period: float, margin: float) -> float:
    """The same rule on plain seconds; SQL below must agree (a test compares them)."""
    steps = (now + margin - phase) // period + 1
    return phase + steps * period


# %(period)s, %(margin)s: seconds; {phase}: an expression in seconds.
NEXT_DUE = "to_timestamp({phase} + (floor((extract(epoch FROM now())::float + %(margin)s - {phase}) / %(period)s) + 1) * %(period)s)"
