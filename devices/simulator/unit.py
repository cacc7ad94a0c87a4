"""One simulated coffee machine: its hopper, its memory, its clock. Time and chance are arguments; nothing is sent here.

What it measures goes to its memory first and stays there until the portal has answered for it, as the firmware of a
good device does it. ``said`` is the truth that the portal is measured against: everything it ever wrote to its memory.
"""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from devices.simulator.scenarios import Scenario

BEANS, CUPS = "beans", "cups"
LARGEST_DRIFT = 240.0  # seconds; beyond five minutes ahead the portal takes its own time instead


class Key(NamedTuple):
    """By what the portal knows a reading of one unit."""

    slot: str
    epoch: int
    sequence: int


class Fact(NamedTuple):
    """What was measured, and when by the unit's clock (None: it has none)."""

    value: float
    measured_at: datetime | None


@dataclass
class Unit:
    """``wakes`` is the simulated time of its next use; ``online_at`` until when it is cut off."""

    serial: str
    key: str
    scenario: Scenario
    chance: random.Random
    wakes: datetime
    online_at: datetime
    level: float = 100.0
    epoch: int = 0
    sequences: dict[str, int] = field(default_factory=lambda: {BEANS: 0, CUPS: 0})
    drift: float = 0.0
    has_clock: bool = True
    said: dict[Key, Fact] = field(default_factory=dict)
    waiting: list[Key] = field(default_factory=list)
    born: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.born = self.wakes
        self.drift = self.chance.uniform(-1, 1) * self.scenario.drift
        self.has_clock = self.chance.random() >= self.scenario.clockless
        self._brew_next(self.wakes)

    def live(self, now: datetime) -> None:
        """What happens at this moment: a cup or a refill is measured; the network may go."""
        if self.level < self.scenario.refill_below and self.chance.random() < 0.3:
            self.level = 100.0
        cups = min(1 + (self.chance.random() < 0.2), round(self.level * self.scenario.cups_per_hopper / 100))
        if cups:
            self.level = max(round(self.level - cups * 100 / self.scenario.cups_per_hopper, 1), 0.0)
            self._say(CUPS, cups, now)
        else:
            self.level = 100.0
        self._say(BEANS, self.level, now)
        self._brew_next(now)

    def wants_reset(self, since: timedelta) -> bool:
        """Whether it lost its memory in this time. Only when nothing waits in it: what was never sent was never said."""
        return not self.waiting and self._happens(self.scenario.reset_a_day, since)

    def reset(self, epoch: int) -> None:
        """Begin to count anew, in this epoch."""
        self.epoch, self.sequences = epoch, {BEANS: 0, CUPS: 0}

    def upload(self, most: int) -> list[Key]:
        """The readings to send next; now and then in any order, and with an old one among them."""
        keys = self.waiting[:most]
        if self.chance.random() < self.scenario.shuffled:
            self.chance.shuffle(keys)
        if keys and self.chance.random() < self.scenario.old_news:
            keys.insert(0, self.chance.choice(list(self.said)))
        return keys[:most]

    def document(self, key: Key) -> dict[str, Any]:
        """One reading as it goes over the wire; an old one that is sent once more claims another time."""
        fact = self.said[key]
        body: dict[str, Any] = {"slot": key.slot, "sequence": key.sequence, "value": fact.value}
        if key.epoch:
            body["epoch"] = key.epoch
        if fact.measured_at:
            again = timedelta(0) if key in self.waiting else timedelta(hours=-1)
            body["measured_at"] = (fact.measured_at + again).isoformat()
        return body

    def answered(self, keys: list[Key]) -> None:
        """The portal has these; they may be forgotten."""
        done = set(keys)
        self.waiting = [key for key in self.waiting if key not in done]

    def _say(self, slot: str, value: float, now: datetime) -> None:
        key = Key(slot, self.epoch, self.sequences[slot])
        self.sequences[slot] += 1
        self.said[key] = Fact(value, self._clock(now) if self.has_clock else None)
        self.waiting.append(key)

    def _clock(self, now: datetime) -> datetime:
        wrong = self.drift * (now - self.born) / timedelta(days=1)
        return now + timedelta(seconds=max(min(wrong, LARGEST_DRIFT), -LARGEST_DRIFT))

    def _brew_next(self, now: datetime) -> None:
        """The next use, hour by hour; and whether the network goes in between."""
        at = now
        while True:
            hours = self.scenario.weekend if at.weekday() >= 5 else self.scenario.weekday
            rest = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1) - at
            if rate := hours[at.hour]:
                wait = timedelta(hours=self.chance.expovariate(rate))
                if wait < rest:
                    break
            at += rest
        self.wakes = at + wait
        if self._happens(self.scenario.offline_a_day, self.wakes - now):
            hours_away = self.chance.expovariate(1 / self.scenario.offline_hours)
            self.online_at = max(self.online_at, self.wakes + timedelta(hours=hours_away))

    def _happens(self, a_day: float, since: timedelta) -> bool:
        return self.chance.random() < a_day * (since / timedelta(days=1))
