"""One grant's line to its event gateway: the token, refreshed when needed, the turn among all requests, the time that is left. What is
said on it stands in speech.py."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from skill import elsewhere, gateway, lwa, pace, renewal
from skill.alexa.messages import Json
from skill.connections import Connections
from skill.counts import ACCEPTED, RENEWED, Count
from skill.database import Database
from skill.renewal import Credentials

PATIENCE_SECONDS = 1.0
LOOK_SECONDS = 0.02  # between two looks at who has waited long enough, at least
ASIDE_PER_PLACE = 4


class NotStarted(Exception):
    """The lease would run out before an answer could come, or the door was shut meanwhile: given back."""


@dataclass
class Tally:
    """What the doors answered, for pace and for the boards."""

    answered: int = 0
    throttled: int = 0
    failed: int = 0
    count: Count = field(default_factory=Count)
    shut_at: float = 0.0  # monotonic; who began before then says nothing more

    @property
    def requests(self) -> int:
        return self.answered + self.throttled + self.failed

    def any(self) -> bool:
        return bool(self.requests or self.count.renewals)

    def take(self) -> "Tally":
        """What was counted since the last time."""
        taken = replace(self)
        self.answered = self.throttled = self.failed = 0
        self.count = Count()
        return taken


class Places:
    """Places for requests on the wire, so many at once. Whoever waits for one has not begun, and no time-out runs yet: a thousand that
    begin together would all be late on a busy machine, and look like an outage. A request that has had no answer for a second steps
    aside: it goes on waiting, but its place is another's. So a few that are never answered cost nothing; only so many may stand aside
    that a gateway that has become slow altogether is not overrun."""

    def __init__(self, places: int) -> None:
        self.free = asyncio.Semaphore(places)
        self.may_stand_aside = places * ASIDE_PER_PLACE
        self._began: dict[object, float] = {}  # who has a place, oldest first
        self._timer: asyncio.TimerHandle | None = None  # one for all of them

    async def take(self) -> object:
        """A place, to be given back by `leave`."""
        await self.free.acquire()
        place = object()
        self._began[place] = time.monotonic()
        if self._timer is None:
            self._look_in(PATIENCE_SECONDS)
        return place

    def leave(self, place: object) -> None:
        if self._began.pop(place, None) is None:
            self.may_stand_aside += 1
        else:
            self.free.release()

    def _look_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Who has waited long enough steps aside, as long as there is room there."""
        self._timer = None
        while self._began:
            place, began = next(iter(self._began.items()))
            patience = began + PATIENCE_SECONDS - time.monotonic()
            if patience > 0 or self.may_stand_aside == 0:
                self._look_in(max(patience, LOOK_SECONDS))
                return
            del self._began[place]
            self.may_stand_aside -= 1
            self.free.release()


@dataclass
class Line:
    """One grant's line to its gateway: says events with a fresh token, refreshes it at most when needed, counts the answers."""

    credentials: Credentials
    http: Connections
    db: Database
    places: Places
    renewals: Places  # at Login with Amazon
    start_by: float  # monotonic
    tally: Tally
    began: float = field(default_factory=time.monotonic)
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _no_token: Exception | None = None

    async def say(self, build: Callable[[str], Json]) -> None:
        """Send the event that `build` makes for a token. Raises gateway.GatewayError, lwa.LwaError, RefreshElsewhere, GrantGone."""
        try:
            await self._say(build)
        except gateway.GatewayError as error:
            if error.elsewhere and self.credentials.settled:
                await self._look_elsewhere(build(self.credentials.access_token))
            raise

    async def is_answered(self) -> bool:
        """Does the door answer others than the one whom it has just failed?"""
        tally = self.tally
        if tally.answered or tally.throttled:
            return True
        return tally.failed <= 1 and bool(await self.db(pace.is_answered, self.credentials.region))

    def _check_that_it_may_start(self) -> None:
        if time.monotonic() > self.start_by or self.began <= self.tally.shut_at:
            raise NotStarted

    async def _look_elsewhere(self, event: Json) -> None:
        """Two regions, one after the other, while the lease lasts; if there is no time, another report will ask."""
        if elsewhere.may_ask(event) and time.monotonic() <= self.start_by - gateway.TIMEOUT_SECONDS:
            await elsewhere.look(self.credentials, self.http, self.db, event)

    async def _say(self, build: Callable[[str], Json]) -> None:
        if not self.credentials.fresh:
            await self._renew(self.credentials)
        used = self.credentials
        try:
            await self._post(used.access_token, build)
        except gateway.TokenRejected:
            await self._renew(used)
            await self._post(self.credentials.access_token, build)

    async def _renew(self, used: Credentials) -> None:
        """Asked once, whatever comes of it: three hundred endpoints must not wait for the same time-out one after the other."""
        async with self._renewing:
            if self.credentials is not used:
                return
            if self._no_token is not None:
                raise self._no_token
            place = await self.renewals.take()
            try:
                await self._renew_now(used)
            finally:
                self.renewals.leave(place)

    async def _renew_now(self, used: Credentials) -> None:
        self._check_that_it_may_start()
        try:
            self.credentials = await renewal.access_token(used, self.http, self.db)
        except Exception as error:
            if isinstance(error, lwa.LwaError):
                self.tally.count.renewals[type(error).__name__] += 1
            self._no_token = error
            raise
        self.tally.count.renewals[RENEWED] += 1

    async def _post(self, token: str, build: Callable[[str], Json]) -> None:
        place = await self.places.take()
        try:
            await self._post_now(token, build)
        finally:
            self.places.leave(place)

    async def _post_now(self, token: str, build: Callable[[str], Json]) -> None:
        self._check_that_it_may_start()
        started, tally = time.monotonic(), self.tally
        try:
            await gateway.post(self.http, self.credentials.region, token, build(token))
        except gateway.GatewayError as error:
            tally.count.answer(error.code, time.monotonic() - started)
            if isinstance(error, gateway.Throttled):
                tally.throttled += 1
            elif isinstance(error, gateway.Unavailable):
                tally.failed += 1
            else:
                tally.answered += 1
            raise
        tally.count.answer(ACCEPTED, time.monotonic() - started)
        tally.answered += 1
