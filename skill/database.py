"""The database for delivery: one thread that owns the connection, many callers as one statement, and many rows at little cost."""

import asyncio
import functools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import psycopg
from django.db import InterfaceError, OperationalError, connection
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from skill.journal import journal

VICTIM = {"40P01", "40001"}  # deadlock, serialization failure
RECONNECT_SECONDS = 10.0  # as long as an answer may be out: who said something meanwhile can settle it
LOOK_EVERY = 0.2
Item = Any
Answers = Sequence[Any]


def select(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement. Times come as `datetime` in UTC, read at a tenth of the cost of Django's way (the connection speaks UTC)."""
    with connection.cursor() as cursor:
        cursor.cursor.adapters.register_loader("timestamptz", _Moment)
        cursor.execute(statement, parameters)
        return cursor.fetchall()


class _Moment(Loader):
    def load(self, data: Buffer) -> datetime:
        return datetime.fromisoformat(str(data, "ascii"))


class Database:
    """`await db(function, …)` runs a function of ours in the database's thread. `await db.together(function, item)` runs it once
    for all items that came while the database was busy: function(items) answers in their order; an answer that is an exception
    is raised. An item that the database refuses hurts only itself; a database that is gone is everybody's trouble.

    The victim of a deadlock has done nothing, and is done again. So is, for some seconds, what was asked when the connection was lost:
    whatever delivery asks may be asked twice."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="delivery-database")
        self._waiting: dict[Callable[..., Any], list[tuple[Item, asyncio.Future[Any]]]] = defaultdict(list)
        self._running: dict[Callable[..., Any], asyncio.Task[None]] = {}
        self._in_trouble_since: float | None = None

    async def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(
            self.thread, functools.partial(self._do, function, *arguments)
        )

    def _do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        while True:
            try:
                answer = function(*arguments)
            except (OperationalError, InterfaceError) as error:
                if not self._may_do_again(error):
                    raise
            else:
                self._in_trouble_since = None
                return answer

    def _may_do_again(self, error: Exception) -> bool:
        is_victim = getattr(error.__cause__, "sqlstate", None) in VICTIM
        if not (is_victim or _is_lost(error)):
            return False
        self._in_trouble_since = self._in_trouble_since or time.monotonic()
        if time.monotonic() - self._in_trouble_since > RECONNECT_SECONDS:
            return False
        journal.count(f"asked the database again after {type(error.__cause__).__name__}", logging.WARNING, str(error))
        if not is_victim:
            connection.close()
            time.sleep(LOOK_EVERY)
        return True

    async def together(self, function: Callable[[Sequence[Item]], Answers], item: Item) -> Any:
        """The function's answer to this item. What was asked is done even if who asked is cancelled meanwhile."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[function].append((item, future))
        if function not in self._running:
            self._running[function] = asyncio.create_task(self._run(function))
        return await future

    async def finish(self) -> None:
        """Until everything that was asked for together is done."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _run(self, function: Callable[[Sequence[Item]], Answers]) -> None:
        try:
            while waiting := self._waiting.pop(function, None):
                try:
                    answers = await self(_all_that_can_be, function, [item for item, _ in waiting])
                except BaseException as error:  # nobody is left waiting
                    answers = [error] * len(waiting)
                for (_, future), answer in zip(waiting, answers, strict=True):
                    _answer(future, answer)
        finally:
            del self._running[function]


def _all_that_can_be(function: Callable[[Sequence[Item]], Answers], items: list[Item]) -> Answers:
    """All in one statement; if that is refused because of one of them, one by one."""
    try:
        return function(items)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(items) == 1:
            return [error]
        return [answer for item in items for answer in _all_that_can_be(function, [item])]


def _is_lost(error: Exception) -> bool:
    """Is it the connection that failed, or could none be made?"""
    return isinstance(error.__cause__, psycopg.Error) and (
        connection.connection is None or connection.connection.closed
    )


def _answer(future: "asyncio.Future[Any]", answer: Any) -> None:
    if future.done():  # whoever asked was cancelled
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
