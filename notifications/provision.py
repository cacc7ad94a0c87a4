"""Topics at AWS: how they stand, and what sets them right. On the wire, idempotent, and never widening a policy.

What should be is pure and in `wanted.py`; our own subscription's confirmation is `topics.py`.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from django.conf import settings
from django.db.models.functions import Now

from notifications.models import Topic
from notifications.wanted import KEPT_DAYS, Difference, Found, Wanted, differences, same_address

_AWS = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3})


class ProvisionError(Exception):
    """It cannot be set right from here; the text says why."""


def wanted_for(arn: str, kind: str = "") -> Wanted:
    """The topic with our door as its subscriber, and the first of our passwords if there are any.

    Its kind is what staff entered, and `kind` (default: Dash) only where nobody did. Raises ProvisionError for another one:
    it would let the wrong publisher in.
    """
    row = Topic.objects.filter(arn=arn).first()
    if row and kind not in ("", row.kind):
        raise ProvisionError(f"{arn} is entered as a topic of {row.get_kind_display()}.")
    kind = row.kind if row else kind or Topic.Kind.DRS
    door = urlsplit(f"{settings.PUBLIC_URL}/sns/")
    if settings.SNS_BASIC_AUTH:
        user, _, password = settings.SNS_BASIC_AUTH[0].partition(":")
        door = door._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{door.netloc}")
    return Wanted(arn, kind, door.geturl())


def check(topic: Topic) -> list[str]:
    """In what the topic at AWS is not as it should be, written down on its row. Idempotent, on the wire."""
    wanted = wanted_for(topic.arn)
    words = [difference.words for difference in differences(wanted, look(wanted))]
    Topic.objects.filter(pk=topic.pk).update(drift=words, drift_checked_at=Now())
    return words


def look(wanted: Wanted) -> Found:
    """How the topic stands. On the wire, changes nothing; raises what boto3 raises."""
    sns, sqs = _clients(wanted)
    queue_policy, days = _queue(sqs, wanted)
    topic = _or_none(lambda: sns.get_topic_attributes(TopicArn=wanted.arn), "NotFound")
    if topic is None:
        return Found(queue_policy=queue_policy, queue_kept_days=days)
    attributes = topic["Attributes"]
    arn, subscription = _subscription(sns, wanted)
    return Found(
        json.loads(attributes["Policy"]), attributes.get("SignatureVersion", ""), arn, subscription, queue_policy, days
    )


def set_right(wanted: Wanted) -> Iterator[Difference]:
    """Set right what can be without taking anything from anybody, one thing at a time; what is left to a person comes too.

    Idempotent; after a crash the next run goes on. Raises ProvisionError and what boto3 raises.
    """
    for difference in differences(wanted, look(wanted)):
        if difference.code:
            _REPAIRS.get(difference.code, _set_attribute)(wanted, difference.code)
        yield difference


def _clients(wanted: Wanted) -> tuple[Any, Any]:
    region = wanted.arn.split(":")[3]
    return tuple(boto3.client(name, region_name=region, config=_AWS) for name in ("sns", "sqs"))  # type: ignore[return-value]


def _or_none(ask: Callable[[], Any], *codes: str) -> Any:
    try:
        return ask()
    except ClientError as problem:
        if any(code in problem.response["Error"]["Code"] for code in codes):
            return None
        raise


def _queue(sqs: Any, wanted: Wanted) -> tuple[dict[str, Any] | None, int]:
    url = _or_none(lambda: sqs.get_queue_url(QueueName=wanted.dead_letters), "NonExistentQueue", "QueueDoesNotExist")
    if url is None:
        return None, 0
    names = ["Policy", "MessageRetentionPeriod"]
    found = sqs.get_queue_attributes(QueueUrl=url["QueueUrl"], AttributeNames=names)["Attributes"]
    return json.loads(found.get("Policy") or "{}"), int(found["MessageRetentionPeriod"]) // 86400


def _subscription(sns: Any, wanted: Wanted) -> tuple[str, dict[str, Any]]:
    for page in sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=wanted.arn):
        for found in page["Subscriptions"]:
            if found["Protocol"] == "https" and same_address(found["Endpoint"], wanted.endpoint):
                return found["SubscriptionArn"], _attributes(sns, found["SubscriptionArn"])
    return "", {}


def _attributes(sns: Any, arn: str) -> dict[str, Any]:
    if not arn.startswith("arn:"):
        return {}
    found = dict(sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"])
    for name in ("DeliveryPolicy", "RedrivePolicy", "FilterPolicy"):
        if found.get(name):
            found[name] = _only_set(json.loads(found[name]))
    return found


def _only_set(document: dict[str, Any]) -> dict[str, Any]:
    """AWS fills policies up with nulls."""
    return {name: value for name, value in document.items() if value is not None}


def _create_topic(wanted: Wanted, _: str) -> None:
    made = _clients(wanted)[0].create_topic(Name=wanted.name)["TopicArn"]
    if made != wanted.arn:
        raise ProvisionError(f"These credentials make {made}, not {wanted.arn}: they are another account's.")


def _let_in(wanted: Wanted, _: str) -> None:
    """Our one statement more; every other stays to the letter."""
    sns, _sqs = _clients(wanted)
    policy = json.loads(sns.get_topic_attributes(TopicArn=wanted.arn)["Attributes"]["Policy"])
    policy["Statement"] = [*policy.get("Statement", []), wanted.statement()]
    sns.set_topic_attributes(TopicArn=wanted.arn, AttributeName="Policy", AttributeValue=json.dumps(policy))


def _sign_with_2(wanted: Wanted, _: str) -> None:
    _clients(wanted)[0].set_topic_attributes(TopicArn=wanted.arn, AttributeName="SignatureVersion", AttributeValue="2")


def _make_queue(wanted: Wanted, _: str) -> None:
    sqs = _clients(wanted)[1]
    url = sqs.create_queue(QueueName=wanted.dead_letters)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": str(KEPT_DAYS * 86400)})


def _let_sns_send(wanted: Wanted, _: str) -> None:
    sqs = _clients(wanted)[1]
    url = sqs.get_queue_url(QueueName=wanted.dead_letters)["QueueUrl"]
    policy = _queue(sqs, wanted)[0] or {"Version": "2012-10-17"}
    policy["Statement"] = [*policy.get("Statement", []), wanted.queue_statement()]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


def _subscribe(wanted: Wanted, code: str) -> None:
    """The row first: the confirmation comes before this returns, and is confirmed only when it was asked for."""
    row, _ = Topic.objects.get_or_create(arn=wanted.arn, defaults={"kind": wanted.kind, "signature_version": "2"})
    Topic.objects.filter(pk=row.pk).update(subscription=Topic.Subscription.PENDING, subscription_at=Now())
    attributes = {name: _as_text(value) for name, value in wanted.attributes().items()}
    _clients(wanted)[0].subscribe(
        TopicArn=wanted.arn,
        Protocol="https",
        Endpoint=wanted.endpoint,
        Attributes=attributes,
        ReturnSubscriptionArn=True,
    )


def _set_attribute(wanted: Wanted, name: str) -> None:
    sns, _sqs = _clients(wanted)
    arn, _found = _subscription(sns, wanted)
    value = _as_text(wanted.attributes()[name])
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_REPAIRS: dict[str, Callable[[Wanted, str], None]] = {
    "topic": _create_topic,
    "policy": _let_in,
    "signature": _sign_with_2,
    "queue": _make_queue,
    "queue policy": _let_sns_send,
    "subscribe": _subscribe,
}
