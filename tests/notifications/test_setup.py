"""Topics at AWS, played by moto: set up for exactly the right publisher, twice the same, and never wider than before."""

import copy
import json
import re
from datetime import timedelta
from io import StringIO
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from notifications import provision, tasks, wanted
from notifications.models import Message, Topic
from tests.notifications.signing_amazon import ARN, Amazon

pytestmark = pytest.mark.django_db
DASH, PROPERTIES = "arn:aws:iam::476877469412:root", "arn:aws:iam::006860194444:role/AlexaEventConsumerSnsIamRole"


@pytest.fixture(autouse=True)
def aws(aws_far_side: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty account; AWS tells a topic's signature version, which moto keeps and does not tell."""
    from moto.sns.models import sns_backends
    from moto.sns.responses import SNSResponse

    settings.PUBLIC_URL = "https://crema.example"
    whole = SNSResponse.get_topic_attributes

    def telling(self: Any) -> Any:
        answer = whole(self)
        topic = sns_backends["123456789012"]["us-east-1"].topics[self._get_param("TopicArn")]
        answer.result["Attributes"]["SignatureVersion"] = getattr(topic, "signature_version", "1")
        return answer

    monkeypatch.setattr(SNSResponse, "get_topic_attributes", telling)
    return boto3.client("sns")


AS_LEFT: dict[str, Any] = {}


@pytest.fixture
def ready(aws: Any) -> Topic:
    """A topic that `sns_setup --apply` has set up: the first time by itself, then account and row as that left them."""
    from moto.sns.models import sns_backends
    from moto.sqs.models import sqs_backends

    sns, sqs = (backends["123456789012"]["us-east-1"] for backends in (sns_backends, sqs_backends))
    if not AS_LEFT:
        setup("--apply")
        account = (sns.topics, sns.subscriptions, sqs.queues)
        # Each copy has topics, subscriptions and queues of its own; the backend that they lead back to, and locks, stay what they are.
        shared = {id(one): one for one in (sns, *(queue._messages_lock for queue in sqs.queues.values()))}
        AS_LEFT.update(account=copy.deepcopy(account, {**shared}), shared=shared, row=Topic.objects.values().get())
        return Topic.objects.get()
    sns.topics, sns.subscriptions, sqs.queues = copy.deepcopy(AS_LEFT["account"], {**AS_LEFT["shared"]})
    return Topic.objects.create(**AS_LEFT["row"])


def setup(*options: str, arn: str = ARN) -> str:
    said = StringIO()
    call_command("sns_setup", arn, *options, stdout=said)
    return said.getvalue()


def policy(aws: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(aws.get_topic_attributes(TopicArn=ARN)["Attributes"]["Policy"])
    return found


def subscriptions(aws: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = aws.list_subscriptions_by_topic(TopicArn=ARN)["Subscriptions"]
    return found


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


@pytest.mark.parametrize("what", ["--apply", "--dry-run"])
def test_another_kind_than_it_is_entered_is_refused_before_anything_is_done(what: str, aws: Any) -> None:
    Topic.objects.create(arn=ARN, kind="asp", subscription="confirmed")
    aws.create_topic(Name="dash-orders")
    before = policy(aws)
    with pytest.raises(CommandError, match="entered as a topic of Smart Properties"):
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


@pytest.mark.parametrize("place", range(6))
def test_after_a_crash_the_next_run_goes_on(place: int, aws: Any) -> None:
    steps = provision.set_right(provision.wanted_for(ARN, "drs"))
    [next(steps) for _ in range(place)]
    steps.close()
    setup("--apply")
    assert provision.check(Topic.objects.get()) == []


def test_the_password_is_in_the_address_and_nowhere_else(aws: Any, settings: Any) -> None:
    settings.SNS_BASIC_AUTH = ["sns:beans", "sns:old"]
    said = setup("--apply")
    assert subscriptions(aws)[0]["Endpoint"] == "https://sns:beans@crema.example/sns/"
    assert "beans" not in said
    assert "nothing set right" in setup("--apply")


@pytest.mark.parametrize("password", ["be@ns", "b/ea:ns", "100%", "b#?e[a]n s", "böhnchen"])
def test_a_password_of_any_characters_stays_in_its_place(password: str, settings: Any) -> None:
    settings.PUBLIC_URL, settings.SNS_BASIC_AUTH = "https://crema.example", [f"sns:{password}"]
    endpoint = provision.wanted_for(ARN).endpoint
    told = urlsplit(endpoint)
    assert (told.hostname, told.path, unquote(told.password or "")) == ("crema.example", "/sns/", password)
    assert wanted.same_address("https://sns:****@crema.example/sns/", endpoint)


def test_a_password_of_any_characters_is_told_to_sns_and_kept_out_of_our_way(aws: Any, settings: Any) -> None:
    settings.SNS_BASIC_AUTH = ["sns:be@n/s:100%#?[a] ö"]
    setup("--apply")
    told = urlsplit(subscriptions(aws)[0]["Endpoint"])
    assert (told.hostname, told.path, unquote(told.password or "")) == ("crema.example", "/sns/", "be@n/s:100%#?[a] ö")
    assert "nothing set right" in setup("--apply")


def test_somebody_else_s_odd_address_is_not_ours_and_stops_nothing(aws: Any) -> None:
    aws.create_topic(Name="dash-orders")
    aws.subscribe(TopicArn=ARN, Protocol="https", Endpoint="https://sns:be/ans@crema.example/sns/")
    setup("--apply")
    assert provision.check(Topic.objects.get()) == []


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


WIDE = {"Sid": "wide", "Effect": "Allow", "Principal": "*", "Action": "SNS:*", "Resource": ARN}
WIDER: list[tuple[dict[str, Any], str]] = [
    ({}, "*"),
    ({"Principal": {"AWS": "*"}, "Action": ["sns:Pub*"]}, "*"),
    ({"Principal": {"AWS": ["arn:aws:iam::999999999999:root"]}}, "999999999999"),
    ({"Principal": {"Service": "events.amazonaws.com"}}, "events.amazonaws.com"),
    ({"Condition": {"StringLike": {"AWS:SourceOwner": "*"}}}, "*"),
    ({"Condition": {"StringEquals": {"AWS:SourceOwner": "999999999999"}}}, "*"),
]


@pytest.mark.parametrize(("change", "stranger"), WIDER)
def test_who_else_may_publish_is_said(change: dict[str, Any], stranger: str) -> None:
    ours = wanted.Wanted(ARN, "drs", "https://crema.example/sns/")
    found = wanted.Found({"Statement": [ours.statement(), WIDE | change]}, "2")
    [words] = [one.words for one in wanted.differences(ours, found) if not one.code]
    assert words == f"The statement wide lets {words.split(' lets ')[1].removesuffix(' publish.')} publish."
    assert stranger in words


def test_who_else_may_publish_is_left_to_a_person(aws: Any, ready: Topic) -> None:
    found = policy(aws)
    found["Statement"].append(WIDE)
    aws.set_topic_attributes(TopicArn=ARN, AttributeName="Policy", AttributeValue=json.dumps(found))
    with pytest.raises(CommandError, match="left to a person"):
        setup("--apply")
    assert policy(aws) == found
    assert Topic.objects.get().drift == ["The statement wide lets * publish."]


@pytest.mark.parametrize(
    "change",
    [
        {"Action": "sns:Subscribe"},
        {"Effect": "Deny"},
        {"Principal": {"AWS": "arn:aws:iam::123456789012:role/ours"}},
        {"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}},
        {"Principal": {"AWS": "476877469412"}, "Action": "sns:Publish"},
    ],
)
def test_what_lets_no_stranger_in_is_no_drift(change: dict[str, Any]) -> None:
    policy = {"Statement": WIDE | change}
    assert wanted.strangers(wanted.Wanted(ARN, "drs", "https://crema.example/sns/"), policy) == []


def test_not_principal_and_not_action_are_wide() -> None:
    ours = wanted.Wanted(ARN, "drs", "https://crema.example/sns/")
    assert wanted.strangers(ours, {"Statement": {"Effect": "Allow", "NotPrincipal": "x", "Action": "sns:*"}})
    assert wanted.strangers(ours, {"Statement": {"Effect": "Allow", "Principal": "*", "NotAction": "sns:Subscribe"}})


def test_our_statement_made_wide_by_somebody_is_not_touched(aws: Any, ready: Topic) -> None:
    found = policy(aws)
    found["Statement"][-1]["Principal"] = {"AWS": "*"}
    aws.set_topic_attributes(TopicArn=ARN, AttributeName="Policy", AttributeValue=json.dumps(found))
    with pytest.raises(CommandError, match="2 thing"):
        setup("--apply")
    assert policy(aws) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [("RawMessageDelivery", "true"), ("RedrivePolicy", "{}"), ("DeliveryPolicy", '{"healthyRetryPolicy": {}}')],
)
def test_a_changed_subscription_is_drift_and_set_right(name: str, value: str, aws: Any, ready: Topic) -> None:
    arn = subscriptions(aws)[0]["SubscriptionArn"]
    aws.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)
    row = Topic.objects.get()
    assert provision.check(row) == [f"The subscription's {name} is not as it should be."]
    row.refresh_from_db()
    assert row.drift
    assert row.drift_checked_at
    setup("--apply")
    assert provision.check(row) == []
    row.refresh_from_db()
    assert row.drift == []


def test_a_subscription_that_is_gone_is_drift(aws: Any, ready: Topic) -> None:
    aws.unsubscribe(SubscriptionArn=subscriptions(aws)[0]["SubscriptionArn"])
    assert provision.check(Topic.objects.get()) == ["Our address is not subscribed."]


def test_a_subscription_that_waits_is_asked_for_again() -> None:
    ours = wanted.Wanted(ARN, "drs", "https://crema.example/sns/")
    statement = {"Statement": [ours.statement()]}
    found = wanted.Found(statement, "2", "PendingConfirmation", {}, {"Statement": [ours.queue_statement()]}, 14)
    assert [difference.code for difference in wanted.differences(ours, found)] == ["subscribe"]


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


# What SNS was told


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


def told(aws: Any) -> list[str]:
    """The addresses that SNS knows, in the order in which it was told them."""
    from moto.sns.models import sns_backends

    return [one.endpoint for one in sns_backends["123456789012"]["us-east-1"].subscriptions.values()]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([], ["sns:beans"], "no password of SNS_BASIC_AUTH: its messages are refused"),
        (["sns:old"], ["sns:beans", "sns:old"], "an older password"),
        (["sns:old"], ["sns:beans"], "no password of SNS_BASIC_AUTH: its messages are refused"),
        (["sns:beans", "sns:old"], [], ""),
        (["sns:beans", "sns:old"], ["sns:beans"], ""),
    ],
)
def test_another_password_is_drift_and_another_subscription(
    before: list[str], after: list[str], words: str, aws: Any, settings: Any, waiting: set[str]
) -> None:
    settings.SNS_BASIC_AUTH = before
    setup("--apply")
    first = Topic.objects.get().subscription_arn
    settings.SNS_BASIC_AUTH = after
    drift = provision.check(Topic.objects.get())
    assert (bool(drift), words in "".join(drift)) == (bool(words), True)
    if not words:
        assert "nothing set right" in setup("--apply")
        return
    with pytest.raises(CommandError, match="left to a person"):
        setup("--apply")
    assert told(aws)[1:] == ["https://sns:beans@crema.example/sns/"]
    row = Topic.objects.get()
    assert (row.subscription, row.subscription_arn != first) == ("confirmed", True)
    assert "beans" not in row.told
    assert row.drift == [f"{first} brings our address the same messages: end it in AWS."]
    aws.unsubscribe(SubscriptionArn=first)
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


