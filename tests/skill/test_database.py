"""Many callers as one statement: who gets which answer, and whom an error hurts."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection

from skill.database import Database, select


class Statement:
    """A function of ours that remembers with what it was called; the first call is held until `go`."""

    def __init__(self, poison: int | None = None, error: Exception | None = None) -> None:
        self.calls: list[list[int]] = []
        self.go = threading.Event()
        self.poison, self.error = poison, error

    def __call__(self, items: Sequence[int]) -> list[Any]:
        self.go.wait(5)
        self.calls.append(list(items))
        if self.error is not None and self.poison in items:
            raise self.error
        return [LookupError(f"no {item}") if item == 13 else item * 10 for item in items]


async def ask(statement: Statement, items: Sequence[int]) -> list[Any]:
    """All at once; the answers or errors in their order. The first is under way before the others come."""
    db = Database()
    first = asyncio.create_task(db.together(statement, items[0]))
    await asyncio.sleep(0.05)
    others = [asyncio.create_task(db.together(statement, item)) for item in items[1:]]
    await asyncio.sleep(0.05)
    statement.go.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def test_who_comes_while_the_database_is_busy_shares_the_next_statement() -> None:
    statement = Statement()
    assert asyncio.run(ask(statement, [1, 2, 3, 4])) == [10, 20, 30, 40]
    assert statement.calls == [[1], [2, 3, 4]]


def test_an_answer_that_is_an_exception_is_raised_to_its_asker_alone() -> None:
    answers = asyncio.run(ask(Statement(), [1, 13, 3]))
    assert [answers[0], str(answers[1]), answers[2]] == [10, "no 13", 30]


def test_an_item_that_the_database_refuses_hurts_only_itself() -> None:
    statement = Statement(poison=3, error=DataError("this one"))
    answers = asyncio.run(ask(statement, [1, 2, 3, 4]))
    assert [answers[0], answers[1], answers[3]] == [10, 20, 40]
    assert isinstance(answers[2], DataError)
    assert statement.calls == [[1], [2, 3, 4], [2], [3], [4]]


def test_a_database_that_is_gone_is_asked_once_and_everybody_hears_it() -> None:
    statement = Statement(poison=3, error=OperationalError("gone"))
    answers = asyncio.run(ask(statement, [1, 2, 3, 4]))
    assert answers[0] == 10
    assert {type(answer) for answer in answers[1:]} == {OperationalError}
    assert statement.calls == [[1], [2, 3, 4]]


def test_what_was_asked_is_done_even_if_the_asker_is_gone() -> None:
    statement = Statement()

    async def leave() -> None:
        db = Database()
        askers = [asyncio.create_task(db.together(statement, item)) for item in (1, 2)]
        await asyncio.sleep(0.05)
        for asker in askers:
            asker.cancel()
        statement.go.set()
        await db.finish()

    asyncio.run(leave())
    assert sorted(item for call in statement.calls for item in call) == [1, 2]


def test_nobody_is_left_waiting_whatever_happens() -> None:
    def killed(items: Sequence[int]) -> list[Any]:
        raise Killed

    async def wait() -> Any:
        return await asyncio.wait_for(asyncio.gather(Database().together(killed, 1), return_exceptions=True), 5)

    (answer,) = asyncio.run(wait())
    assert isinstance(answer, Killed)


class Killed(BaseException):
    """Nothing catches it by its kind."""


def test_a_database_host_that_vanishes_is_noticed_within_half_a_minute(db: None) -> None:
    """As the client library understood it: it speaks up where nothing is said, and waits for no receipt for long."""
    connection.ensure_connection()
    said = connection.connection.info.get_parameters()
    idle, interval, count = (int(said[f"keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert idle + interval * count <= 30
    assert 0 < int(said["tcp_user_timeout"]) <= 30_000


@pytest.mark.django_db
def test_times_are_read_as_they_stand() -> None:
    """With and without fractions of a second, before the epoch, and none."""
    moments = ["2026-11-26 09:30:00+00", "2026-11-26 09:30:00.123456+02", "1969-12-31 23:59:59.5+00", None]
    with connection.cursor() as cursor:
        cursor.execute("SELECT unnest(%s::timestamptz[])", [moments])
        expected = cursor.fetchall()
    rows = select("SELECT unnest(%(moments)s::timestamptz[])", {"moments": moments})
    assert rows == expected
    assert [moment.utcoffset() for (moment,) in rows if moment] == [timedelta(0)] * 3
