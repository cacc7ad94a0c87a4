"""The simulated machines themselves: their habits, their memory, and that they give nothing up. The portal is the far side."""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from devices.simulator.doors import NoAnswer, TurnedAway
from devices.simulator.fleet import Fleet
from devices.simulator.scenarios import FAULTY, HOME, OFFICE, Scenario
from devices.simulator.unit import BEANS, CUPS, Unit

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)


class Portal:
    """Remembers what it was told; answers, or does not."""

    def __init__(self, silent: float = 0.0) -> None:
        self.held: Counter[tuple[Any, ...]] = Counter()
        self.silent, self.chance, self.uploads = silent, random.Random(1), 0

    async def tell(self, unit: Unit, readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.uploads += 1
        if self.chance.random() < self.silent / 2:
            raise NoAnswer("before it was heard")
        keys = [(unit.serial, said["slot"], said.get("epoch", 0), said["sequence"]) for said in readings]
        answers = [{"status": "already known" if self.held[key] else "recorded"} for key in keys]
        self.held.update(keys)
        if self.chance.random() < self.silent / 2:
            raise NoAnswer("after it was heard")
        return answers

    async def epoch_of(self, unit: Unit) -> int:
        return max((epoch for serial, _, epoch, _ in self.held if serial == unit.serial), default=-1)


def lived(scenario: Scenario, days: int = 7, units: int = 5, portal: Any = None, patience: float = 30) -> Fleet:
    made = [Unit(f"SIM-{n}", "key", scenario, random.Random(n), MONDAY, MONDAY) for n in range(units)]
    fleet = Fleet(made, portal or Portal(), MONDAY, MONDAY + timedelta(days=days), patience=patience)
    asyncio.run(fleet.run(lambda text: None))
    return fleet


def cups_by(fleet: Fleet, part: str) -> Counter[int]:
    """Cups by weekday or hour."""
    found: Counter[int] = Counter()
    for unit in fleet.units:
        for key, fact in unit.said.items():
            if key.slot == CUPS and fact.measured_at:
                at = fact.measured_at
                found[at.weekday() if part == "weekday" else at.hour] += int(fact.value)
    return found


def test_an_office_drinks_on_weekdays_and_a_home_every_day() -> None:
    office, home = cups_by(lived(OFFICE, 14), "weekday"), cups_by(lived(HOME, 14, 20), "weekday")
    assert office[5] + office[6] < sum(office.values()) / 20
    assert home[5] > home[0]
    assert set(home) == set(range(7))


def test_nobody_drinks_coffee_at_three_in_the_morning() -> None:
    assert not {0, 1, 2, 3, 4, 5} & set(cups_by(lived(HOME, 14), "hour"))


def test_the_beans_go_down_with_the_cups_and_up_with_a_refill() -> None:
    [unit] = lived(replace(HOME, offline_a_day=0), 30, 1).units
    levels = [fact.value for key, fact in unit.said.items() if key.slot == BEANS]
    assert all(0 <= level <= 100 for level in levels)
    refills = sum(later > earlier for earlier, later in pairwise(levels))
    assert 1 <= refills < len(levels) / 4


def test_the_same_seed_lives_the_same_life() -> None:
    assert [unit.said for unit in lived(FAULTY).units] == [unit.said for unit in lived(FAULTY).units]


@pytest.mark.parametrize("silent", [0.0, 0.3])
def test_whatever_happens_everything_that_was_said_arrives(silent: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.simulator.fleet.SHORTEST_PAUSE", 0.0)
    monkeypatch.setattr("devices.simulator.fleet.LONGEST_PAUSE", 0.0)
    portal = Portal(silent)
    fleet = lived(FAULTY, portal=portal)
    assert set(portal.held) == {(unit.serial, *key) for unit in fleet.units for key in unit.said}
    assert not any(unit.waiting for unit in fleet.units)
    assert max(portal.held.values()) > 1, "nothing was ever repeated"
    assert fleet.counts["resets"] > 0
    assert fleet.counts["unheard"] > 0


def test_who_was_away_brings_it_all_at_once() -> None:
    always_on = lived(replace(HOME, offline_a_day=0))
    often_away = lived(replace(HOME, offline_a_day=3, offline_hours=8))
    assert often_away.counts["uploads"] < always_on.counts["uploads"] / 2
    assert often_away.counts["recorded"] > always_on.counts["recorded"] / 2


def test_a_portal_that_never_answers_is_a_failure_and_not_an_end() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        lived(HOME, portal=Portal(silent=2.0), patience=0.2)
    assert raised.group_contains(NoAnswer)


def test_a_portal_that_refuses_is_told_in_the_summary() -> None:
    class Refusing(Portal):
        async def tell(self, unit: Unit, readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [{"status": "refused", "reason": "not today"} for _ in readings]

    fleet = lived(HOME, 1, 1, Refusing())
    assert "not today" in fleet.refusals[0]


def test_a_key_that_is_wrong_ends_the_run() -> None:
    class Closed(Portal):
        async def tell(self, unit: Unit, readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
            raise TurnedAway("401")

    with pytest.raises(ExceptionGroup) as raised:
        lived(HOME, portal=Closed())
    assert raised.group_contains(TurnedAway)


def test_a_clock_never_runs_further_ahead_than_the_portal_takes() -> None:
    fleet = lived(replace(FAULTY, drift=10_000.0, clockless=0.0), 3)
    for unit in fleet.units:
        assert all(
            fact.measured_at < fleet.end + timedelta(minutes=5) for fact in unit.said.values() if fact.measured_at
        )
