"""How fast each of Amazon's doors may be knocked at, counted in requests: a token bucket and a breaker per door, in rows that all
workers share.

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


def take(name: str, wanted: int) -> int:
    """How many of the `wanted` requests may start now through the door NA, EU, FE or LWA; they are out of the bucket, so that many
    workers who come at once (after an outage, all of them do) start no more together than one. 0 while the breaker is open, 1 for a probe.
    """
    params = {"name": name, "most": settings.GATEWAY_RATE, "limit": FAILURES_TO_OPEN, "probe": PROBE_SECONDS}
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, params | {"wanted": wanted})
        if (row := cursor.fetchone()) is None:
            cursor.execute(_FIRST, params)
            cursor.execute(_TAKE, params | {"wanted": wanted})
            row = cursor.fetchone()
    closed, probing, taken = row
    if closed:
        return int(taken)
    return 1 if probing else 0


def next_turn_in(name: str) -> float | None:
    """Seconds until the bucket holds a request; None while the breaker is open."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_TURN, {"name": name, "limit": FAILURES_TO_OPEN})
        row = cursor.fetchone()
    return row[0] if row else None


def give_back(name: str, requests: int) -> None:
    """What was taken and not started; a negative number is what was started besides, and the next ones wait for it."""
    if requests:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE skill_gateway SET allowance = allowance + %s WHERE name = %s", [requests, name])


def is_answered(name: str) -> bool:
    """Was the last that was learned of this door an answer?"""
    with connection.cursor() as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT FROM skill_gateway WHERE name = %s AND failures > 0)", [name])
        return bool(cursor.fetchone()[0])


def learn(name: str, *, answered: int = 0, throttled: int = 0, failed: int = 0, trouble: str = "") -> bool:
    """What the last requests met: `answered` (any answer that is not our or Amazon's overload), 429s, and no answer or 5xx. False if
    the breaker is open by that."""
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
            return all(failures < FAILURES_TO_OPEN for (failures,) in cursor.fetchall())
    return True


def open_at_once(name: str, seconds: float, trouble: str) -> None:
    """Open the breaker without waiting for more failures: it cannot become better by trying (our secret is wrong)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO skill_gateway AS g (name, rate, allowance, failures, trouble, open_until)"
            " VALUES (%s, %s, 0, %s, %s, now() + make_interval(secs => %s)) ON CONFLICT (name) DO UPDATE SET"
            " failures = greatest(g.failures, excluded.failures), trouble = excluded.trouble, open_until = excluded.open_until",
            [name, settings.GATEWAY_RATE, FAILURES_TO_OPEN, trouble[:300], seconds],
        )


_FIRST = """
INSERT INTO skill_gateway (name, rate, allowance, failures, trouble) VALUES (%(name)s, %(most)s, %(most)s, 0, '') ON CONFLICT DO NOTHING
"""
# An open breaker whose time has come is probed by whoever moves its time on first; the row lock decides who.
_TAKE = """
WITH door AS (SELECT *, extract(epoch FROM now() - refilled_at)::float AS passed FROM skill_gateway WHERE name = %(name)s FOR UPDATE),
filled AS (
  SELECT *, failures < %(limit)s AS closed, least(greatest(rate, 1), allowance + rate * passed) AS filled FROM door
), asked AS (
  SELECT *, CASE WHEN closed THEN least(%(wanted)s, greatest(0, floor(filled))) ELSE 0 END AS taken FROM filled
)
UPDATE skill_gateway AS g SET
  rate = least(%(most)s, asked.rate + %(most)s * 0.01 * least(asked.passed, 60)),
  allowance = asked.filled - asked.taken,
  refilled_at = now(),
  open_until = CASE WHEN NOT asked.closed AND asked.open_until <= now() THEN now() + make_interval(secs => %(probe)s)
                    ELSE asked.open_until END
FROM asked WHERE g.name = asked.name
RETURNING asked.closed, asked.open_until <= now(), asked.taken
"""
_NEXT_TURN = """
SELECT greatest(0, (1 - allowance) / rate - extract(epoch FROM now() - refilled_at))::float FROM skill_gateway
WHERE name = %(name)s AND failures < %(limit)s
"""
_SLOW_DOWN = """
UPDATE skill_gateway SET rate = greatest(1, rate / 2), allowance = least(allowance, 0), slowed_at = now()
WHERE name = %(name)s AND (slowed_at IS NULL OR slowed_at < now() - interval '1 second')
"""
_FAIL = """
UPDATE skill_gateway SET failures = failures + %(failed)s, trouble = %(trouble)s,
  open_until = CASE WHEN failures + %(failed)s >= %(limit)s THEN now() + make_interval(secs => %(probe)s) ELSE open_until END
WHERE name = %(name)s RETURNING failures
"""
