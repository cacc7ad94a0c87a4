"""What a topic should be like, without AWS: who else may publish, what is asked for again, how long SNS tries."""

from typing import Any

from notifications import wanted
from tests.notifications.signing_amazon import ARN

WIDE = {"Sid": "wide", "Effect": "Allow", "Principal": "*", "Action": "SNS:*", "Resource": ARN}
WIDER: list[tuple[dict[str, Any], str]] = [
    ({}, "*"),
    ({"Principal": {"AWS": "*"}, "Action": ["sns:Pub*"]}, "*"),
    ({"Principal": {"AWS": ["arn:aws:iam::999999999999:root"]}}, "999999999999"),
    ({"Principal": {"Service": "events.amazonaws.com"}}, "events.amazonaws.com"),
    ({"Condition": {"StringLike": {"AWS:SourceOwner": "*"}}}, "*"),
    ({"Condition": {"StringEquals": {"AWS:SourceOwner": "999999999999"}}}, "*"),
]


def test_who_else_may_publish_is_said() -> None:
    ours = wanted.Wanted(ARN, "drs", "https://crema.example/sns/")
    for change, stranger in WIDER:
        found = wanted.Found({"Statement": [ours.statement(), WIDE | change]}, "2")
        [words] = [one.words for one in wanted.differences(ours, found) if not one.code]
        who = words.split(" lets ")[1].removesuffix(" publish.")
        assert words == f"The statement wide lets {who} publish.", change
        assert stranger in who, change


def test_what_lets_no_stranger_in_is_no_drift() -> None:
    for change in (
        {"Action": "sns:Subscribe"},
        {"Effect": "Deny"},
        {"Principal": {"AWS": "arn:aws:iam::123456789012:role/ours"}},
        {"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}},
        {"Principal": {"AWS": "476877469412"}, "Action": "sns:Publish"},
    ):
        policy = {"Statement": WIDE | change}
        assert wanted.strangers(wanted.Wanted(ARN, "drs", "https://crema.example/sns/"), policy) == [], change


def test_not_principal_and_not_action_are_wide() -> None:
    ours = wanted.Wanted(ARN, "drs", "https://crema.example/sns/")
    assert wanted.strangers(ours, {"Statement": {"Effect": "Allow", "NotPrincipal": "x", "Action": "sns:*"}})
    assert wanted.strangers(ours, {"Statement": {"Effect": "Allow", "Principal": "*", "NotAction": "sns:Subscribe"}})


def test_a_subscription_that_waits_is_asked_for_again() -> None:
    ours = wanted.Wanted(ARN, "drs", "https://crema.example/sns/")
    statement = {"Statement": [ours.statement()]}
    found = wanted.Found(statement, "2", "PendingConfirmation", {}, {"Statement": [ours.queue_statement()]}, 14)
    assert [difference.code for difference in wanted.differences(ours, found)] == ["subscribe"]


def test_the_tries_fit_into_the_hour_that_sns_gives() -> None:
    tries = wanted.RETRIES
    low, high = tries["numMinDelayRetries"], tries["numMaxDelayRetries"]
    assert tries["numNoDelayRetries"] + low + high == tries["numRetries"] == 100
    assert 3500 < low * tries["minDelayTarget"] + high * tries["maxDelayTarget"] <= 3600
