"""A topic's account at AWS, played by moto: the command that sets it up, and how things stand there."""

import json
from io import StringIO
from typing import Any

from django.core.management import call_command

from tests.notifications.signing_amazon import ARN


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


def told(aws: Any) -> list[str]:
    """The addresses that SNS knows, in the order in which it was told them."""
    from moto.sns.models import sns_backends

    return [one.endpoint for one in sns_backends["123456789012"]["us-east-1"].subscriptions.values()]