@pytest.mark.parametrize("what", ["--apply", "--check"])
@pytest.mark.parametrize("state", ["none", "unsubscribed", "pending"])
def test_a_row_that_is_wrong_follows_what_aws_shows(what: str, state: str, aws: Any, ready: Topic) -> None:
    before = Topic.objects.get()
    long_ago = timezone.now() - timedelta(days=1)
    Topic.objects.update(subscription=state, subscription_arn="", subscription_at=long_ago)
    setup(what)
    row = Topic.objects.get()
    assert (row.subscription, row.subscription_arn) == ("confirmed", before.subscription_arn)
    assert row.subscription_at > long_ago


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


@pytest.mark.parametrize(
    ("signed", "lowest"), [((), "1"), (("2", "2"), "2"), (("1", "2"), "1"), (("1", *("2",) * 10), "2")]
)
def test_a_topic_that_signs_with_version_2_takes_no_other_once_none_is_on_its_way(
    signed: tuple[str, ...], lowest: str, aws: Any, door: Any, amazon: Amazon
) -> None:
    Topic.objects.create(arn=ARN, signature_version="1")
    setup("--apply")
    for version in signed:
        assert door(amazon.message(SignatureVersion=version)).status_code == 200
    setup("--check")
    assert Topic.objects.get().signature_version == lowest


