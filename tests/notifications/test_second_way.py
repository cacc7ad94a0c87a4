"""The second way in: SQS, played by moto. Nothing lost, nothing twice."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from threading import Event, Thread
from typing import Any
from unittest import mock

import boto3
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from notifications import inbox, queues, sns
from notifications.management.commands import sns_pull
from notifications.models import Message, Order, Topic
from tests.notifications.conftest import refused
from tests.notifications.signing_amazon import ARN, NOW, Amazon, as_body, certificate_for, dash, pem
from tests.the_house import until

pytestmark = pytest.mark.django_db
SHORT_POLL = queues.SHORT_POLL
PLACED, CANCELLED, SHIPPED = "OrderPlacedNotification", "OrderCancelledNotification", "ItemShippedNotification"


@pytest.fixture
def queue(
    empty_account: None, certificate_server: Any, set_clock: Any, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A queue's address; Amazon's certificate can be had, and it is ten o'clock. What is in the queue is there at once."""
    monkeypatch.setattr(queues, "SHORT_POLL", 0)
    made: str = boto3.client("sqs").create_queue(QueueName="dash")["QueueUrl"]
    return made


@pytest.fixture
def put(queue: str) -> Callable[[dict[str, Any]], None]:
    """SNS puts a message into the queue."""
    client = boto3.client("sqs")
    return lambda message: client.send_message(QueueUrl=queue, MessageBody=as_body(message).decode())


def run(command: str, queue: str, **options: Any) -> str:
    said = StringIO()
    call_command(command, queue=[queue], stdout=said, **options)
    return said.getvalue().strip()


def pull(queue: str) -> str:
    return run("sns_pull", queue, once=True)


