"""Several workers at the inbox at once: each message once, nobody waits for a stranger's message, nobody's word is lost."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from django.db import connection, connections, transaction

from notifications import processing, tasks
from notifications.models import Message, Notification, Order, Topic
from tests.notifications.signing_amazon import ARN, Amazon, dash
from tests.notifications.test_inbox import CANCELLED, ID, PLACED, SHIPPED, send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def topic(transactional_db: None) -> Topic:
    return Topic.objects.create(arn=ARN)


def start(work: Callable[[], Any]) -> Thread:
    """`work` in a thread, with database connections of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = Thread(target=run)
    thread.start()
    return thread


def at_once(*works: Callable[[], Any]) -> None:
    together = Barrier(len(works))
    threads = [start(lambda work=work: (together.wait(), work())) for work in works]
    [thread.join() for thread in threads]


class Slow:
    """A worker that has processed the message and has not committed yet."""

    def __init__(self, message: Message) -> None:
        self.message, self.there, self.go_on = message, Event(), Event()
        self.thread = start(self.work)
        assert self.there.wait(10)

    def work(self) -> None:
        with transaction.atomic():
            processing.process([Message.objects.select_for_update().get(pk=self.message.pk)])
            self.there.set()
            self.go_on.wait(10)

    def finish(self) -> None:
        self.go_on.set()
        self.thread.join()


def test_many_workers_process_each_message_once(topic: Topic, door: Any, amazon: Amazon) -> None:
    kinds = [PLACED, SHIPPED, CANCELLED, PLACED, SHIPPED, CANCELLED, PLACED, SHIPPED]
    for hour, kind in enumerate(kinds):
        send(door, amazon, dash(kind, time=f"2026-11-21T1{hour}:00:00Z"))
    counts: list[int] = []
    at_once(*[lambda: counts.append(tasks.process())] * 4)
    assert sum(counts) == len(kinds)
    order = Order.objects.get()
    assert (order.state, order.conflict, order.notifications.count()) == ("SHIPPED", True, len(kinds))
    assert order.last_at == datetime(2026, 11, 21, 17, tzinfo=UTC)
    assert not Message.objects.exclude(state=Message.State.DONE).exists()
    assert not Message.objects.exclude(attempts=0).exists()


def test_nobody_waits_for_a_message_that_somebody_else_has(topic: Topic, door: Any, amazon: Amazon) -> None:
    first = send(door, amazon, dash(order="first"))
    send(door, amazon, dash(order="second"))
    slow = Slow(first)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '2s'")
        try:
            assert tasks.process() == 1
            assert [order.instance_id for order in Order.objects.all()] == ["second"]
        finally:
            slow.finish()
            cursor.execute("RESET lock_timeout")
    assert Order.objects.count() == 2


def test_two_who_write_the_same_order_do_not_overlook_each_other(topic: Topic, door: Any, amazon: Amazon) -> None:
    send(door, amazon, dash(PLACED))
    tasks.process()
    shipped = send(door, amazon, dash(SHIPPED, time="2026-11-21T11:00:00Z"))
    send(door, amazon, dash(CANCELLED, time="2026-11-21T12:00:00Z"))
    slow = Slow(shipped)
    other = start(tasks.process)
    other.join(0.5)
    assert other.is_alive(), "it should wait for the order"
    slow.finish()
    other.join()
    order = Order.objects.get()
    assert (order.state, order.conflict, order.notifications.count()) == ("SHIPPED", True, 3)


def test_contradicting_twins_at_once_are_both_quarantined(topic: Topic, door: Any, amazon: Amazon) -> None:
    for _ in range(5):
        Notification.objects.all().delete()
        Message.objects.all().delete()
        send(door, amazon, dash(PLACED, id=ID, order="a"))
        send(door, amazon, dash(PLACED, id=ID, order="b"))
        at_once(tasks.process, tasks.process)
        tasks.process()
        assert {message.state for message in Message.objects.all()} == {Message.State.QUARANTINED}
        assert {order.state for order in Order.objects.all()} == {"UNCLEAR"}
