"""Topics at AWS, played by moto: set up for exactly the right publisher, twice the same, and never wider than before."""

import json
from datetime import timedelta
from typing import Any

import boto3
import pytest
from django.core.management import CommandError
from django.utils import timezone

from notifications import provision, tasks, wanted
from notifications.models import Topic
from tests.notifications.at_aws import policy, setup, subscriptions
from tests.notifications.conftest import refused, undone
from tests.notifications.signing_amazon import ARN, Amazon
from tests.notifications.test_wanted import WIDE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("aws")]
DASH, PROPERTIES = "arn:aws:iam::476877469412:root", "arn:aws:iam::006860194444:role/AlexaEventConsumerSnsIamRole"


def test_a_dry_run_says_everything_and_does_nothing(aws: Any) -> None:
    said = setup("--dry-run")
    for words in ("no such topic", "not let in", "version 2", "no dead-letter queue", "not subscribed"):
        assert words in said
    assert aws.list_topics()["Topics"] == []
    assert not boto3.client("sqs").list_queues().get("QueueUrls")
    assert not Topic.objects.exists()


@pytest.mark.parametrize(("kind", "publisher"), [("drs", DASH), ("asp", PROPERTIES)])
def test_everything_is_set_up_for_exactly_the_right_publisher(kind: str, publisher: str, aws: Any) -> None:
    before = json.dumps(boto3.client("sns").create_topic(Name="dash-orders") and policy(aws)["Statement"])
    setup("--apply", "--kind", kind)
    assert json.dumps(policy(aws)["Statement"][:-1]) == before
    assert policy(aws)["Statement"][-1] == {
        "Sid": wanted.PUBLISHERS[kind][0],
        "Effect": "Allow",
        "Principal": {"AWS": publisher},
        "Action": "sns:Publish",
        "Resource": ARN,
    }
    [subscription] = subscriptions(aws)
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("https", "https://crema.example/sns/")
    found = aws.get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])["Attributes"]
    assert json.loads(found["DeliveryPolicy"]) == {"healthyRetryPolicy": wanted.RETRIES}
    assert json.loads(found["RedrivePolicy"]) == {
        "deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dash-orders-dead-letters"
    }
    assert found["RawMessageDelivery"] == "false"
    row = Topic.objects.get()
    assert (row.kind, row.subscription, row.signature_version) == (kind, Topic.Subscription.CONFIRMED, "2")
    assert (row.subscription_arn, row.drift) == (subscription["SubscriptionArn"], [])


def test_a_topic_is_set_up_as_what_it_is_entered(aws: Any) -> None:
    Topic.objects.create(arn=ARN, kind="asp")
    setup("--apply")
    assert policy(aws)["Statement"][-1]["Principal"] == {"AWS": PROPERTIES}


def test_another_kind_than_it_is_entered_is_refused_before_anything_is_done(aws: Any) -> None:
    Topic.objects.create(arn=ARN, kind="asp", subscription="confirmed")
    aws.create_topic(Name="dash-orders")
    before = policy(aws)
    for what in ("--apply", "--dry-run"):
        with refused(what, CommandError, match="entered as a topic of Smart Properties"):
            setup(what, "--kind", "drs")
    assert policy(aws) == before
    assert not boto3.client("sqs").list_queues().get("QueueUrls")


def test_the_dead_letter_queue_takes_from_this_topic_only(aws: Any, ready: Topic) -> None:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="dash-orders-dead-letters")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy", "MessageRetentionPeriod"])["Attributes"]
    [statement] = json.loads(found["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": ARN}}
    assert found["MessageRetentionPeriod"] == str(14 * 86400)


def test_twice_changes_nothing(aws: Any, ready: Topic) -> None:
    before = policy(aws), subscriptions(aws)
    assert "nothing set right" in setup("--apply")
    assert "nothing would set right" in setup("--dry-run")
    assert (policy(aws), subscriptions(aws)) == before


def test_after_a_crash_the_next_run_goes_on(aws: Any) -> None:
    """Each dies when it has set one thing right."""
    runs, alive = 0, True
    while alive and runs < 10:
        steps = provision.set_right(provision.wanted_for(ARN, "drs"))
        alive = next(steps, None) is not None
        steps.close()
        runs += alive
    assert (runs, provision.check(Topic.objects.get())) == (6, [])


