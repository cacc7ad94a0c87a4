"""The door while the database is away, exhausted, or asked by many at once."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import close_old_connections, connection, connections

from notifications.models import Message, Topic
from tests.notifications.signing_amazon import ARN, Amazon


def dead_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def in_a_thread(work: Callable[[], Any]) -> Any:
    """Run `work` in a thread, where Django opens connections of its own, and close them."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        finally:
            connections.close_all()

    thread = Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.django_db
def test_a_database_that_is_not_there(door: Any, amazon: Amazon) -> None:
    """The connection of this thread is told to knock at a port where nobody listens."""

    def post() -> int:
        theirs = connections["default"]
        theirs.settings_dict = {**theirs.settings_dict, "HOST": "127.0.0.1", "PORT": str(dead_port())}
        return int(door(amazon.message()).status_code)

    assert in_a_thread(post) == 503


@pytest.mark.django_db
def test_what_is_no_message_is_refused_even_without_a_database(door: Any) -> None:
    def post() -> int:
        theirs = connections["default"]
        theirs.settings_dict = {**theirs.settings_dict, "HOST": "127.0.0.1", "PORT": str(dead_port())}
        return int(door(b"{}").status_code)

    assert in_a_thread(post) == 400


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_in_between(door: Any, amazon: Amazon) -> None:
    """PostgreSQL ends our session between two messages: 503 once, and the repetition is stored."""
    Topic.objects.create(arn=ARN)
    message = amazon.message()

    def post() -> list[int]:
        first = door(amazon.message()).status_code
        end_this_session()
        second = door(message).status_code
        close_old_connections()  # what Django does at the begin of a request; its test client leaves it out
        return [first, second, door(message).status_code]

    assert in_a_thread(post) == [200, 503, 200]
    assert Message.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_lost_at_rest_is_replaced_first(door: Any, amazon: Amazon) -> None:
    Topic.objects.create(arn=ARN)

    def post() -> list[int]:
        first = door(amazon.message()).status_code
        end_this_session()
        close_old_connections()
        return [first, door(amazon.message()).status_code]

    assert in_a_thread(post) == [200, 200]


def end_this_session() -> None:
    """PostgreSQL ends this thread's session, and the thread does not know."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        session = cursor.fetchone()[0]
    in_a_thread(lambda: connection.cursor().execute("SELECT pg_terminate_backend(%s, 1000)", [session]))


@contextmanager
def exhausted_pool() -> Iterator[None]:
    """This thread's connections come from a pool of one, and somebody has it."""
    theirs = connections["default"]
    pool = {"min_size": 1, "max_size": 1, "timeout": 0.1}
    theirs.settings_dict = {
        **theirs.settings_dict,
        "CONN_MAX_AGE": 0,
        "OPTIONS": {**theirs.settings_dict["OPTIONS"], "pool": pool},
    }
    theirs.pool.open()
    taken = theirs.pool.getconn(timeout=5)
    try:
        yield
    finally:
        theirs.pool.putconn(taken)
        theirs.close_pool()


@pytest.mark.django_db
def test_a_connection_pool_without_a_free_connection(door: Any, amazon: Amazon) -> None:
    def post() -> int:
        with exhausted_pool():
            return int(door(amazon.message()).status_code)

    assert in_a_thread(post) == 503


@pytest.mark.django_db(transaction=True)
def test_the_same_message_from_many_connections_at_once(door: Any, amazon: Amazon, certificate_server: Any) -> None:
    Topic.objects.create(arn=ARN)
    message, together, answers = amazon.message(), Barrier(8), []

    def post() -> None:
        together.wait()
        answers.append(door(message).status_code)
        connections.close_all()

    threads = [Thread(target=post) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert answers == [200] * 8
    assert Message.objects.count() == 1
    assert len(certificate_server.asked) <= 8
