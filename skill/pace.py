"""How fast each of Amazon's doors may be knocked at: a token bucket and a breaker per door, in rows that all workers share.

The rate halves when Amazon throttles (at most once a second) and creeps back by a hundredth of the full rate each second. A few 429s
among many answers are no sign that we are too fast: halving for them would end at a standstill. Failures in a row open the
breaker; then one worker at a time may send a single probe, until one is answered.
"""

from django.conf import settings
from django.db import connection

FAILURES_TO_OPEN = 20
PROBE_SECONDS = 5
TOO_FAST = 0.25  # share of 429s among what was answered lately …
FEW = 5  # … which a few of them do not prove, unless nothing else is answered


def allowance(name: str) -> int:
    """How many requests may start now through the door NA, EU, FE or LWA. 0 while the breaker is open, 1 for a probe."""
    with connection.cursor() as cursor:
        cursor.execute(
            _REFILL, {"name": name, "most": settings.GATEWAY_RATE, "limit": FAILURES_TO_OPEN, "probe": PROBE_SECONDS}
        )
        row = cursor.fetchone()
        if row is None:
            cursor.execute(
                "INSERT INTO skill_gateway (name, rate, allowance, failures, trouble) VALUES (%s, %s, %s, 0, '') ON CONFLICT DO NOTHING",
                [name, settings.GATEWAY_RATE, settings.GATEWAY_RATE],
            )
            return int(settings.GATEWAY_RATE)
    closed, probing, allowed = row
    if closed:
        return max(0, int(allowed))
    return 1 if probing else 0


def spend(name: str, requests: int) -> None:
    """Take what was started out of the bucket; it may become negative, then the next ones wait."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE skill_gateway SET allowance = allowance - %s WHERE name = %s", [requests, name])


def learn(name: str, *, answered: int = 0, throttled: int = 0, failed: int = 0, trouble: str = "") -> None:
    """What the last requests met: `answered` (any answer that is not our or Amazon's overload), 429s, and no answer or 5xx."""
    with connection.cursor() as cursor:
        if throttled and (throttled >= max(FEW, TOO_FAST * (answered + throttled)) or not answered):
            cursor.execute(_SLOW_DOWN, {"name": name})
        if answered or throttled:
            cursor.execute(
                "UPDATE skill_gateway SET failures = 0, open_until = NULL, trouble = ''"
                " WHERE name = %s AND (failures > 0 OR open_until IS NOT NULL)",
                [name],
            )
        elif failed:
            cursor.execute(
                _FAIL,
                {
                    "name": name,
                    "failed": failed,
                    "limit": FAILURES_TO_OPEN,
                    "probe": PROBE_SECONDS,
                    "trouble": trouble[:300],
                },
            )


def open_at_once(name: str, seconds: float, trouble: str) -> None:
    """Open the breaker without waiting for more failures: it cannot become better by trying (our secret is wrong)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO skill_gateway AS g (name, rate, allowance, failures, trouble, open_until)"
            " VALUES (%s, %s, 0, %s, %s, now() + make_interval(secs => %s)) ON CONFLICT (name) DO UPDATE SET"
            " failures = greatest(g.failures, excluded.failures), trouble = excluded.trouble, open_until = excluded.open_until",
            [name, settings.GATEWAY_RATE, FAILURES_TO_OPEN, trouble[:300], seconds],
        )


# An open breaker whose time has come is probed by whoever moves its time on first; the row lock decides who.
_REFILL = """
WITH door AS (SELECT *, extract(epoch FROM now() - refilled_at)::float AS passed FROM skill_gateway WHERE name = %(name)s FOR UPDATE)
UPDATE skill_gateway AS g SET
  rate = least(%(most)s, door.rate + %(most)s * 0.01 * least(door.passed, 60)),
  allowance = least(greatest(door.rate, 1), door.allowance + door.rate * door.passed),
  refilled_at = now(),
  open_until = CASE WHEN door.failures >= %(limit)s AND door.open_until <= now() THEN now() + make_interval(secs => %(probe)s)
                    ELSE door.open_until END
FROM door WHERE g.name = door.name
RETURNING door.failures < %(limit)s, door.open_until <= now(), g.allowance
"""
_SLOW_DOWN = """
UPDATE skill_gateway SET rate = greatest(1, rate / 2), allowance = least(allowance, 0), slowed_at = now()
WHERE name = %(name)s AND (slowed_at IS NULL OR slowed_at < now() - interval '1 second')
"""
_FAIL = """
UPDATE skill_gateway SET failures = failures + %(failed)s, trouble = %(trouble)s,
  open_until = CASE WHEN failures + %(failed)s >= %(limit)s THEN now() + make_interval(secs => %(probe)s) ELSE open_until END
WHERE name = %(name)s
"""
