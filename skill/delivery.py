"""The delivery engine: claim → talk → settle, in slices. What is said stands in speech.py, what there is to say in jobs.py, the
statements in claims.py.

Each region has a lane of its own: a window of endpoints in flight, refilled when half is free, and connections of its own, so
that neither one request that never answers nor a region that is down holds up the rest. Database work runs in one thread, the
wire in one event loop that lives as long as the process, so that connections to Amazon outlive slices.
"""

import asyncio
import atexit
import contextlib
import functools
import gc
import logging
import threading
import time
from collections import Counter
from typing import Any

import uvloop
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from skill import claims, counts, gateway, jobs, linking, pace
from skill.claims import Outcome
from skill.connections import Connections
from skill.database import Database
from skill.journal import journal, note_outcome
from skill.line import ASIDE_PER_PLACE, Line, Places, Tally
from skill.models import REGIONS
from skill.speech import tell

log = logging.getLogger(__name__)
SLICE_SECONDS = 30.0
TICK_SECONDS = 0.2
SETTLE_AT = 500
LINGER_SECONDS = 1.5
SHORTEST_NAP = 0.05  # between two looks at a region that may not be talked to, however many come due
WINDOW_PER_CONNECTION = 8


def deliver(seconds: float = SLICE_SECONDS) -> bool:
    """Deliver what is due for at most `seconds` (plus the answers still out). True if more is due than was done.

    Safe to run in as many processes as one likes; within one process the second call finds the first at work and returns. Raises
    nothing about single endpoints; a lost database ends the slice, and what was claimed comes free when its lease ends.
    """
    if not _one_at_a_time.acquire(blocking=False):
        return False
    try:
        return bool(_runner().run(_Slice(seconds).run()))
    finally:
        _one_at_a_time.release()


def stop_soon() -> None:
    """This process is asked to end: claim nothing more, hear out what was said, settle it."""
    _stopping.set()


def is_stopping(within: float = 0.0) -> bool:
    """Was this process asked to end, or will it be within so many seconds? Waits for it."""
    return _stopping.wait(within)


def wait_for_the_end() -> None:
    """After stop_soon: until what another thread of this process is saying is heard out and settled."""
    if _one_at_a_time.acquire(timeout=claims.LEASE_SECONDS):
        _one_at_a_time.release()


