"""HTTP/1.1 over kept connections, as little of it as delivery needs: POST a body, hear a status and a short body.

A report a day for every device makes this the busiest path of the house. A general client (aiohttp) takes five times the processor
time for each request (cookies, redirects, tracing, maps of headers) and was two fifths of a worker's work. Here a request is one
write, and its answer is read by httptools. Nothing is ever sent twice. What an answer means stands in gateway.py and lwa.py.
"""

import asyncio
import ssl
from collections import deque
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

MOST_BYTES = 64 * 1024  # of an answer; Amazon's have a few hundred
IDLE_SECONDS = 60.0  # a connection that rested longer is not trusted
LAST_LOOK_SECONDS = 0.01


class NoAnswer(Exception):
    """Broken, or not in time: unknown whether the request was taken. `code` says which, in a word."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


class NoConnection(NoAnswer):
    """No connection could be made: the request was not sent."""


class Answer(NamedTuple):
    """`body`: at most the first 64 KiB."""

    status: int
    body: bytes


class Connections:
    """Kept connections to as many addresses as are posted to, at most `limit` to each. Belongs to one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._doors: dict[str, _Door] = {}

    async def post(self, url: str, headers: bytes, body: bytes, seconds: float) -> Answer:
        """The answer to one POST; `headers` are whole lines. Waiting for a turn, connecting and asking take `seconds` together at
        most. Raises NoAnswer, or NoConnection where nobody can have heard it."""
        door = self._doors.get(url)
        if door is None:
            door = self._doors[url] = _Door(url, self.limit)
        return await door.post(headers, body, seconds)

    def close(self) -> None:
        """Whoever still waits for an answer gets none."""
        for door in self._doors.values():
            for connection in list(door.open):
                connection.fail(NoAnswer("ConnectionClosed", "closed by us"))


class _Door:
    """One address: its turns, and its connections at rest, the latest used first."""

    def __init__(self, url: str, limit: int) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None, url
        self.host, self.secure = parts.hostname, parts.scheme == "https"
        self.port = parts.port or (443 if self.secure else 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        name = parts.netloc.rpartition("@")[2]
        self.head = f"POST {path} HTTP/1.1\r\nHost: {name}\r\nAccept: */*\r\n".encode("ascii")
        self.turns = asyncio.Semaphore(limit)
        self.idle: deque[_Connection] = deque()
        self.open: set[_Connection] = set()

    async def post(self, headers: bytes, body: bytes, seconds: float) -> Answer:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        if self.turns.locked():
            await self._turn(seconds)
        else:
            await self.turns.acquire()
        try:
            connection = self._rested(loop.time()) or await self._connect(ends_at - loop.time())
            request = b"%b%bContent-Length: %d\r\n\r\n%b" % (self.head, headers, len(body), body)
            answer = await connection.ask(request, ends_at)
            if connection.keeps:
                self.idle.append(connection)
            return answer
        finally:
            self.turns.release()

    async def _turn(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.turns.acquire()
        except TimeoutError as error:
            raise NoConnection("TimeoutError", "no connection came free in time") from error

    def _rested(self, now: float) -> "_Connection | None":
        while self.idle:
            connection = self.idle.pop()
            if connection.keeps and now - connection.since < IDLE_SECONDS:
                return connection
            connection.drop()
        return None

    async def _connect(self, seconds: float) -> "_Connection":
        loop = asyncio.get_running_loop()
        context = _context() if self.secure else None
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self), self.host, self.port, ssl=context
                )
        except (OSError, TimeoutError) as error:
            raise NoConnection(type(error).__name__, "no connection") from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection, one request at a time. httptools calls the methods that begin with on_."""

    def __init__(self, door: _Door) -> None:
        self.door = door
        self.loop = asyncio.get_running_loop()
        self.transport: Any = None
        self.parser = HttpResponseParser(self)
        self.waiting: asyncio.Future[Answer] | None = None
        self.ends_at = self.since = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.is_late = False
        self.body = b""
        self.headed = False  # are the answer's headers complete …
        self.until_closed = True  # … and does it end where the connection does?
        self.keeps = False  # may it carry another request?

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.door.open.add(self)

    async def ask(self, request: bytes, ends_at: float) -> Answer:
        """Whatever ends it before its answer, be it the one who waits, ends the connection: a late answer must not be the next one's."""
        self.keeps, self.body, self.headed, self.until_closed = False, b"", False, True
        self.waiting, self.is_late = self.loop.create_future(), False
        self._watch(ends_at)
        self.transport.write(request)
        try:
            return await self.waiting
        finally:
            self.waiting = None
            if not self.keeps:
                self.drop()

    def _watch(self, ends_at: float) -> None:
        """One timer for many requests: it looks again when the present one's time is up."""
        self.ends_at = ends_at
        if self.timer is None or self.timer.when() > ends_at:
            self._watch_until(ends_at)

    def _watch_until(self, ends_at: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_at(ends_at, self._time_is_up)

    def _time_is_up(self) -> None:
        """A busy machine may have kept this process from hearing an answer that has come, and a loop runs its timers before it
        listens: so it listens once more."""
        self.timer = None
        if self.waiting is None:
            return
        if self.loop.time() + 0.001 < self.ends_at:
            self._watch_until(self.ends_at)
        elif not self.is_late:
            self.is_late = True
            self._watch_until(self.loop.time() + LAST_LOOK_SECONDS)
        else:
            self.fail(NoAnswer("TimeoutError", "no answer in time"))

    def data_received(self, data: bytes) -> None:
        if self.waiting is None:  # words that nobody asked for
            self.drop()
            return
        try:
            self.parser.feed_data(data)
        except HttpParserError as error:
            self.fail(NoAnswer(type(error).__name__, "the answer is not HTTP"))

    def on_message_begin(self) -> None:
        if self.waiting is None or self.waiting.done():  # a second answer to one question
            self.drop()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.until_closed and name.lower() in (b"content-length", b"transfer-encoding"):
            self.until_closed = False

    def on_headers_complete(self) -> None:
        self.headed = self.parser.get_status_code() >= 200  # before that: "Continue" and its kin

    def on_body(self, part: bytes) -> None:
        self.body += part
        if len(self.body) > MOST_BYTES:
            self._answered(keeps=False)

    def on_message_complete(self) -> None:
        if self.headed:
            self._answered(keeps=self.parser.should_keep_alive())

    def _answered(self, keeps: bool) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.keeps, self.since = keeps and not self.transport.is_closing(), self.loop.time()
            self.waiting.set_result(Answer(self.parser.get_status_code(), self.body[:MOST_BYTES]))

    def connection_lost(self, error: Exception | None) -> None:
        self.door.open.discard(self)
        if self in self.door.idle:
            self.door.idle.remove(self)
        if error is None and self.headed and self.until_closed:
            self._answered(keeps=False)
        self.fail(NoAnswer(type(error).__name__ if error else "ConnectionClosed", "no whole answer"))

    def fail(self, error: NoAnswer) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(error)
        self.drop()

    def drop(self) -> None:
        self.keeps = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.transport.abort()


@lru_cache(maxsize=1)
def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
