"""Questions about what SNS tells us, for alarms and boards: each answers with its evidence, a line each; none: all is well.

Read-only. What is asked and how often, and who hears of it, is not decided here.
"""

from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, Max, Q

from notifications import properties
from notifications.models import Message, PropertyOperation, Topic
from notifications.models.messages import FAILING

HISTORY = timedelta(days=60)
SILENT_FACTOR = 3  # times the longest silence that was usual
SILENT_AT_LEAST = timedelta(hours=1)
KNOWN_BY = 10  # messages; before, nobody knows what is usual


def quarantined() -> list[str]:
    """Messages that nobody understood, by reason."""
    return _by_reason(Message.State.QUARANTINED)


def held() -> list[str]:
    """Messages that wait for a person, by reason."""
    return _by_reason(Message.State.HELD)


def _by_reason(state: str) -> list[str]:
    rows = Message.objects.filter(state=state).values_list("topic__arn", "reason")
    counted = rows.annotate(Count("pk"), Max("message_id")).order_by("topic__arn", "reason")[:20]
    return [f"{count} of {arn.rsplit(':', 1)[1]}: {reason} ({newest})" for arn, reason, count, newest in counted]


def failing() -> list[str]:
    """Messages whose processing failed five times and goes on failing."""
    rows = Message.objects.filter(due_at__isnull=False, attempts__gte=FAILING).order_by("pk")[:20]
    return [f"{row}: {row.error or 'no answer'} ({row.attempts} attempts)" for row in rows]


def unsubscribed() -> list[str]:
    """Topics whose subscription somebody ended."""
    rows = Topic.objects.filter(subscription=Topic.Subscription.UNSUBSCRIBED)
    return [f"{topic.arn} since {topic.subscription_at:%Y-%m-%d %H:%M} UTC" for topic in rows]


def drift() -> list[str]:
    """In what the topics at AWS are not as they should be."""
    return [f"{topic}: {words}" for topic in Topic.objects.exclude(drift=[]) for words in topic.drift]


def silent() -> list[str]:
    """Subscribed topics that have said nothing for much longer than they used to.

    What is usual: the longest silence between two messages of the last 60 days.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _SILENT,
            {"history": HISTORY, "known": KNOWN_BY, "factor": SILENT_FACTOR, "least": SILENT_AT_LEAST},
        )
        rows = cursor.fetchall()
    return [
        f"{arn}: nothing since {last:%Y-%m-%d %H:%M} UTC; the longest silence was {usual}" for arn, last, usual in rows
    ]


def failing_automations() -> list[str]:
    """Automations of Smart Properties whose newest run failed."""
    return properties.failing_automations()


def refused_operations() -> list[str]:
    """What Smart Properties refuses to do for us, or has not done after five attempts."""
    failing = Q(state=PropertyOperation.State.FAILED) | Q(due_at__isnull=False, attempts__gte=5)
    rows = PropertyOperation.objects.filter(failing).order_by("pk")[:20]
    return [f"{row}: {row.reason} ({row.attempts} attempts)" for row in rows]


def skill_failures() -> list[str]:
    """Skills that fail too often in a unit of Smart Properties."""
    return properties.skill_failures(settings.ALARM_SKILL_FAILURES, timedelta(hours=1))


_SILENT = """
SELECT t.arn, h.last, date_trunc('second', h.usual) FROM notifications_topic AS t CROSS JOIN LATERAL (
  SELECT max(received_at) AS last, max(gap) AS usual, count(*) AS messages FROM (
    SELECT received_at, received_at - lag(received_at) OVER (ORDER BY received_at) AS gap FROM (
      SELECT received_at FROM notifications_message
      WHERE topic_id = t.id AND received_at > now() - %(history)s ORDER BY received_at DESC LIMIT 1000
    ) AS newest
  ) AS gaps
) AS h
WHERE t.subscription = 'confirmed' AND h.messages >= %(known)s
  AND now() - h.last > greatest(h.usual * %(factor)s, %(least)s)
ORDER BY t.arn
"""
