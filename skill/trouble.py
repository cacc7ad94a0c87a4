"""What an error is about, and what is done: the link ends, the endpoint waits, or its bug is noted. The back-off.

About a single event or description the talk itself decides (speech.py).
"""

import random

from django.db import InterfaceError, OperationalError

from skill import gateway, linking, lwa, renewal
from skill.claims import Outcome
from skill.journal import journal
from skill.line import Line, NotStarted

LONGEST_BACK_OFF = 3600.0  # seconds
LONGEST_WITHOUT_TOKEN = 300.0  # Login with Amazon has a breaker of its own; when it is back, nobody waits for an hour
# By then the pauses are about that long; a gateway that is busy afterwards does not pay for more.
ATTEMPTS_WITHOUT_TOKEN = 7
SLOW = {
    gateway.NotPermitted: 60.0,
    gateway.SkillUnknown: 60.0,
    gateway.TokenRejected: 60.0,
    gateway.NotEnabledHere: 10.0,
    gateway.SkillDisabled: 30.0,
}  # seconds before the second attempt


class LinkEnded(Exception):
    """The grant was closed; its endpoints have lost their leases and there is nothing to settle."""


async def meet(line: Line, outcome: Outcome, error: Exception) -> None:
    """An error that is about the link or the door rather than about one event. Raises LinkEnded, and what says that the database
    is gone; anything else unexpected is a bug of ours about this endpoint, and stops only this endpoint."""
    match error:
        case NotStarted():
            outcome.again = outcome.given_back = True
        case renewal.RefreshElsewhere():
            outcome.again, outcome.given_back, outcome.delay = True, not outcome.reported, 2.0
        case renewal.GrantGone() | lwa.GrantRejected():
            raise LinkEnded from error
        case gateway.SkillDisabled() if line.credentials.settled:
            held = line.credentials
            await line.db(linking.close, held.grant_id, held.generation, f"Amazon: {error}"[:200])
            raise LinkEnded from error
        case gateway.GatewayError():
            put_off(outcome, error)
        case lwa.LwaError():
            outcome.code, outcome.text = type(error).__name__, str(error)[:300]
            outcome.again, outcome.failed, outcome.most_attempts = True, True, ATTEMPTS_WITHOUT_TOKEN
            outcome.delay = back_off(outcome.job.attempts, 2.0, LONGEST_WITHOUT_TOKEN)
        case OperationalError() | InterfaceError():
            raise error
        case _:
            _broken(outcome, error)


def _broken(outcome: Outcome, error: Exception) -> None:
    journal.trouble(f"{type(error).__name__} about an endpoint", outcome.job.endpoint_id, error)
    outcome.code, outcome.text = "OUR_BUG", f"{type(error).__name__}: {error}"
    outcome.again, outcome.failed = True, True
    outcome.delay = back_off(outcome.job.attempts, 60.0)


def put_off(outcome: Outcome, error: gateway.GatewayError, least: float = 0.0) -> None:
    """Amazon's code and text on the row, and another attempt after the back-off, `least` seconds at least."""
    outcome.code, outcome.text = error.code, error.text
    outcome.again, outcome.failed = True, True
    outcome.delay = max(least, back_off(outcome.job.attempts, SLOW.get(type(error), 1.0)))


def back_off(attempts: int, first: float, longest: float | None = None) -> float:
    """Seconds until the next attempt: doubling from `first`, up to `longest` (LONGEST_BACK_OFF), never less than Amazon's one second,
    jittered by a quarter either way."""
    most = LONGEST_BACK_OFF if longest is None else longest
    return max(1.0, min(first * 2.0 ** min(attempts, 20), most) * random.uniform(0.75, 1.25))  # noqa: S311
