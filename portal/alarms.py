"""Alarms: named conditions, each a question that a room answers, asked every minute. An alarm is a condition, not a call.

Here: the table, opening and closing, acknowledging, and which notices are owed. Sending them is `notices.py`. No room knows who
listens, and nothing stays red by mistake: what is no longer so is closed.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

import notifications.health
import skill.health
from portal.models import Alarm, AlarmNotice, User

log = logging.getLogger(__name__)

EVERY = timedelta(hours=1)  # at most, between opening and closing
MOST_EVIDENCE = 20


@dataclass(frozen=True)
class Condition:
    """A name for ever, words for people, and the question; its answer is the evidence, and none means that all is well."""

    name: str
    title: str
    ask: Callable[[], list[str]]


CONDITIONS = (
    Condition("sns-quarantined", "Messages that nobody understood", notifications.health.quarantined),
    Condition("sns-held", "Messages that wait for a person", notifications.health.held),
    Condition("sns-failing", "Messages that cannot be processed", notifications.health.failing),
    Condition("sns-unsubscribed", "A topic was unsubscribed", notifications.health.unsubscribed),
    Condition("sns-silent", "A topic is unusually silent", notifications.health.silent),
    Condition("sns-drift", "A topic at AWS is not as it should be", notifications.health.drift),
    Condition("asp-automation", "An automation failed", notifications.health.failing_automations),
    Condition("asp-skill", "A skill fails too often", notifications.health.skill_failures),
    Condition("asp-operation", "Smart Properties refuses what we ask", notifications.health.refused_operations),
    Condition("alexa-parked", "Events that Alexa refused", skill.health.parked_events),
    Condition("alexa-refused", "Reports that Alexa refused", skill.health.refused_reports),
    Condition("alexa-left-out", "Devices that Alexa would refuse are left out", skill.health.left_out_endpoints),
    Condition("alexa-large", "Discovery grows too large for Alexa", skill.health.large_discoveries),
    Condition("alexa-coverage", "Too few levels were reported within a day", skill.health.coverage_below_goal),
    Condition("alexa-overdue", "Reports are overdue", skill.health.overdue_reports),
    Condition("lwa-client", "Login with Amazon rejects our client", skill.health.rejected_client),
    Condition("alexa-linking", "Customers cannot link", skill.health.failing_links),
    Condition("alexa-breaker", "A door of Amazon's is closed for now", skill.health.open_breakers),
)


def evaluate() -> int:
    """Ask every question, open and close alarms, owe notices; how many are open. Two at once do the work of one: who is second does
    not even ask, for an answer that waited for its turn would be an old one. No alarm is held while questions are asked: a person
    may take one meanwhile."""
    with _alone() as alone:
        if not alone:
            return 0
        answers = [(condition, _ask(condition)) for condition in CONDITIONS]
        with transaction.atomic():
            _close_unknown()
            return sum(_settle(condition, evidence) for condition, evidence in answers)


def _ask(condition: Condition) -> list[str]:
    """A question that fails is an alarm itself: silence must never look like health."""
    try:
        with transaction.atomic():
            return condition.ask()[:MOST_EVIDENCE]
    except Exception as problem:
        log.exception("The condition %s could not be asked", condition.name)
        return [f"It could not be asked: {type(problem).__name__}"]


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether nobody else is in such a block; whoever dies in it leaves it with his connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext('portal.alarms'))")
        [alone] = cursor.fetchone()
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext('portal.alarms'))")


def _settle(condition: Condition, evidence: list[str]) -> bool:
    """One alarm by its evidence; True when it is open afterwards."""
    found = Alarm.objects.select_for_update().filter(condition=condition.name, closed_at=None).first()
    if not evidence:
        if found:
            _close(found)
        return False
    if found is None:
        found = Alarm.objects.create(condition=condition.name, title=condition.title, evidence=evidence)
        _owe(found, AlarmNotice.Event.OPENED)
        return True
    Alarm.objects.filter(pk=found.pk).update(count=F("count") + 1, seen_at=Now(), evidence=evidence)
    _remind(found)
    return True


def _close(alarm: Alarm) -> None:
    Alarm.objects.filter(pk=alarm.pk).update(closed_at=Now())
    alarm.notices.filter(event=AlarmNotice.Event.REMINDED, sent_at=None).delete()
    _owe(alarm, AlarmNotice.Event.CLOSED)


def _close_unknown() -> None:
    """A condition that is no longer in the table can never be answered again."""
    for alarm in Alarm.objects.filter(closed_at=None).exclude(condition__in=[each.name for each in CONDITIONS]):
        _close(alarm)


def _remind(alarm: Alarm) -> None:
    """At most once an hour, not once somebody has taken it, and not where an earlier notice still waits to be sent."""
    ago = Now() - EVERY  # of either: one that was sent late was read late
    recent = alarm.notices.filter(Q(created_at__gt=ago) | Q(sent_at__gt=ago)).exists()
    if alarm.acknowledged_at is None and not recent:
        _owe(alarm, AlarmNotice.Event.REMINDED)


def _owe(alarm: Alarm, event: str) -> None:
    """One notice for each channel that is configured; a row each, in this transaction. A channel that is behind needs no reminder."""
    configured = {"email": settings.ALARM_EMAILS, "webhook": settings.ALARM_WEBHOOK_URL}
    channels = {channel for channel, address in configured.items() if address}
    if event == AlarmNotice.Event.REMINDED:
        channels -= set(alarm.notices.filter(due_at__isnull=False).values_list("channel", flat=True))
    AlarmNotice.objects.bulk_create(
        AlarmNotice(alarm=alarm, channel=channel, event=event) for channel in sorted(channels)
    )


def acknowledge(alarm: Alarm, user: User, note: str) -> None:
    """Somebody has taken it, with a note; no reminders any more. Idempotent; a later note replaces the earlier."""
    Alarm.objects.filter(pk=alarm.pk).update(acknowledged_by=user, acknowledged_at=Now(), note=note)
