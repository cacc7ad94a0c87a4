"""What is forgotten and when: bodies first, the knowledge that a message was here much later, what was understood never."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from notifications import inbox, processing, retention
from notifications.models import Message, MessageBody, Notification, Order, Topic
from tests.notifications.signing_amazon import Amazon, dash
from tests.notifications.test_inbox import send, snapshot

pytestmark = pytest.mark.django_db
TODAY = datetime.now(UTC).date()


def partitions() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'notifications_messagebody'::regclass"
        )
        return sorted(name.removeprefix("notifications_messagebody_") for (name,) in cursor.fetchall())


def where(message: Message) -> str:
    """The partition that its body is in."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM notifications_messagebody WHERE message_id = %s", [message.pk]
        )
        [(name,)] = cursor.fetchall()
    return str(name).removeprefix("notifications_messagebody_")


def days_later(days: int) -> date:
    return TODAY + timedelta(days=days)


def test_the_next_days_are_prepared_and_twice_changes_nothing(settings: Any) -> None:
    retention.tidy()
    expected = [f"{days_later(ahead):%Y%m%d}" for ahead in range(8)]
    assert partitions() == [*expected, "default"]
    assert retention.tidy() == (0, 0)
    assert partitions() == [*expected, "default"]


def test_without_a_partition_nothing_is_refused(door: Any, topic: Topic, amazon: Amazon) -> None:
    message = send(door, amazon, dash())
    assert where(message) == "default"
    retention.tidy()
    assert message.body


def test_a_body_goes_with_its_day_and_the_order_stays(
    door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any, settings: Any
) -> None:
    retention.tidy()
    message = send(door, amazon, dash())
    work()
    before = snapshot()
    assert where(message) == f"{TODAY:%Y%m%d}"
    assert retention.tidy(days_later(settings.SNS_BODY_DAYS)) == (0, 0)
    assert retention.tidy(days_later(settings.SNS_BODY_DAYS + 1)) == (1, 0)
    message = Message.objects.get()
    assert (message.body, message.document) == (None, {})
    assert snapshot() == before
    inbox.replay(message)
    assert work() == 1
    message.refresh_from_db()
    assert (message.state, message.reason, snapshot()) == (Message.State.DONE, processing.PRUNED, before)
    assert Notification.objects.count() == 1


def test_a_message_that_is_known_is_known_without_its_body(
    door: Any, topic: Topic, amazon: Amazon, work: Any, settings: Any
) -> None:
    retention.tidy()
    message = amazon.message(json.dumps(dash()))
    door(message)
    work()
    retention.tidy(days_later(settings.SNS_BODY_DAYS + 1))
    assert door(message).status_code == 200
    assert work() == 0
    assert Message.objects.count() == 1


@pytest.mark.parametrize("prepared", [True, False])
def test_what_still_waits_keeps_its_body(
    prepared: bool, door: Any, topic: Topic, amazon: Amazon, work: Any, settings: Any
) -> None:
    if prepared:
        retention.tidy()
    for state in ("held", "quarantined", "waiting"):
        message = send(door, amazon, dash(order=state))
        due = message.received_at if state == "waiting" else None
        long_ago = message.received_at - timedelta(days=1000)
        Message.objects.filter(pk=message.pk).update(state=state, due_at=due, received_at=long_ago)
    retention.tidy(days_later(settings.SNS_BODY_DAYS + 1))
    for message in Message.objects.all():
        assert message.body, message.state
        inbox.replay(message)
    work()
    states = dict(Order.objects.values_list("instance_id", "state"))
    assert states == dict.fromkeys(("held", "quarantined", "waiting"), "PLACED")


def test_rows_are_deleted_much_later_and_what_was_understood_stays(
    door: Any, topic: Topic, amazon: Amazon, work: Any, settings: Any
) -> None:
    send(door, amazon, dash())
    work()
    before = snapshot()
    assert retention.tidy(days_later(settings.SNS_MESSAGE_DAYS)) == (0, 0)
    assert Message.objects.exists()
    assert retention.tidy(days_later(settings.SNS_MESSAGE_DAYS + 1))[1] == 1
    assert not Message.objects.exists()
    assert not MessageBody.objects.exists()
    assert snapshot() == before
    assert Notification.objects.get().message is None


def test_a_day_whose_bodies_are_in_the_default_partition_is_left_there(door: Any, topic: Topic, amazon: Amazon) -> None:
    send(door, amazon, dash())
    retention.tidy()
    assert f"{TODAY:%Y%m%d}" not in partitions()
    assert f"{days_later(1):%Y%m%d}" in partitions()
