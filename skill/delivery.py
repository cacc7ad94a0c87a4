"""The delivery engine: claim → talk → settle, in slices. What is said stands in speech.py, the statements in claims.py.

A slice keeps a window of endpoints in flight and refills it when half is free, so that one request that never answers does not
hold up the rest. Database work runs in one thread of its own, the wire in one event loop that lives as long as the process, so
that connections to Amazon outlive slices.
"""

import asyncio
import atexit
import functools
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import uvloop
from django.conf import settings
from django.db import connections

from skill import claims, gateway, linking, pace
from skill.claims import Outcome
from skill.models import REGIONS
from skill.speech import Line, Tally, tell

log = logging.getLogger(__name__)
SLICE_SECONDS = 30.0
TICK_SECONDS = 0.2
SETTLE_AT = 500
LINGER_SECONDS = 1.5
WINDOW_PER_CONNECTION = 4


def deliver(seconds: float = SLICE_SECONDS) -> bool:
    """Deliver what is due for at most `seconds` (plus the answers still out). True if more is due than was done.

    Safe to run in as many processes as one likes. Raises nothing about single endpoints; a lost database ends the slice, and what
    was claimed comes free when its lease ends.
    """
    with _one_at_a_time:
        return _runner().run(_Slice(seconds).run())


class _Slice:
    def __init__(self, seconds: float) -> None:
        self.ends_at = time.monotonic() + seconds
        self.window = settings.DELIVERY_CONNECTIONS * WINDOW_PER_CONNECTION
        self.talks: dict[asyncio.Task[list[Outcome]], int] = {}
        self.outcomes: list[Outcome] = []
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self.counts: dict[str, int] = defaultdict(int)
        self.settled_at = time.monotonic()

    async def run(self) -> bool:
        runner = _runner()
        self.http, self.db = runner.http(), runner.db
        self.slots = asyncio.Semaphore(settings.DELIVERY_CONNECTIONS)
        try:
            while True:
                claimed = await self._refill()
                await self._collect()
                await self._settle(force=not self.talks)
                if not self.talks and self._is_over():
                    return bool(claimed)
                if not self.talks and not claimed and not await self._linger():
                    return False
        finally:
            for talk in self.talks:
                talk.cancel()
            await self.db(linking.finish_closing)
            await self.db(connections.close_all)
            self._log()

    async def _linger(self) -> bool:
        """Wait for what comes due within the next second or so, rather than leave it to the next sweep."""
        wait = await self.db(claims.next_due_in)
        if wait is None or wait > LINGER_SECONDS:
            return False
        await asyncio.sleep(wait)
        return True

    def _is_over(self) -> bool:
        return time.monotonic() >= self.ends_at

    async def _refill(self) -> int:
        """Claim when at least half of the window is free; how many endpoints it was."""
        room = self.window - sum(self.talks.values())
        if self._is_over() or room < self.window / 2:
            return 0
        claimed = 0
        for region, _ in REGIONS:
            start_by = time.monotonic() + claims.LEASE_SECONDS - gateway.TIMEOUT_SECONDS - 5
            for credentials, jobs in (await self.db(_claim, region, room // len(REGIONS))).values():
                line = Line(credentials, self.http, self.db, self.slots, start_by, self.tallies[region])
                self.talks[asyncio.create_task(tell(line, jobs))] = len(jobs)
                claimed += len(jobs)
        return claimed

    async def _collect(self) -> None:
        if not self.talks:
            return
        done, _ = await asyncio.wait(self.talks, timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for talk in done:
            del self.talks[talk]
            self.outcomes.extend(talk.result())

    async def _settle(self, force: bool) -> None:
        """Every 200 ms, or 500 outcomes, or when nothing is out any more."""
        if not (force or len(self.outcomes) >= SETTLE_AT or time.monotonic() - self.settled_at >= TICK_SECONDS):
            return
        outcomes, self.outcomes = self.outcomes, []
        tallies, self.tallies = self.tallies, defaultdict(Tally)
        self.settled_at = time.monotonic()
        await self.db(_settle, outcomes, tallies)
        for outcome in outcomes:
            self.counts[outcome.code or ("reported" if outcome.reported else "done")] += 1

    def _log(self) -> None:
        if self.counts:
            log.info("delivered %s", " ".join(f"{name}={count}" for name, count in sorted(self.counts.items())))


def _claim(region: str, room: int) -> dict[int, Any]:
    allowed = min(room, pace.allowance(region))
    claimed = claims.claim(region, allowed) if allowed > 0 else []
    if not claimed:
        return {}
    pace.spend(region, len(claimed))
    return claims.load(claimed)


def _settle(outcomes: list[Outcome], tallies: dict[str, Tally]) -> None:
    settled = claims.settle(outcomes)
    if settled < len(outcomes):
        log.warning("overran the lease of %d endpoints; others speak for them now", len(outcomes) - settled)
    for region, tally in tallies.items():
        pace.learn(
            region, answered=tally.answered, throttled=tally.throttled, failed=tally.failed, trouble="no answer or 5xx"
        )


class _Runner:
    """This process's event loop, HTTP session and database thread. Made after the fork, kept for the life of the process."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="delivery-database")
        self.session: aiohttp.ClientSession | None = None

        atexit.register(self.close)

    def close(self) -> None:
        if self.session is not None:
            self.run(self.session.close())
        self.loop.close()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def http(self) -> aiohttp.ClientSession:
        if self.session is None:
            connector = aiohttp.TCPConnector(limit=settings.DELIVERY_CONNECTIONS, keepalive_timeout=60)
            self.session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self.session

    async def db(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await self.loop.run_in_executor(self.thread, functools.partial(function, *arguments))


_one_at_a_time = threading.Lock()


@functools.cache
def _runner() -> _Runner:
    return _Runner()
