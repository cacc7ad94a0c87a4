"""Questions about what SNS tells us, for alarms and boards: each answers with its evidence, a line each; none: all is well.

Read-only. What is asked and how often, and who hears of it, is not decided here.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, Max, Q

from notifications import properties
from notifications.models import Message, PropertyOperation, Topic
from notifications.models.messages import FAILING

HISTORY = timedelta(days=60)
SILENT_FACTOR = 3  # times the longest silence that was usual
SILENT_AT_LEAST = timedelta(hours=1)
PIECE = SILENT_AT_LEAST / SILENT_FACTOR  # silences shorter than this make no difference
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
    return [f"{topic.arn}{_since(topic.subscription_at)}" for topic in rows]


def _since(at: datetime | None) -> str:
    """Empty where nobody wrote it down: staff may set the state by hand."""
    return f" since {at:%Y-%m-%d %H:%M} UTC" if at else ""


def drift() -> list[str]:
    """In what the topics at AWS are not as they should be."""
    return [f"{topic}: {words}" for topic in Topic.objects.exclude(drift=[]) for words in topic.drift]


def silent() -> list[str]:
    """Topics that have said nothing for much longer than they used to, whichever way they are heard.

    What is usual: the longest silence between two messages of the 60 days before the last one. So it
    stays open until the topic speaks again, however long that takes.
    """
    topics = [topic for topic in Topic.objects.all() if _is_heard(topic)]
    return [f"{topic.arn}: {words}" for topic in topics if (words := _silence(topic))]


def _is_heard(topic: Topic) -> bool:
    """Its subscription was not ended, or it comes by a queue: nobody confirms that to us."""
    newest = topic.messages.order_by("-received_at").values_list("came_by", flat=True).first()
    return topic.subscription != Topic.Subscription.UNSUBSCRIBED or newest == Message.Way.SQS


def _silence(topic: Topic) -> str:
    """In words; empty while it speaks as it used to."""
    known = {"history": HISTORY, "known": KNOWN_BY, "factor": SILENT_FACTOR, "piece": PIECE}
    with connection.cursor() as cursor:
        cursor.execute(_SILENCE, {"topic": topic.pk, **known})
        found = cursor.fetchone()
    if found is None:
        return ""
    last, usual = found
    return f"nothing since {last:%Y-%m-%d %H:%M} UTC; it was never silent for longer than {usual}"


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


# Of each piece of time its first and last message, two looks into an index: a busy topic costs no more than a quiet one.
# Asked for each topic by its number, for which PostgreSQL knows how much it says: with a join it takes an index over all topics.
_SILENCE = """
SELECT newest.last, date_trunc('second', h.usual)
FROM (SELECT max(received_at) AS last FROM notifications_message WHERE topic_id = %(topic)s) AS newest
CROSS JOIN LATERAL (SELECT greatest(max(gap), %(piece)s) AS usual FROM (
  SELECT spoke.first - lag(spoke.last) OVER (ORDER BY spoke.first) AS gap
  FROM generate_series(newest.last - %(history)s, newest.last, %(piece)s) AS until
  CROSS JOIN LATERAL (
    SELECT min(received_at) AS first, max(received_at) AS last FROM notifications_message
    WHERE topic_id = %(topic)s AND received_at > until - %(piece)s AND received_at <= until
  ) AS spoke
  WHERE spoke.first IS NOT NULL
) AS gaps) AS h
CROSS JOIN LATERAL (SELECT count(*) AS messages FROM (
  SELECT 1 FROM notifications_message
  WHERE topic_id = %(topic)s AND received_at > newest.last - %(history)s LIMIT %(known)s
) AS few) AS known
WHERE now() - newest.last > %(piece)s * %(factor)s AND known.messages >= %(known)s
  AND now() - newest.last > h.usual * %(factor)s
"""
