"""Many units at once: simulated time, uploads with all their trouble, and what there is to tell of them."""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from devices.simulator.doors import Answers, Door, NoAnswer
from devices.simulator.unit import Key, Unit

BATCH = 100  # readings in one upload
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between attempts
PROGRESS_EVERY = 2.0  # seconds


@dataclass
class Fleet:
    """``speed``: simulated seconds a second; 0: as fast as the portal answers. ``patience``: seconds without any answer
    to a unit until it gives up, which is a failure of the run."""

    units: list[Unit]
    door: Door | None
    start: datetime
    end: datetime
    speed: float = 0.0
    at_once: int = 32
    patience: float = 120.0
    counts: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)

    async def run(self, progress: Callable[[str], None]) -> None:
        """Live all lives to the end and until the portal has answered for every reading. Raises what a door raises."""
        self._began = time.monotonic()
        self._gate = asyncio.Semaphore(self.at_once)
        watcher = asyncio.create_task(self._watch(progress))
        try:
            async with asyncio.TaskGroup() as group:
                for unit in self.units:
                    group.create_task(self._live(unit))
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def progress(self) -> str:
        """One line for people."""
        said, waiting = sum(len(unit.said) for unit in self.units), sum(len(unit.waiting) for unit in self.units)
        slowest = min((unit.wakes for unit in self.units), default=self.end)
        day = min(slowest, self.end) - self.start
        rate, requests = (said - waiting) / max(self.seconds, 0.001), self.counts["uploads"] / max(self.seconds, 0.001)
        return (
            f"{self.seconds:5.0f} s  day {day / timedelta(days=1):4.1f} of {(self.end - self.start).days}  "
            f"{said} said, {said - waiting} answered for ({rate:.0f}/s in {requests:.0f} uploads/s), "
            f"{self.counts['no answer']} without an answer"
        )

    async def _watch(self, progress: Callable[[str], None]) -> None:
        while True:
            await asyncio.sleep(PROGRESS_EVERY)
            progress(self.progress())

    async def _live(self, unit: Unit) -> None:
        before = self.start
        while unit.wakes < self.end:
            now = unit.wakes
            await self._until(now)
            unit.live(now)
            if now >= unit.online_at and not self._is_past(unit.wakes):
                await self._upload(unit)
                if unit.wants_reset(now - before):
                    await self._reset(unit)
                before = now
        await self._upload(unit)

    async def _until(self, moment: datetime) -> None:
        if self.speed:
            await asyncio.sleep((moment - self.start).total_seconds() / self.speed - self.seconds)

    def _is_past(self, moment: datetime) -> bool:
        """Whether it happened while the unit was busy: what is measured meanwhile goes out together."""
        return bool(self.speed) and (moment - self.start).total_seconds() / self.speed < self.seconds

    async def _reset(self, unit: Unit) -> None:
        """It has lost its memory and asks the portal where it stood."""
        unit.reset(await self._insist(lambda: self.door.epoch_of(unit)) + 1)
        self.counts["resets"] += 1

    async def _upload(self, unit: Unit) -> None:
        """Until nothing waits. Whatever is not surely heard stays in memory and goes out again."""
        while unit.waiting:
            await self._insist(lambda: self._attempt(unit))

    async def _attempt(self, unit: Unit) -> int:
        trouble, keys = unit.scenario, unit.upload(BATCH)
        documents = [unit.document(key) for key in keys]
        if not keys:
            return 0  # all was answered for; only a repetition of it was not
        if unit.chance.random() < trouble.aborted:
            with contextlib.suppress(TimeoutError):
                self.counts["aborted"] += 1
                await asyncio.wait_for(self._tell(unit, documents), unit.chance.uniform(0, 0.03))
            return 0
        answers = await self._tell(unit, documents)
        if unit.chance.random() < trouble.unheard:
            self.counts["unheard"] += 1
            return 0
        self._note(unit, keys, answers)
        if unit.chance.random() < trouble.duplicate:
            self.counts["duplicates"] += 1
            self._count(await self._tell(unit, documents))
        return len(keys)

    async def _tell(self, unit: Unit, documents: list[dict[str, object]]) -> Answers:
        async with self._gate:
            self.counts["uploads"] += 1
            return await self.door.tell(unit, documents)

    def _note(self, unit: Unit, keys: list[Key], answers: Answers) -> None:
        self._count(answers)
        unit.answered(keys)
        self.refusals += [
            f"{unit.serial} {key}: {answer.get('reason')}"
            for key, answer in zip(keys, answers, strict=True)
            if answer["status"] == "refused"
        ]

    def _count(self, answers: Answers) -> None:
        self.counts.update(answer["status"] for answer in answers)

    async def _insist(self, attempt: Callable[[], Awaitable[int]]) -> int:
        """Try until there is an answer, with pauses that grow. Waiting for one's turn in a large fleet is no silence."""
        pause, end = SHORTEST_PAUSE, math.inf
        while True:
            try:
                return await attempt()
            except NoAnswer as silence:
                self.counts["no answer"] += 1
                end = min(end, time.monotonic() + self.patience)
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(max(pause, min(silence.wait, self.patience / 4)))
                pause = min(pause * 2, LONGEST_PAUSE)