def test_an_answer_that_cannot_be_read_is_drift(
    aws: Any, ready: Topic, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.sns.responses import SNSResponse

    settings.SNS_MANAGED = True
    Topic.objects.update(drift_checked_at=None)
    whole = SNSResponse.get_topic_attributes

    def odd(self: Any) -> Any:
        answer = whole(self)
        answer.result["Attributes"]["Policy"] = "{"
        return answer

    monkeypatch.setattr(SNSResponse, "get_topic_attributes", odd)
    assert tasks.check_drift() == 1
    assert Topic.objects.get().drift == ["AWS could not be asked: JSONDecodeError"]


def test_a_topic_that_nobody_entered_is_not_checked(aws: Any) -> None:
    with pytest.raises(CommandError, match="is not entered here"):
        setup("--check")


def test_who_else_may_publish_is_left_to_a_person(aws: Any, ready: Topic) -> None:
    found = policy(aws)
    found["Statement"].append(WIDE)
    aws.set_topic_attributes(TopicArn=ARN, AttributeName="Policy", AttributeValue=json.dumps(found))
    with pytest.raises(CommandError, match="left to a person"):
        setup("--apply")
    assert policy(aws) == found
    assert Topic.objects.get().drift == ["The statement wide lets * publish."]


def test_our_statement_made_wide_by_somebody_is_not_touched(aws: Any, ready: Topic) -> None:
    found = policy(aws)
    found["Statement"][-1]["Principal"] = {"AWS": "*"}
    aws.set_topic_attributes(TopicArn=ARN, AttributeName="Policy", AttributeValue=json.dumps(found))
    with pytest.raises(CommandError, match="2 thing"):
        setup("--apply")
    assert policy(aws) == found


def test_a_changed_subscription_is_drift_and_set_right(aws: Any, ready: Topic) -> None:
    arn = subscriptions(aws)[0]["SubscriptionArn"]
    changes = {"RawMessageDelivery": "true", "RedrivePolicy": "{}", "DeliveryPolicy": '{"healthyRetryPolicy": {}}'}
    for name, value in changes.items():
        aws.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)
    row = Topic.objects.get()
    assert set(provision.check(row)) == {f"The subscription's {name} is not as it should be." for name in changes}
    row.refresh_from_db()
    assert len(row.drift) == 3
    assert row.drift_checked_at
    setup("--apply")
    assert provision.check(row) == []
    row.refresh_from_db()
    assert row.drift == []


def test_a_subscription_that_is_gone_is_drift(aws: Any, ready: Topic) -> None:
    aws.unsubscribe(SubscriptionArn=subscriptions(aws)[0]["SubscriptionArn"])
    assert provision.check(Topic.objects.get()) == ["Our address is not subscribed."]


def test_beat_compares_only_where_we_manage(aws: Any, ready: Topic, settings: Any) -> None:
    Topic.objects.update(drift_checked_at=None)
    assert tasks.check_drift() == 0
    assert Topic.objects.get().drift_checked_at is None
    settings.SNS_MANAGED = True
    aws.delete_topic(TopicArn=ARN)
    assert tasks.check_drift() == 1
    assert "There is no such topic." in Topic.objects.get().drift
    assert tasks.check_drift() == 0, "it was asked just now"
    Topic.objects.update(drift_checked_at=timezone.now() - timedelta(hours=1))
    assert tasks.check_drift() == 1, "what differs is asked again within the hour"
    Topic.objects.update(drift=[])
    assert tasks.check_drift() == 0, "what does not, only daily"


def test_aws_out_of_reach_is_drift_and_no_crash(settings: Any, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SNS_MANAGED = True
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    assert tasks.check_drift() == 1
    assert Topic.objects.get().drift == ["AWS could not be asked: EndpointConnectionError"]


def test_another_account_s_topic_that_cannot_be_read_is_not_ours_to_set_right(
    aws: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.sns.exceptions import SNSException
    from moto.sns.responses import SNSResponse

    def refuse(self: Any) -> Any:
        raise SNSException("AuthorizationError", "not authorized to perform: SNS:GetTopicAttributes")

    monkeypatch.setattr(SNSResponse, "get_topic_attributes", refuse)
    settings.SNS_MANAGED = True
    Topic.objects.create(arn=ARN.replace("123456789012", "111111111111"), drift=["It was read once."])
    assert (tasks.check_drift(), Topic.objects.get().drift) == (0, [])
    Topic.objects.update(arn=ARN, drift_checked_at=None)
    assert tasks.check_drift() == 1
    assert Topic.objects.get().drift[0].startswith("AWS could not be asked")


def test_what_lies_in_the_dead_letter_queue_is_told(aws: Any, ready: Topic) -> None:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="dash-orders-dead-letters")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    with pytest.raises(CommandError, match="left to a person"):
        setup("--check")
    assert Topic.objects.get().drift == ["1 message(s) wait in the dead-letter queue: manage.py sns_redrive"]
    sqs.purge_queue(QueueUrl=url)
    setup("--check")
    assert Topic.objects.get().drift == []


def test_a_topic_that_signs_with_version_2_takes_no_other_once_none_is_on_its_way(
    aws: Any, door: Any, amazon: Amazon
) -> None:
    Topic.objects.create(arn=ARN, signature_version="1")
    setup("--apply")
    for signed, lowest in (((), "1"), (("2", "2"), "2"), (("1", "2"), "1"), (("1", *("2",) * 10), "2")):
        with undone():
            for version in signed:
                assert door(amazon.message(SignatureVersion=version)).status_code == 200
            setup("--check")
            assert Topic.objects.get().signature_version == lowest, signed


def test_another_account_s_credentials_are_noticed(aws: Any) -> None:
    with pytest.raises(CommandError, match="another account"):
        setup("--apply", arn=ARN.replace("123456789012", "111111111111"))


def test_no_topic_at_all() -> None:
    for arn in ("dash-orders", "arn:aws:sns:mars-1:123456789012:dash"):
        with refused(arn, CommandError, match="not the ARN"):
            setup("--dry-run", arn=arn)
