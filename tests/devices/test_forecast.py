"""The day the beans run out: what is said, how sure it is, and when nothing is said."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from devices.forecast import Forecast, Unknown, run_out

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)  # a Saturday
TODAY = NOW.date()


def days(*used: float) -> dict[date, Decimal]:
    """What the last days consumed, yesterday last; the first one is the half day on which watching began."""
    return {TODAY - timedelta(days=len(used) - place): Decimal(str(use)) for place, use in enumerate(used)}


def ahead(when: date | None) -> int:
    assert when is not None
    return (when - TODAY).days


def test_what_is_used_evenly_runs_out_on_the_day() -> None:
    forecast = run_out(Decimal(50), NOW, days(0, *[5] * 14), NOW)
    assert forecast == Forecast(*[TODAY + timedelta(days=10)] * 3)


def test_the_more_it_varies_the_wider_the_spread() -> None:
    calm = run_out(Decimal(50), NOW, days(0, *[4, 6] * 14), NOW)
    wild = run_out(Decimal(50), NOW, days(0, *[0, 10] * 14), NOW)
    assert isinstance(calm, Forecast)
    assert isinstance(wild, Forecast)
    assert ahead(calm.likely) == ahead(wild.likely) == 10
    assert ahead(wild.earliest) < ahead(calm.earliest) <= 10 <= ahead(calm.latest) < ahead(wild.latest)


def test_the_shorter_it_was_watched_the_wider_the_spread() -> None:
    month = run_out(Decimal(50), NOW, days(0, *[3, 7, 5, 5, 4, 6, 5] * 4), NOW)
    week = run_out(Decimal(50), NOW, days(0, *[3, 7, 5, 5, 4, 6, 5]), NOW)
    assert isinstance(month, Forecast)
    assert isinstance(week, Forecast)
    assert ahead(week.latest) - ahead(week.earliest) > ahead(month.latest) - ahead(month.earliest)


def test_only_the_last_four_weeks_count() -> None:
    forecast = run_out(Decimal(50), NOW, days(*[90] * 60, *[5] * 28), NOW)
    assert isinstance(forecast, Forecast)
    assert ahead(forecast.likely) == 10


def test_whole_weeks_so_that_two_weekends_do_not_weigh_more_than_one() -> None:
    week = [10, 0, 0, 0, 0, 0, 4]  # Saturday to Friday
    both = [run_out(Decimal(20), NOW, days(0, *more, *week * 2), NOW) for more in ([], [0, 0, 4], [0, 0, 0, 0, 4])]
    assert both[0] == both[1] == both[2]


@pytest.mark.parametrize("used", [(), (5,), (0, 5, 5, 5, 5, 5, 5)])
def test_less_than_a_week_says_so(used: tuple[float, ...]) -> None:
    assert run_out(Decimal(50), NOW, days(*used), NOW) is Unknown.TOO_LITTLE


def test_what_is_hardly_used_says_so() -> None:
    assert run_out(Decimal(50), NOW, days(0, *[0] * 20, 5), NOW) is Unknown.UNUSED


def test_a_hole_is_a_day_without_use() -> None:
    assert run_out(Decimal(30), NOW, days(0, *[0, 6] * 14), NOW) == run_out(
        Decimal(30),
        NOW,
        {day: used for day, used in days(0, *[0, 6] * 14).items() if used or day < TODAY - timedelta(28)},
        NOW,
    )


def test_a_silent_machine_is_not_guessed_at() -> None:
    used = days(0, *[5] * 28)
    assert run_out(Decimal(50), NOW - timedelta(days=8), used, NOW) is Unknown.SILENT
    assert isinstance(run_out(Decimal(50), NOW - timedelta(days=6), used, NOW), Forecast)


def test_it_never_ran_out_in_the_past() -> None:
    forecast = run_out(Decimal(1), NOW - timedelta(days=5), days(0, *[5] * 28), NOW)
    assert forecast == Forecast(TODAY, TODAY, TODAY)


def test_more_than_a_year_is_not_a_date() -> None:
    forecast = run_out(Decimal(55), NOW, days(0, *[0, 0, 0, "0.1", 0, 0, "0.9"] * 4), NOW)
    assert isinstance(forecast, Forecast)
    assert forecast.earliest is not None
    assert forecast.likely is forecast.latest is None


@pytest.mark.parametrize("mood", ["steady", "weekends", "bursts"])
def test_four_times_of_five_it_ends_between_the_two_days(mood: str) -> None:
    """500 made-up households, each watched for four weeks and then lived through until its beans are gone."""
    chance = random.Random(20261121)
    within, widths = 0, []
    for _ in range(500):
        mean = chance.uniform(2, 12)
        history = days(0, *(_use(chance, mood, mean, TODAY - timedelta(days=28 - n)) for n in range(28)))
        left = chance.uniform(20, 100)
        forecast = run_out(Decimal(str(left)), NOW, history, NOW)
        assert isinstance(forecast, Forecast)
        day, rest = TODAY, left
        while rest > 0:
            rest -= _use(chance, mood, mean, day)
            day += timedelta(days=rest > 0)
        within += (forecast.earliest or date.max) <= day <= (forecast.latest or date.max)
        widths.append(((forecast.latest or date.max) - (forecast.earliest or TODAY)).days / max((day - TODAY).days, 1))
    assert 0.75 <= within / 500 <= 0.97
    assert sorted(widths)[250] < 1.2, "a spread as long as the time itself says nothing"


def _use(chance: random.Random, mood: str, mean: float, day: date) -> float:
    weekend = day.weekday() >= 5
    match mood:
        case "steady":
            return max(chance.gauss(mean, mean / 4), 0)
        case "weekends":
            return max(chance.gauss(mean * (2.2 if weekend else 0.5), mean / 4), 0)
        case _:
            return chance.expovariate(1 / mean)
