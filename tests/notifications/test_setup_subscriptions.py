"""Our subscription at AWS, played by moto: which password SNS was told, which of several is ours, and the row that follows it."""

import itertools
import re
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from django.core.management import CommandError
from django.utils import timezone

from notifications import provision, tasks, wanted
from notifications.models import Message, Topic
from tests.notifications.at_aws import setup, subscriptions, told
from tests.notifications.signing_amazon import ARN, Amazon

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Subscriptions that wait for their confirmation, listed as AWS lists them; and it masks passwords."""
    from moto.sns.responses import SNSResponse

    whole, waiting = SNSResponse.list_subscriptions_by_topic, set[str]()

    def listed(self: Any) -> Any:
        answer = whole(self)
        answer.result["Subscriptions"] = [
            {
                "SubscriptionArn": "PendingConfirmation" if one.arn in waiting else one.arn,
                "Endpoint": re.sub(r"//(.*):.*@", r"//\1:****@", one.endpoint),
                "Protocol": one.protocol,
            }
            for one in answer.result["Subscriptions"]
        ]
        return answer

    monkeypatch.setattr(SNSResponse, "list_subscriptions_by_topic", listed)
    return waiting


def test_a_password_of_any_characters_stays_in_its_place(settings: Any) -> None:
    settings.PUBLIC_URL = "https://crema.example"
    for password in ("be@ns", "b/ea:ns", "100%", "b#?e[a]n s", "böhnchen"):
        settings.SNS_BASIC_AUTH = [f"sns:{password}"]
        endpoint = provision.wanted_for(ARN).endpoint
        told = urlsplit(endpoint)
        assert (told.hostname, told.path, unquote(told.password or "")) == ("crema.example", "/sns/", password)
        assert wanted.same_address("https://sns:****@crema.example/sns/", endpoint), password


def test_a_password_of_any_characters_is_told_to_sns_and_nobody_else(aws: Any, settings: Any) -> None:
    password = "be@n/s:100%#?[a] ö"
    settings.SNS_BASIC_AUTH = [f"sns:{password}", "sns:old"]
    said = setup("--apply")
    told = urlsplit(subscriptions(aws)[0]["Endpoint"])
    assert (told.hostname, told.path, unquote(told.password or "")) == ("crema.example", "/sns/", password)
    assert (password in said, str(told.password) in said) == (False, False)
    assert "nothing set right" in setup("--apply")


def test_somebody_else_s_odd_address_is_not_ours_and_stops_nothing(aws: Any) -> None:
    aws.create_topic(Name="dash-orders")
    aws.subscribe(TopicArn=ARN, Protocol="https", Endpoint="https://sns:be/ans@crema.example/sns/")
    setup("--apply")
    assert provision.check(Topic.objects.get()) == []


def test_another_password_is_drift_and_another_subscription(aws: Any, settings: Any, waiting: set[str]) -> None:
    none = "no password of SNS_BASIC_AUTH: its messages are refused"
    setup("--apply")  # without a password
    for passwords, words in (
        (["sns:beans"], none),
        (["sns:kidneys", "sns:beans"], "an older password"),
        (["sns:lentils"], none),
    ):
        settings.SNS_BASIC_AUTH, first = passwords, Topic.objects.get().subscription_arn
        assert words in "".join(provision.check(Topic.objects.get())), passwords
        with pytest.raises(CommandError, match="left to a person"):
            setup("--apply")
        assert told(aws)[1:] == [f"https://{passwords[0]}@crema.example/sns/"]
        row = Topic.objects.get()
        assert (row.subscription, row.subscription_arn != first) == ("confirmed", True)
        assert passwords[0] not in row.told
        assert row.drift == [f"{first} brings our address the same messages: end it in AWS."]
        aws.unsubscribe(SubscriptionArn=first)
    assert "nothing set right" in setup("--apply")


def test_fewer_passwords_are_no_drift(aws: Any, settings: Any, waiting: set[str]) -> None:
    settings.SNS_BASIC_AUTH = ["sns:beans", "sns:old"]
    setup("--apply")
    for settings.SNS_BASIC_AUTH in (["sns:beans"], []):
        assert provision.check(Topic.objects.get()) == []
        assert "nothing set right" in setup("--apply")


def test_an_older_subscription_s_confirmation_is_not_taken_for_the_new_one_s(
    aws: Any, settings: Any, waiting: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.sns.models import SNSBackend

    settings.SNS_BASIC_AUTH = ["sns:old"]
    setup("--apply")
    settings.SNS_BASIC_AUTH = ["sns:beans", "sns:old"]
    whole = SNSBackend.subscribe

    def subscribe(self: Any, *arguments: Any) -> Any:
        made = whole(self, *arguments)
        waiting.add(made.arn)
        return made

    monkeypatch.setattr(SNSBackend, "subscribe", subscribe)
    setup("--apply")
    row = Topic.objects.get()
    assert (row.subscription, row.drift, [row.subscription_arn]) == ("pending", [], [*waiting])
    Topic.objects.update(subscription_at=timezone.now() - timedelta(hours=1))
    assert provision.check(row) == ["Our subscription waits for its confirmation."]
    assert Topic.objects.get().subscription == "pending"
    waiting.clear()
    [words] = provision.check(row)
    assert "brings our address the same messages" in words
    assert Topic.objects.get().subscription == "confirmed"


def test_a_row_that_is_wrong_follows_what_aws_shows(aws: Any, ready: Topic) -> None:
    before, long_ago = Topic.objects.get(), timezone.now() - timedelta(days=1)
    for state, what in itertools.product(("none", "unsubscribed", "pending"), ("--apply", "--check")):
        Topic.objects.update(subscription=state, subscription_arn="", subscription_at=long_ago)
        setup(what)
        row = Topic.objects.get()
        assert (row.subscription, row.subscription_arn) == ("confirmed", before.subscription_arn), (state, what)
        assert row.subscription_at > long_ago, (state, what)


def test_a_portal_with_a_new_database_takes_what_its_old_subscription_brings(
    aws: Any, ready: Topic, door: Any, amazon: Amazon, settings: Any
) -> None:
    Topic.objects.all().delete()
    assert door(amazon.message()).status_code == 403
    setup("--apply")
    assert door(amazon.message()).status_code == 200
    assert Topic.objects.get().subscription == "confirmed"
    settings.SNS_BASIC_AUTH = ["sns:beans"]
    Message.objects.all().delete()
    Topic.objects.all().delete()
    with pytest.raises(CommandError, match="left to a person"):
        setup("--apply")
    assert told(aws)[1:] == ["https://sns:beans@crema.example/sns/"], "nobody knows what the old one was told"


def test_the_end_of_one_of_two_subscriptions_is_not_the_end(aws: Any, ready: Topic, settings: Any) -> None:
    settings.SNS_MANAGED = True
    Topic.objects.update(
        subscription="unsubscribed", subscription_at=timezone.now(), drift_checked_at=timezone.now() - tasks.HOURLY
    )
    assert tasks.check_drift() == 0
    assert Topic.objects.get().subscription == "confirmed"


def test_a_subscription_that_a_link_can_end_is_for_a_person(aws: Any, ready: Topic) -> None:
    from moto.sns.models import sns_backends

    [one] = sns_backends["123456789012"]["us-east-1"].subscriptions.values()
    one.attributes["ConfirmationWasAuthenticated"] = "false"
    with pytest.raises(CommandError, match="1 thing"):
        setup("--apply")
    assert "was not confirmed by this portal" in Topic.objects.get().drift[0]