class _Lane:
    """One region's endpoints in flight."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.places = Places(settings.DELIVERY_CONNECTIONS)
        self.window = settings.DELIVERY_CONNECTIONS * WINDOW_PER_CONNECTION
        self.in_flight = 0
        self.tally = Tally()
        self.more = False  # did the last look find something?
        self.is_held_up = False  # or did the door allow none?
        self.look_at = (
            0.0  # monotonic; where nothing was found, others at work are not held up by looking again at once
        )

    def room(self) -> int:
        """How many more may be claimed; none until half of the window is free."""
        room = self.window - self.in_flight
        return room if room >= self.window / 2 else 0

    def is_to_be_asked(self, at_rest: bool) -> bool:
        return self.room() > 0 and (at_rest or time.monotonic() >= self.look_at)


class _Slice:
    def __init__(self, seconds: float) -> None:
        self.ends_at = time.monotonic() + seconds
        self.lanes = [_Lane(region) for region, _ in REGIONS]
        self.renewals = Places(settings.DELIVERY_CONNECTIONS)
        self.talks: dict[asyncio.Task[list[Outcome]], tuple[_Lane, int]] = {}
        self.outcomes: list[Outcome] = []
        self.settled_at = time.monotonic()
        self.news = asyncio.Event()
        self.lost: Exception | None = None  # the database

    async def run(self) -> bool:
        runner = _runner()
        self.http, self.db = runner.http, runner.db
        try:
            await self._work()
            return any(lane.more for lane in self.lanes)
        finally:
            await self._clean_up()

    async def _work(self) -> None:
        while True:
            found = await self._refill()
            await self._collect()
            await self._settle(force=not self.talks)
            if self.talks:
                continue
            if self._is_over() or not (found or await self._linger()):
                return

    async def _clean_up(self) -> None:
        """Whatever ended the slice: nothing goes on talking, and what was answered is settled if it can be."""
        talks = list(self.talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        try:
            await self.db.finish()
            await self._settle(force=True)
            await self.db(linking.finish_closing)
        finally:
            await self.db(_keep_or_close)
            journal.write_when_due()

    async def _linger(self) -> bool:
        """Wait for what comes due, or may be said, within the next second or so, rather than leave it to the next sweep."""
        waits = [await self.db(claims.next_due_in)]
        waits += [await self.db(pace.next_turn_in, lane.region) for lane in self.lanes if lane.is_held_up]
        wait = min((seconds for seconds in waits if seconds is not None), default=None)
        if wait is None or wait > LINGER_SECONDS:
            return False
        await asyncio.sleep(max(wait, SHORTEST_NAP))
        return True

    def _is_over(self) -> bool:
        return time.monotonic() >= self.ends_at or _stopping.is_set()

    async def _refill(self) -> bool:
        """Claim for every lane that has room and something due. False if none was found to have, or to be having, something to do."""
        if self._is_over():
            return False
        at_rest = not self.talks
        asked = [lane for lane in self.lanes if lane.is_to_be_asked(at_rest)]
        due = await self.db(claims.due_regions) if asked else []
        found = [await self._fill(lane, lane.region in due) for lane in asked]
        return any(found) or len(asked) < len(self.lanes)

    async def _fill(self, lane: _Lane, is_due: bool) -> bool:
        start_by = time.monotonic() + claims.LEASE_SECONDS - gateway.TIMEOUT_SECONDS - 5
        claimed = 0
        found = await self.db(_claim, lane.region, lane.room()) if is_due else {}
        for credentials, work in (found or {}).values():
            line = Line(credentials, self.http, self.db, lane.places, self.renewals, start_by, lane.tally)
            talk = asyncio.create_task(tell(line, work))
            talk.add_done_callback(self._ended)
            self.talks[talk] = lane, len(work)
            claimed += len(work)
        lane.in_flight += claimed
        lane.more, lane.is_held_up = claimed > 0, found is None
        lane.look_at = 0.0 if lane.more else time.monotonic() + TICK_SECONDS
        return lane.more

    def _ended(self, talk: "asyncio.Task[list[Outcome]]") -> None:
        """Noted as it comes: looking through a thousand tasks for the few that are done would cost more than the talks."""
        lane, size = self.talks.pop(talk)
        lane.in_flight -= size
        if talk.cancelled():
            return
        if (error := talk.exception()) is None:
            self.outcomes.extend(talk.result())
        elif isinstance(error, OperationalError | InterfaceError):
            self.lost = error
        else:  # the leases of these endpoints end by themselves
            journal.trouble("a talk broke off", type(error).__name__, error)
        if self.lost or not self.talks or len(self.outcomes) >= SETTLE_AT or lane.is_to_be_asked(False):
            self.news.set()

    async def _collect(self) -> None:
        """Wait until there is something to do: to settle, or room to fill; for one tick at most."""
        if self.talks:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), TICK_SECONDS)
        self.news.clear()
        if self.lost:
            raise self.lost

    async def _settle(self, force: bool) -> None:
        """Every 200 ms, or 500 outcomes, or when nothing is out any more."""
        if not (force or len(self.outcomes) >= SETTLE_AT or time.monotonic() - self.settled_at >= TICK_SECONDS):
            return
        outcomes, self.outcomes = self.outcomes, []
        tallies = {lane.region: lane.tally.take() for lane in self.lanes if lane.tally.any()}
        self.settled_at = time.monotonic()
        if outcomes or tallies:
            shut = await self.db(_settle, outcomes, tallies)
            for lane in self.lanes:
                if lane.region in shut:
                    lane.tally.shut_at = time.monotonic()
        for outcome in outcomes:
            note_outcome(outcome.job.region, outcome.code, outcome.job.endpoint_id, outcome.text)
        journal.write_when_due()


def _keep_or_close() -> None:
    """A connection on which anything failed may be what broke. Another is kept, as Django keeps one from request to request: a new one
    costs the database more than a quiet slice."""
    if connection.errors_occurred:
        connection.close()
    close_old_connections()


def _claim(region: str, room: int) -> dict[int, Any] | None:
    """As many as there is room for and the door allows, one request for each; the siblings that come with them, the next ones wait for.
    None if it allows none."""
    if (taken := pace.take(region, room)) == 0:
        return None
    claimed = claims.claim(region, taken)
    pace.give_back(region, taken - len(claimed))
    return jobs.load(claimed) if claimed else {}


def _settle(outcomes: list[Outcome], tallies: dict[str, Tally]) -> set[str]:
    """The regions whose breaker opened, or stays open."""
    settled = _settle_all_that_can_be(outcomes)
    if settled < len(outcomes):
        log.warning("overran the lease of %d endpoints; others speak for them now", len(outcomes) - settled)
    shut = {region for region, tally in tallies.items() if not _learn(region, tally)}
    _pay(Counter(outcome.job.region for outcome in outcomes), tallies)
    counts.add(row for region, tally in tallies.items() for row in tally.count.rows(region))
    return shut


def _learn(region: str, tally: Tally) -> bool:
    return pace.learn(
        region, answered=tally.answered, throttled=tally.throttled, failed=tally.failed, trouble="no answer or 5xx"
    )


def _pay(settled: Counter[str], tallies: dict[str, Tally]) -> None:
    """Each endpoint was claimed for one request; there may have been fifty, or none."""
    for region in settled.keys() | tallies.keys():
        requests = tallies[region].requests if region in tallies else 0
        pace.give_back(region, settled[region] - requests)


def _settle_all_that_can_be(outcomes: list[Outcome]) -> int:
    """All in one statement; if the database refuses that because of one of them, one by one, and only that one is left to its lease."""
    try:
        return claims.settle(outcomes)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(outcomes) > 1:
            return sum(_settle_all_that_can_be([outcome]) for outcome in outcomes)
        log.error("endpoint %s cannot be settled", outcomes[0].job.endpoint_id, exc_info=error)
        return 0


class _Runner:
    """This process's event loop, HTTP session and database thread. Made after the fork, kept for the life of the process."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.db = Database()
        # So many to each door, so that one that hangs leaves the others theirs; and room for who stands aside.
        self.http = Connections(settings.DELIVERY_CONNECTIONS * (1 + ASIDE_PER_PLACE))
        gc.freeze()  # what is loaded by now stays: looking through it again and again cost a third of the event loop's time
        atexit.register(self.close)

    def close(self) -> None:
        journal.write_when_due(now=True)
        self.http.close()
        self.loop.close()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)


_one_at_a_time = threading.Lock()
_stopping = threading.Event()


@functools.cache
def _runner() -> _Runner:
    return _Runner()
