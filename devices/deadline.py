"""An answer in time, whatever the database does: PostgreSQL's own time-outs do not help against a server that hangs or a network that
swallows. When the time is over the connection is cut, and whoever waits for it gets an OperationalError."""

import contextlib
import heapq
import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

log = logging.getLogger(__name__)
AGAIN = 0.1  # seconds until the next look, where there was no connection yet; and for how long ends that are near are left to one look
CHECK_SECONDS = 1.0


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Within the block, this thread's database connection is cut after `seconds`. Afterwards it is never touched."""
    wrapper = connections[DEFAULT_DB_ALIAS]
    with _cut_after(seconds, lambda: wrapper.connection):
        yield


class PooledConnection(psycopg.Connection[Any]):
    """A connection of the web process's pool. Django speaks through cursors; only the pool itself executes, to ask whether the server
    still answers before it gives a connection out, and that question is no block of ours: it has an end of its own."""

    def execute(self, *arguments: Any, **options: Any) -> Any:
        with _cut_after(CHECK_SECONDS, lambda: self):
            return super().execute(*arguments, **options)


@contextlib.contextmanager
def _cut_after(seconds: float, connection: Callable[[], Any]) -> Iterator[None]:
    watched = _Watched(connection)
    _watch.add(time.monotonic() + seconds, watched)
    try:
        yield
    finally:
        watched.finish()


class _Watched:
    """One block and the connection that it uses, which it may not have yet."""

    def __init__(self, connection: Callable[[], Any]) -> None:
        self.connection: Callable[[], Any] | None = connection
        self.lock = threading.Lock()

    def finish(self) -> None:
        with self.lock:
            self.connection = None

    def cut(self) -> bool:
        """Whether there is nothing left to cut."""
        with self.lock:
            if self.connection is None:
                return True
            raw = self.connection()
            _cut(raw)
            return raw is not None


class _Watch:
    """One thread of the process looks after all blocks: a thread for each directive would cost more than the directive's answer."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, int, _Watched]] = []
        self.numbers = itertools.count()
        self.news = threading.Condition()
        self.thread: threading.Thread | None = None

    def add(self, at: float, watched: _Watched) -> None:
        with self.news:
            heapq.heappush(self.waiting, (at, next(self.numbers), watched))
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="deadline", daemon=True)
                self.thread.start()
            elif self.waiting[0][2] is watched:
                self.news.notify()

    def _run(self) -> None:
        while True:
            with self.news:
                while not self.waiting or self.waiting[0][0] > time.monotonic():
                    self.news.wait(max(self.waiting[0][0] - time.monotonic(), AGAIN) if self.waiting else None)
                watched = heapq.heappop(self.waiting)[2]
            try:
                if not watched.cut():
                    self.add(time.monotonic() + AGAIN, watched)
            except Exception:  # of one block; all others of the process still rely on this thread
                log.exception("a connection could not be cut in time")


def _cut(raw: Any) -> None:
    """The descriptor stays psycopg's; only its far end is gone. One that is closed at this moment has no descriptor any more."""
    if raw is not None and not raw.closed:
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(raw.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


def _forget() -> None:
    """A forked process has no thread that watches."""
    global _watch
    _watch = _Watch()


_watch = _Watch()
os.register_at_fork(after_in_child=_forget)
