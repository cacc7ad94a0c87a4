"""Topics at AWS: how they stand, and what sets them right. On the wire, idempotent, and never widening a policy.

What should be is pure and in `wanted.py`; our own subscription's confirmation is `topics.py`. The topic's row follows what AWS
shows, so that a door whose database is new or was wrong takes what SNS brings it.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from botocore.exceptions import ClientError
from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db.models.functions import Now
from django.utils import timezone

from notifications.models import Message, Topic
from notifications.wanted import KEPT_DAYS, Difference, Found, Wanted, differences, same_address

CONFIRMED_WITHIN = timedelta(minutes=10)  # SNS asks for it at once; what AWS lists may be a little older
VERSION_2 = "valid, version 2"


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
    """In what the topic at AWS is not as it should be, written down on its row. Idempotent, on the wire.

    That a subscription waits for its confirmation is no difference while it was asked for just now.
    """
    wanted = wanted_for(topic.arn)
    found = look(wanted)
    asked = _asked_just_now(_entered(wanted, found))
    words = [one.words for one in differences(wanted, found) if not (asked and one.code == "subscribe")]
    Topic.objects.filter(pk=topic.pk).update(drift=words, drift_checked_at=Now())
    return words


def look(wanted: Wanted) -> Found:
    """How the topic stands. On the wire, changes nothing; raises what boto3 raises."""
    sns, sqs = _clients(wanted)
    policy, days, waiting = _queue(sqs, wanted)
    queue = {"queue_policy": policy, "queue_kept_days": days, "queue_waiting": waiting}
    topic = _or_none(lambda: sns.get_topic_attributes(TopicArn=wanted.arn), "NotFound")
    if topic is None:
        return Found(**queue)
    attributes = topic["Attributes"]
    ours, *others = _subscriptions(sns, wanted)
    return Found(
        json.loads(attributes["Policy"]),
        attributes.get("SignatureVersion", ""),
        ours,
        _attributes(sns, ours),
        **queue,
        others=tuple(other for other in others if other.startswith("arn:")),
        told=_told(wanted),
    )


def _told(wanted: Wanted) -> Literal["the first", "an older one", "none"]:
    """Which of our passwords SNS was told; any will do where we ask for none."""
    told = Topic.objects.filter(arn=wanted.arn).values_list("told", flat=True).first() or ""
    known = [check_password(pair, told) for pair in settings.SNS_BASIC_AUTH]
    if not known or known[0]:
        return "the first"
    return "an older one" if any(known) else "none"


def _entered(wanted: Wanted, found: Found) -> Topic:
    """The topic's row, made if there is none, as AWS shows our subscription and its signatures."""
    version = "1" if found.subscription_arn and found.signature_version != "2" else "2"  # some may be on their way
    row, _ = Topic.objects.get_or_create(arn=wanted.arn, defaults={"kind": wanted.kind, "signature_version": version})
    rows = Topic.objects.filter(pk=row.pk, subscription=row.subscription, subscription_arn=row.subscription_arn)
    if _is_news(row, found):
        told = row.told if found.subscription_arn == row.subscription_arn else ""
        confirmed = {"subscription": Topic.Subscription.CONFIRMED, "subscription_arn": found.subscription_arn}
        rows.update(**confirmed, subscription_at=Now(), told=told)
    if found.signature_version == "2" and row.signature_version == "1" and _only_version_2(row):
        Topic.objects.filter(pk=row.pk).update(signature_version="2")
    row.refresh_from_db()
    return row


def _is_news(row: Topic, found: Found) -> bool:
    """AWS shows a confirmed subscription of ours, and not one from before the one that was asked for just now."""
    same = row.subscription_arn == found.subscription_arn
    if not found.confirmed or (_asked_just_now(row) and not same):
        return False
    return not same or row.subscription != Topic.Subscription.CONFIRMED


def _asked_just_now(row: Topic) -> bool:
    asked = row.subscription_at if row.subscription == Topic.Subscription.PENDING else None
    return asked is not None and asked > timezone.now() - CONFIRMED_WITHIN