def left(queue: str) -> tuple[int, int]:
    """(visible, in flight) in the queue."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])


def visible_again(queue: str) -> None:
    """As if the time had passed after which SQS shows what was taken and not deleted."""
    from moto.backends import get_backend

    for account in get_backend("sqs").values():
        for region in account.values():
            for made in region.queues.values():
                for letter in made._messages:
                    letter.change_visibility(0)


def test_what_comes_by_the_queue_becomes_alice_s_order(
    queue: str, put: Any, amazon: Amazon, machine: Any, work: Any
) -> None:
    for kind in (PLACED, SHIPPED):
        put(amazon.message(json.dumps(dash(kind))))
    assert pull(queue) == "2 stored"
    assert left(queue) == (0, 0)
    assert work() == 2
    assert (Order.objects.get().state, Order.objects.get().device) == ("SHIPPED", machine)
    assert {message.came_by for message in Message.objects.all()} == {"sqs"}


@pytest.mark.parametrize("first", ["door", "queue"])
def test_the_same_message_both_ways_counts_once(
    first: str, queue: str, put: Any, door: Any, amazon: Amazon, work: Any
) -> None:
    message = amazon.message(json.dumps(dash()))
    put(message)
    ways = [lambda: door(message).status_code == 200, lambda: pull(queue) == "1 stored"]
    assert all(way() for way in (ways if first == "door" else ways[::-1]))
    work()
    stored = Message.objects.get()
    assert (stored.state, stored.came_by) == (Message.State.DONE, "https" if first == "door" else "sqs")
    assert left(queue) == (0, 0)


def test_a_message_of_weeks_ago_is_not_held(queue: str, put: Any, amazon: Amazon, work: Any) -> None:
    for age in (timedelta(hours=2), timedelta(days=20)):
        put(amazon.message(json.dumps(dash(order=f"{age} ago")), at=NOW - age))
    assert pull(queue) == "2 stored"
    assert work() == 2
    assert [order.state for order in Order.objects.all()] == ["PLACED", "PLACED"]


def test_a_held_message_is_freed_when_it_comes_by_the_queue(
    queue: str, put: Any, door: Any, amazon: Amazon, work: Any
) -> None:
    message = amazon.message(json.dumps(dash()), at=NOW - timedelta(hours=2))
    assert door(message).status_code == 200
    assert work() == 0
    put(message)
    assert pull(queue) == "1 stored"
    assert work() == 1
    assert (Message.objects.get().state, Order.objects.get().state) == (Message.State.DONE, "PLACED")


def test_a_message_that_was_done_is_not_done_again(queue: str, put: Any, door: Any, amazon: Amazon, work: Any) -> None:
    message = amazon.message(json.dumps(dash()))
    door(message)
    work()
    put(message)
    pull(queue)
    assert work() == 0


def test_the_certificate_of_an_old_message_is_judged_at_its_own_time(
    queue: str, put: Any, amazon: Amazon, certificate_server: Any
) -> None:
    expired = certificate_for(amazon.key, start=NOW - timedelta(days=400), days=390)
    certificate_server.body = pem(expired)
    put(amazon.message(json.dumps(dash()), at=NOW - timedelta(days=11)))
    assert pull(queue) == "1 stored"
    put(amazon.message(json.dumps(dash()), at=NOW - timedelta(days=9)))
    assert pull(queue) == "1 refused"


def test_a_time_ahead_of_us_proves_nothing_about_a_certificate(
    queue: str, put: Any, amazon: Amazon, certificate_server: Any
) -> None:
    tomorrow_s = certificate_for(amazon.key, start=NOW + timedelta(days=1), days=30)
    certificate_server.body = pem(tomorrow_s)
    put(amazon.message(json.dumps(dash()), at=NOW + timedelta(days=2)))
    assert pull(queue) == "1 refused"


def test_a_forgery_in_the_queue_stays_there_and_out_of_the_way(queue: str, put: Any, amazon: Amazon) -> None:
    message, changes = (
        amazon.message(),
        [
            {"Message": "forged"},
            {"Timestamp": "2026-11-21T09:00:00.000Z"},
            {"TopicArn": ARN + "x"},
            {"SigningCertURL": "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-x.pem"},
            {"Signature": None},
            {"Subject": "slipped in"},
        ],
    )
    for change in changes:
        put({name: value for name, value in (message | change).items() if value is not None})
    assert pull(queue) == "6 refused"
    assert not Message.objects.exists()
    assert left(queue) == (0, 6)


def test_what_is_no_sns_message_at_all_harms_nobody(queue: str, put: Any, amazon: Amazon) -> None:
    for text in ("nonsense", "{}", '{"default": 1}', "\ufffd", "[" * 2000):
        boto3.client("sqs").send_message(QueueUrl=queue, MessageBody=text)
    put(amazon.message())
    assert pull(queue) == "5 refused, 1 stored"


def test_what_cannot_be_taken_now_is_taken_later(
    queue: str, put: Any, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(amazon.message(json.dumps(dash())))
    for trouble in (DatabaseError("gone"), sns.CertificateUnavailable("no answer in time")):
        with monkeypatch.context() as patch:
            patch.setattr(inbox, "receive", mock.Mock(side_effect=trouble))
            assert pull(queue) == "1 later", trouble
        assert left(queue) == (0, 1), trouble
        visible_again(queue)
    assert pull(queue) == "1 stored"


@pytest.fixture
def pulling(queue: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`sns_pull` as it runs for good, in a thread with a database connection of its own."""

    def run() -> None:
        command._keep_on(queue)
        connection.close()

    monkeypatch.setattr(queues, "LONG_POLL", 1)
    monkeypatch.setattr(sns_pull, "PAUSE", 0.01)
    command = sns_pull.Command()
    command.stopping = Event()
    thread = Thread(target=run, daemon=True)
    thread.start()
    yield
    command.stopping.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_a_restart_of_the_database_is_survived(queue: str, put: Any, amazon: Amazon, pulling: None) -> None:
    put(amazon.message())
    until(Message.objects.exists, 10, "the first is stored")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    put(amazon.message())
    until(lambda: visible_again(queue) or Message.objects.count() == 2, 10, "the second is stored by a new connection")