def test_a_subscription_that_a_link_can_end_is_for_a_person(aws: Any, ready: Topic) -> None:
    from moto.sns.models import sns_backends

    [one] = sns_backends["123456789012"]["us-east-1"].subscriptions.values()
    one.attributes["ConfirmationWasAuthenticated"] = "false"
    with pytest.raises(CommandError, match="1 thing"):
        setup("--apply")
    assert "was not confirmed by this portal" in Topic.objects.get().drift[0]


def test_the_tries_fit_into_the_hour_that_sns_gives() -> None:
    tries = wanted.RETRIES
    low, high = tries["numMinDelayRetries"], tries["numMaxDelayRetries"]
    assert tries["numNoDelayRetries"] + low + high == tries["numRetries"] == 100
    assert 3500 < low * tries["minDelayTarget"] + high * tries["maxDelayTarget"] <= 3600


def test_another_account_s_credentials_are_noticed(aws: Any) -> None:
    with pytest.raises(CommandError, match="another account"):
        setup("--apply", arn=ARN.replace("123456789012", "111111111111"))


@pytest.mark.parametrize("arn", ["dash-orders", "arn:aws:sns:mars-1:123456789012:dash"])
def test_no_topic_at_all(arn: str) -> None:
    with pytest.raises(CommandError, match="not the ARN"):
        setup("--dry-run", arn=arn)
