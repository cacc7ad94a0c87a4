"""When a topic says nothing: what was usual is its own history, nights and busy hours alike."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from notifications import health
from notifications.models import Message, Topic
from tests.notifications.signing_amazon import ARN

pytestmark = pytest.mark.django_db


@pytest.fixture
def dash_topic() -> Topic:
    return Topic.objects.create(arn=ARN, subscription="confirmed")


def spoke(topic: Topic, times: Iterable[datetime]) -> None:
    Message.objects.bulk_create(
        Message(topic=topic, message_id=f"m-{number}", kind="Notification", sent_at=at, received_at=at, due_at=None)
        for number, at in enumerate(times)
    )


def minutes(first: datetime, count: int) -> list[datetime]:
    return [first + timedelta(minutes=number) for number in range(count)]


def test_a_busy_topic_that_sleeps_at_night_is_not_silent_in_the_morning(dash_topic: Topic) -> None:
    """A message every five minutes from morning to evening, then eight hours of nothing, as every night."""
    now = timezone.now()
    evenings = [now - timedelta(days=nights, hours=8) for nights in range(2)]
    spoke(dash_topic, (at for evening in evenings for at in minutes(evening - timedelta(hours=16), 961)[::5]))
    assert health.silent() == []
    Message.objects.update(received_at=F("received_at") - timedelta(days=1))
    [words] = health.silent()
    assert "never silent for longer than 8:00:00" in words


def test_a_busy_topic_is_silent_after_an_hour(dash_topic: Topic) -> None:
    spoke(dash_topic, minutes(timezone.now() - timedelta(minutes=179), 120))
    assert health.silent() == []
    Message.objects.all().delete()
    spoke(dash_topic, minutes(timezone.now() - timedelta(minutes=181), 120))
    assert len(health.silent()) == 1


def test_it_is_silent_until_it_speaks_again(dash_topic: Topic) -> None:
    spoke(dash_topic, minutes(timezone.now() - timedelta(days=1, hours=1), 60))
    for days, more in ((1, 60), (61, 239), (300, 0)):
        assert len(health.silent()) == 1, days
        Message.objects.update(received_at=F("received_at") - timedelta(days=more))
    Message.objects.create(topic=dash_topic, message_id="again", kind="Notification", sent_at=timezone.now())
    assert health.silent() == []


def test_a_topic_that_is_heard_by_a_queue_only_is_noticed_as_well(dash_topic: Topic) -> None:
    spoke(dash_topic, minutes(timezone.now() - timedelta(days=1), 60))
    Message.objects.update(came_by="sqs")
    for state in ("none", "pending", "unsubscribed"):
        Topic.objects.update(subscription=state)
        assert len(health.silent()) == 1, state


def test_nobody_knows_what_is_usual_after_nine_messages(dash_topic: Topic) -> None:
    spoke(dash_topic, minutes(timezone.now() - timedelta(days=1), 9))
    assert health.silent() == []


@pytest.mark.parametrize("at", [None, datetime(2026, 11, 21, 10)])
def test_an_unsubscribed_topic_is_told_with_or_without_its_time(at: datetime | None) -> None:
    when = at and timezone.make_aware(at)
    Topic.objects.create(arn=ARN, subscription="unsubscribed", subscription_at=when)
    assert health.unsubscribed() == [ARN + (" since 2026-11-21 10:00 UTC" if at else "")]
