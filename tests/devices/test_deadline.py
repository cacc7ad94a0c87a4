"""A server that hangs holds nobody: not in a statement, and not where the pool asks whether a connection still lives."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from psycopg_pool import ConnectionPool

from devices import deadline
from tests.the_house import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pool() -> Iterator[ConnectionPool[Any]]:
    """As Django makes it of our settings."""
    asked = {name: value for name, value in connection.get_connection_params().items() if name != "cursor_factory"}
    with ConnectionPool(
        kwargs=asked | {"autocommit": True},
        min_size=1,
        max_size=2,
        timeout=5,
        connection_class=deadline.PooledConnection,
        check=ConnectionPool.check_connection,
    ) as pool:
        yield pool


def test_a_connection_whose_server_hangs_is_not_given_out(pool: ConnectionPool[Any]) -> None:
    with pool.connection() as first:
        hanging = first.info.backend_pid
    os.kill(hanging, signal.SIGSTOP)
    try:
        with pool.connection() as second:
            assert second.info.backend_pid != hanging
            assert second.cursor().execute("SELECT 1").fetchone() == (1,)
    finally:
        os.kill(hanging, signal.SIGCONT)


@pytest.fixture
def cut() -> Iterator[None]:
    """As a request's end does: what was cut is not kept."""
    yield
    connection.close()


def sleep_in_the_database(before: float) -> None:
    time.sleep(before)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(2)")


def test_a_statement_is_cut(cut: None) -> None:
    with pytest.raises(OperationalError), deadline.deadline(0.2):
        sleep_in_the_database(before=0)


def test_who_has_no_connection_yet_when_the_time_is_over_is_cut_when_it_comes(cut: None) -> None:
    connection.close()
    with pytest.raises(OperationalError), deadline.deadline(0.1):
        sleep_in_the_database(before=0.5)


def test_what_is_over_is_left_alone() -> None:
    with deadline.deadline(0.1), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    time.sleep(0.5)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


class ClosedMeanwhile(psycopg.Connection[Any]):
    """Its owner closes it between the two looks of who cuts it."""

    def fileno(self) -> int:
        self.close()
        return super().fileno()


def closed_meanwhile() -> Any:
    asked = {name: value for name, value in connection.get_connection_params().items() if name != "cursor_factory"}
    return ClosedMeanwhile.connect(**asked)


def test_one_that_is_closed_while_it_is_cut_ends_no_other_deadline(cut: None, caplog: pytest.LogCaptureFixture) -> None:
    closing = closed_meanwhile()
    with deadline._cut_after(0.01, lambda: closing):
        until(lambda: closing.closed, 5, "the cut")
    with pytest.raises(OperationalError), deadline.deadline(0.2):
        sleep_in_the_database(before=0)
    assert caplog.messages == []


def test_neither_does_one_with_a_fault_that_nobody_foresaw(cut: None, caplog: pytest.LogCaptureFixture) -> None:
    with deadline._cut_after(0.01, lambda: 1 / 0):
        until(lambda: caplog.messages, 5, "the log")
    with pytest.raises(OperationalError), deadline.deadline(0.2):
        sleep_in_the_database(before=0)
    assert caplog.messages == ["a connection could not be cut in time"]
