"""When will it be empty? From what a slot's days consumed to the day it runs out, with an honest spread.

Pure: no database, no Django; the clock is an argument. Where the days come from is DailyUse's matter, how a page says
it the template's.

The method. The last whole weeks (at most four) say how much a day consumes on average (m) and how much that varies (s).
After d more days the total lies around m d with the variance s² d (1 + d / n): the days to come vary, and the average
itself is known from n days only. The consumable runs out between the first day on which the upper bound of that total
reaches what is left and the first day on which the lower bound does; both bounds are the roots of one quadratic equation.
Four times of five it should end between them; tests/devices/test_forecast.py holds the claim against made-up households.
Refills need no care here: a rise is no consumption. A day without a reading consumed nothing (what was used shows on the
day it was next heard). Whole weeks, because a weekend is not a Tuesday.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from statistics import fmean

LOOK_BACK = timedelta(days=28)
WEEK = 7
FEWEST_DAYS_OF_USE = 3
SILENT = timedelta(days=7)  # what was left so long ago says little about today
FARTHEST = timedelta(days=365)
ONE_IN_TEN = 1.2815515655  # the normal distribution's: a tenth lies beyond it on each side


class Unknown(Enum):
    """Why there is no forecast."""

    TOO_LITTLE = "It has not been watched for a whole week yet."
    UNUSED = "It was hardly used in the last weeks."
    SILENT = "It has not been heard for a week."


@dataclass(frozen=True)
class Forecast:
    """The day it runs out: four times of five between ``earliest`` and ``latest``. None: more than a year from now."""

    earliest: date | None
    likely: date | None
    latest: date | None


def run_out(
    left: Decimal, measured_at: datetime, consumed: Mapping[date, Decimal], now: datetime
) -> Forecast | Unknown:
    """When ``left`` (measured then) will be used up, judging by what each day consumed; both in the slot's unit.

    ``consumed`` may have holes (nothing was used) and may hold more days than are looked at. The first day known and
    the day of the measurement are left out, because both may be half a day.
    """
    if now - measured_at > SILENT:
        return Unknown.SILENT
    days = _whole_weeks(consumed, measured_at.astimezone(UTC).date())
    if not days:
        return Unknown.TOO_LITTLE
    if sum(used > 0 for used in days) < FEWEST_DAYS_OF_USE:
        return Unknown.UNUSED
    early, likely, late = _days_until(float(left), days)
    return Forecast(*(_day(measured_at, ahead, now) for ahead in (early, likely, late)))


def _whole_weeks(consumed: Mapping[date, Decimal], today: date) -> list[float]:
    """What each of the last days consumed, in whole weeks up to yesterday; empty for less than one."""
    first = max(min(consumed, default=today) + timedelta(days=1), today - LOOK_BACK)
    whole = (today - first).days // WEEK * WEEK
    return [float(consumed.get(today - timedelta(days=ago), 0)) for ago in range(1, whole + 1)]


def _days_until(left: float, days: list[float]) -> tuple[float, float, float]:
    """After how many days it is empty: early, likely, late; late is infinite where the average may be nothing at all."""
    mean, many = fmean(days), len(days)
    variance = math.fsum((day - mean) ** 2 for day in days) / (many - 1)
    spread = variance * _quantile(many - 1) ** 2
    a, b, c = mean**2 - spread / many, 2 * mean * left + spread, left**2
    root = math.sqrt(max(b * b - 4 * a * c, 0))
    early = 2 * c / (b + root)  # the smaller root in the form that also holds for a = 0
    late = (b + root) / (2 * a) if a > 0 else math.inf
    return early, left / mean, late


def _quantile(freedom: int) -> float:
    """Student's, one in ten on each side, to the first order: a few days know their own variance badly."""
    return ONE_IN_TEN + (ONE_IN_TEN**3 + ONE_IN_TEN) / (4 * freedom)


def _day(measured_at: datetime, ahead: float, now: datetime) -> date | None:
    """The day of that moment, never before today."""
    if ahead > FARTHEST.days:
        return None
    return max(measured_at + timedelta(days=ahead), now).astimezone(UTC).date()