@pytest.mark.django_db(transaction=True)
def test_an_error_that_nobody_thought_of_does_not_end_it(
    queue: str, put: Any, amazon: Amazon, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    asked, whole = [], queues.client_for

    def odd(address: str) -> Any:
        asked.append(address)
        if len(asked) == 1:
            raise LookupError("odd")
        return whole(address)

    monkeypatch.setattr(queues, "client_for", odd)
    request.getfixturevalue("pulling")
    put(amazon.message())
    until(Message.objects.exists, 10, "it goes on")


def test_a_crash_between_storing_and_deleting_counts_nothing_twice(
    queue: str, put: Any, amazon: Amazon, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(amazon.message(json.dumps(dash())))

    def die(*args: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(queues, "_delete", die)
        with pytest.raises(SystemExit):
            pull(queue)
    work()
    visible_again(queue)
    assert pull(queue) == "1 stored"
    assert work() == 0
    assert (Message.objects.count(), left(queue)) == (1, (0, 0))


def test_more_than_one_batch(queue: str, put: Any, amazon: Amazon) -> None:
    for _ in range(queues.BATCH + 2):
        put(amazon.message())
    assert pull(queue) == "12 stored"
    assert Message.objects.count() == 12


def test_the_dead_letter_queue_goes_through_the_same_door(
    queue: str, put: Any, amazon: Amazon, machine: Any, work: Any
) -> None:
    put(amazon.message(json.dumps(dash()), at=NOW - timedelta(days=3)))
    put(amazon.message() | {"Message": "forged"})
    assert run("sns_redrive", queue) == "1 refused, 1 stored"
    work()
    assert (Message.objects.get().came_by, Order.objects.get().device) == ("redrive", machine)
    assert run("sns_redrive", queue) == "nothing"


@pytest.mark.parametrize("command", ["sns_pull", "sns_redrive"])
def test_an_empty_answer_without_a_wait_is_not_believed(
    command: str, queue: str, put: Any, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQS asks a few of its servers only, unless it is given a second."""
    from moto.sqs.models import SQSBackend

    whole = SQSBackend.receive_message

    def hasty(self: Any, queue_name: str, count: int, wait: int, *args: Any) -> Any:
        return whole(self, queue_name, count, 0, *args) if wait else []

    monkeypatch.setattr(SQSBackend, "receive_message", hasty)
    monkeypatch.setattr(queues, "SHORT_POLL", SHORT_POLL)
    put(amazon.message())
    assert run(command, queue, **({"once": True} if command == "sns_pull" else {})) == "1 stored"


def test_a_queue_that_cannot_be_read_or_is_not_named_is_said_in_words(queue: str) -> None:
    for command, options in (("sns_pull", {"once": True}), ("sns_redrive", {})):
        for address in (f"{queue}-gone", "nonsense"):
            with refused((command, address), CommandError, match="cannot be read"):
                run(command, address, **options)
        with refused(command, CommandError, match="queue"):
            call_command(command)


def test_a_queue_s_region_is_in_its_address(empty_account: None) -> None:
    for address, region in (
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/dash", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/dash", "cn-north-1"),
        ("https://vpce-1.example/dash", "us-east-1"),
    ):
        assert queues.client_for(address).meta.region_name == region, address


def test_the_checks_and_their_verdicts_are_kept(queue: str, put: Any, door: Any, amazon: Amazon) -> None:
    put(amazon.message())
    pull(queue)
    [by_queue] = Message.objects.all()
    assert [check[:2] for check in by_queue.verdicts["checks"]] == [
        [name, "passed"]
        for name in (
            "raw delivery", "form", "headers", "topic", "signature version", "certificate address", "certificate",
            "signature", "freshness",
        )
    ]  # fmt: skip
    assert by_queue.verdicts["checks"][-1][2] == "not asked: it came by a queue"
