"""Our subscriptions to topics: confirmed through Amazon's API and never by opening an address from a message.

Making topics and subscribing is `provision.py`, or staff in AWS's console, who then enter the topic.
"""

from datetime import timedelta

from django.db.models.functions import Now
from django.utils import timezone

from notifications.models import Message, Topic

TOKEN_LIFE = timedelta(days=2)
LEASE = timedelta(minutes=2)
NOBODY_ASKED = "Nobody here asked for this subscription. If you did, set the topic to “asked for” and process it again."
TOO_LATE = "The token is older than two days: subscribe again."


def consider(message: Message) -> None:
    """Leave a SubscriptionConfirmation due where we asked for it, else hold it for a person. In a transaction."""
    if message.topic.subscription == Topic.Subscription.CONFIRMED:
        message.settle(Message.State.DONE, "The subscription is confirmed already.")
    elif message.topic.subscription != Topic.Subscription.PENDING:
        message.settle(Message.State.HELD, NOBODY_ASKED)
    elif message.sent_at < timezone.now() - TOKEN_LIFE:
        message.settle(Message.State.QUARANTINED, TOO_LATE)
    else:
        _lease(message)


def _lease(message: Message) -> None:
    """It stays due, a little later: whoever holds it now talks to Amazon, and if we die somebody else will."""
    message.attempts += 1
    message.due_at = Now() + LEASE
    message.save(update_fields=["attempts", "due_at"])


def confirm(message: Message) -> None:
    """Confirm the subscription at Amazon, then write it down. On the wire: call it with no transaction open.

    At most 8 s. Idempotent. Raises what boto3 raises. Source: Amazon's SNS guide, section 9.
    """
    import boto3  # takes a tenth of a second, and only some processes ever ask AWS
    from botocore.config import Config

    topic, config = message.topic, Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    client = boto3.client("sns", region_name=topic.region, config=config)
    answer = client.confirm_subscription(
        TopicArn=topic.arn, Token=message.unseal()["Token"], AuthenticateOnUnsubscribe="true"
    )
    topic.subscription, topic.subscription_arn = Topic.Subscription.CONFIRMED, answer["SubscriptionArn"]
    topic.subscription_at = timezone.now()
    topic.save(update_fields=["subscription", "subscription_arn", "subscription_at"])
    message.settle(Message.State.DONE, "The subscription was confirmed.")


def mark_unsubscribed(message: Message) -> None:
    """Somebody ended our subscription: say so at the topic, unless it was subscribed again since. In a transaction."""
    told = Topic.objects.filter(pk=message.topic_id).exclude(subscription_at__gt=message.sent_at)
    told.update(subscription=Topic.Subscription.UNSUBSCRIBED, subscription_at=message.sent_at)
    message.settle(Message.State.DONE, "Amazon says that this topic is no longer subscribed.")
