"""When the next daily report is due: on a grid of its own per customer, so that the load is flat over the day for ever.

Each customer has a phase in the period P (22 h). The next due time is the first instant phase + k·P that is more than a margin (an
hour, or a twenty-second part of a shortened P) ahead. So gaps stay under P + margin = 23 h, and an outage leaves no step behind.
Customers whose rows lie side by side are due in the same minute: after each checkpoint PostgreSQL logs a whole page when it is first
written to, and so it does that once for many reports.
All devices of a customer share the phase: one token refresh serves them.
"""

from django.conf import settings

TOGETHER = 32  # customers in a row, a second of a day apart
GOLDEN = (
    0x9E3779B97F4A7C15  # of 2**64: multiples of the golden section fall ever into the widest gap (Fibonacci hashing)
)


def phase(user_id: int) -> float:
    """Seconds into the period: a hash of the customer's neighbourhood, and the place in it."""
    period = float(settings.REPORT_PERIOD)
    neighbourhood, place = divmod(user_id, TOGETHER)
    return (neighbourhood * GOLDEN % 2**64 / 2**64 * period + place * period / 79200) % period


def margin() -> float:
    return min(3600.0, settings.REPORT_PERIOD / 22)


def next_due(now: float, phase: float, period: float, margin: float) -> float:
    """The same rule on plain seconds; SQL below must agree (a test compares them)."""
    steps = (now + margin - phase) // period + 1
    return phase + steps * period


# %(period)s, %(margin)s: seconds; {phase}: an expression in seconds.
NEXT_DUE = "to_timestamp({phase} + (floor((extract(epoch FROM now())::float + %(margin)s - {phase}) / %(period)s) + 1) * %(period)s)"
