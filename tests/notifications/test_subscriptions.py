"""Our subscriptions: confirmed at Amazon's API when we asked, held for a person when nobody did, never by a link."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from notifications import inbox, processing, topics
from notifications.models import Message, Topic
from tests.notifications.conftest import refused
from tests.notifications.signing_amazon import ARN, Amazon, FarSide, far_side

SUBSCRIPTION = f"{ARN}:b24e11a2-06bd-4e73-aa29-0ed2de3b41b5"
CONFIRMED = f"""<ConfirmSubscriptionResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ConfirmSubscriptionResult>
<SubscriptionArn>{SUBSCRIPTION}</SubscriptionArn></ConfirmSubscriptionResult></ConfirmSubscriptionResponse>"""
REFUSED = """<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>
<Code>InvalidParameter</Code><Message>Invalid token</Message></Error></ErrorResponse>"""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FarSide]:
    """Amazon's SNS API, and credentials for it."""
    with far_side() as side:
        side.body, side.headers = CONFIRMED.encode(), {"Content-Type": "text/xml"}
        monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", side.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield side


@pytest.fixture
def asked_for(db: None, set_clock: Any) -> Topic:
    """A topic whose subscription staff asked for; the messages are of today, for a token lives two days."""
    set_clock(timezone.now())
    return Topic.objects.create(arn=ARN, subscription=Topic.Subscription.PENDING)


def today(amazon: Amazon, kind: str = "SubscriptionConfirmation", **changes: Any) -> dict[str, Any]:
    return amazon.confirmation(kind, **{"at": timezone.now(), **changes})


def test_a_subscription_that_we_asked_for_is_confirmed(
    asked_for: Topic, door: Any, amazon: Amazon, aws: FarSide, work: Any
) -> None:
    assert door(today(amazon)).status_code == 200
    assert aws.posted == []
    assert work() == 1
    call = {name: values[0] for name, values in parse_qs(aws.posted[0]).items()}
    assert call == {
        "Action": "ConfirmSubscription",
        "Version": "2010-03-31",
        "TopicArn": ARN,
        "Token": "secret-token",
        "AuthenticateOnUnsubscribe": "true",
    }
    asked_for.refresh_from_db()
    assert (asked_for.subscription, asked_for.subscription_arn) == (Topic.Subscription.CONFIRMED, SUBSCRIPTION)
    message = Message.objects.get()
    assert (message.state, message.sealed, message.due_at) == (Message.State.DONE, None, None)
    assert work() == 0
    inbox.replay(message)
    work()
    assert len(aws.posted) == 1


def test_nobody_asked(asked_for: Topic, door: Any, amazon: Amazon, aws: FarSide, work: Any) -> None:
    Topic.objects.update(subscription=Topic.Subscription.NONE)
    door(today(amazon))
    work()
    message = Message.objects.get()
    assert (message.state, message.reason, aws.posted) == (Message.State.HELD, topics.NOBODY_ASKED, [])
    Topic.objects.update(subscription=Topic.Subscription.PENDING)
    inbox.replay(message)
    work()
    assert len(aws.posted) == 1
    assert Topic.objects.get().subscription == Topic.Subscription.CONFIRMED


def test_amazon_does_not_confirm_just_now(asked_for: Topic, door: Any, amazon: Amazon, aws: FarSide, work: Any) -> None:
    door(today(amazon))
    for number, (aws.status, body) in enumerate([(400, REFUSED), (500, "<nonsense>"), (503, "")], 1):
        aws.body = body.encode()
        Message.objects.update(due_at=timezone.now())
        assert work() == 1, aws.status
        message = Message.objects.get()
        assert (message.state, message.attempts) == (Message.State.WAITING, 2 * number), aws.status
        assert "secret-token" not in message.error, aws.status
        assert message.unseal()["Token"] == "secret-token", aws.status
        assert Topic.objects.get().subscription == Topic.Subscription.PENDING, aws.status
    aws.status, aws.body = 200, CONFIRMED.encode()
    Message.objects.update(due_at=timezone.now())
    assert work() == 1
    assert Topic.objects.get().subscription == Topic.Subscription.CONFIRMED


def test_a_worker_that_dies_while_amazon_confirms(
    asked_for: Topic, door: Any, amazon: Amazon, aws: FarSide, work: Any
) -> None:
    """It stays due: after two minutes somebody else confirms it, which is harmless."""
    door(today(amazon))
    message = Message.objects.select_related("topic").get()
    processing.process([message])
    message.refresh_from_db()
    assert (message.state, work()) == (Message.State.WAITING, 0)
    assert timezone.now() + timedelta(minutes=1) < message.due_at < timezone.now() + timedelta(minutes=3)
    Message.objects.update(due_at=timezone.now())
    assert work() == 1
    assert Topic.objects.get().subscription == Topic.Subscription.CONFIRMED


def test_a_token_older_than_two_days_is_no_use(
    asked_for: Topic, door: Any, amazon: Amazon, aws: FarSide, work: Any
) -> None:
    message = today(amazon)
    door(message)
    Message.objects.update(sent_at=timezone.now() - timedelta(days=2, minutes=1))
    work()
    stored = Message.objects.get()
    assert (stored.state, stored.reason, stored.sealed, aws.posted) == (
        Message.State.QUARANTINED,
        topics.TOO_LATE,
        None,
        [],
    )


def test_an_unsubscription_marks_the_topic_and_opens_nothing(
    asked_for: Topic, door: Any, amazon: Amazon, aws: FarSide, work: Any
) -> None:
    Topic.objects.update(subscription=Topic.Subscription.CONFIRMED)
    door(today(amazon, "UnsubscribeConfirmation"))
    work()
    assert Topic.objects.get().subscription == Topic.Subscription.UNSUBSCRIBED
    message = Message.objects.get()
    assert (message.state, message.sealed) == (Message.State.DONE, None)
    assert (aws.asked, aws.posted) == ([], [])


def test_an_unsubscription_from_before_our_present_subscription_changes_nothing(
    asked_for: Topic, door: Any, amazon: Amazon, work: Any
) -> None:
    Topic.objects.update(
        subscription=Topic.Subscription.CONFIRMED, subscription_at=timezone.now() + timedelta(seconds=5)
    )
    door(today(amazon, "UnsubscribeConfirmation"))
    work()
    assert Topic.objects.get().subscription == Topic.Subscription.CONFIRMED


def test_neither_token_nor_links_are_stored_in_clear(asked_for: Topic, door: Any, amazon: Amazon) -> None:
    door(today(amazon))
    row = str(Message.objects.values().get())
    assert "secret-token" not in row
    assert "ConfirmSubscription&" not in row
    assert Message.objects.get().unseal()["Token"] == "secret-token"


def test_staff_cannot_enter_what_is_no_topic() -> None:
    for arn in ("", "dash", "arn:aws:sqs:us-east-1:123456789012:t", "arn:aws:sns:s3-us-west-2:123456789012:t"):
        with refused(arn, ValidationError):
            Topic(arn=arn).clean()