def _only_version_2(row: Topic) -> bool:
    """None of version 1 is on its way any more, as far as the newest messages tell."""
    newest = Message.objects.filter(topic=row).order_by("-received_at", "-pk")[:10]
    signatures = [message.verdicts.get("signature") for message in newest]
    return bool(signatures) and set(signatures) == {VERSION_2}


def of_another_account(topic: Topic) -> bool:
    """Whether it is not the account of our credentials. On the wire; raises what boto3 raises."""
    identity = _client("sts", topic.region).get_caller_identity()
    return bool(identity["Account"] != topic.arn.split(":")[4])


def set_right(wanted: Wanted) -> Iterator[Difference]:
    """Set right what can be without taking anything from anybody, one thing at a time; what is left to a person comes too.

    Idempotent; after a crash the next run goes on. Raises ProvisionError and what boto3 raises.
    """
    found = look(wanted)
    if found.policy is not None:
        _entered(wanted, found)
    for difference in differences(wanted, found):
        if difference.code:
            _REPAIRS.get(difference.code, _set_attribute)(wanted, difference.code)
        yield difference


def _clients(wanted: Wanted) -> tuple[Any, Any]:
    region = wanted.arn.split(":")[3]
    return _client("sns", region), _client("sqs", region)


def _client(name: str, region: str) -> Any:
    import boto3  # takes a tenth of a second, and only some processes ever ask AWS
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3})
    return boto3.client(name, region_name=region, config=config)


def _or_none(ask: Callable[[], Any], *codes: str) -> Any:
    try:
        return ask()
    except ClientError as problem:
        if any(code in problem.response["Error"]["Code"] for code in codes):
            return None
        raise


def _queue(sqs: Any, wanted: Wanted) -> tuple[dict[str, Any] | None, int, int]:
    """The dead-letter queue's policy, days and number of messages."""
    url = _or_none(lambda: sqs.get_queue_url(QueueName=wanted.dead_letters), "NonExistentQueue", "QueueDoesNotExist")
    if url is None:
        return None, 0, 0
    names = ["Policy", "MessageRetentionPeriod", "ApproximateNumberOfMessages"]
    found = sqs.get_queue_attributes(QueueUrl=url["QueueUrl"], AttributeNames=names)["Attributes"]
    kept, waiting = int(found["MessageRetentionPeriod"]) // 86400, int(found["ApproximateNumberOfMessages"])
    return json.loads(found.get("Policy") or "{}"), kept, waiting


def _subscriptions(sns: Any, wanted: Wanted) -> list[str]:
    """All to our address, the first of them ours: the one that we know, else one that waits (AWS gives it no ARN), else any.

    One empty text where there is none.
    """
    known = Topic.objects.filter(arn=wanted.arn).values_list("subscription_arn", flat=True).first()
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=wanted.arn)
    found = [
        one["SubscriptionArn"]
        for page in pages
        for one in page["Subscriptions"]
        if one["Protocol"] == "https" and same_address(one["Endpoint"], wanted.endpoint)
    ]
    return sorted(found, key=lambda arn: (arn != known, arn.startswith("arn:"))) or [""]


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
    rows = Topic.objects.filter(pk=row.pk)
    rows.update(subscription=Topic.Subscription.PENDING, subscription_at=Now())
    attributes = {name: _as_text(value) for name, value in wanted.attributes().items()}
    made = _clients(wanted)[0].subscribe(
        TopicArn=wanted.arn,
        Protocol="https",
        Endpoint=wanted.endpoint,
        Attributes=attributes,
        ReturnSubscriptionArn=True,
    )
    told = make_password(settings.SNS_BASIC_AUTH[0]) if settings.SNS_BASIC_AUTH else ""
    rows.update(subscription_arn=made["SubscriptionArn"], told=told)


def _set_attribute(wanted: Wanted, name: str) -> None:
    sns, _sqs = _clients(wanted)
    arn = _subscriptions(sns, wanted)[0]
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
