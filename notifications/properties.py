"""Smart Properties' events: kept once each, and what they add up to, by Amazon's time and never by the order of arrival.

Reading one is `asp.py`, pure; who calls this and when is `processing.py`.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta

from django.db import connection
from django.db.models import Count, Exists, Max, OuterRef, Q
from django.db.models.functions import Now

from notifications import asp, operations
from notifications.models import Message, PropertyEvent

_UNDERSTOOD = ["kind", "unit_id", "skill_id", "endpoint_id", "automation_id", "failed", "parsed"]
TWINS = "Another event with the ID {} says otherwise; neither counts."
# In the order of the locks' own numbers, so that two who want the same ones wait in line.
_LOCK = """
SELECT pg_advisory_xact_lock(hashtext('properties'), number)
FROM (SELECT DISTINCT hashtext(name) AS number FROM unnest(%s::text[]) AS name ORDER BY number) AS numbers
"""


def keep(pairs: Sequence[tuple[Message, asp.Event]]) -> set[str]:
    """Store what each message says, as it is understood now, and do what follows from it; twice changes nothing.

    The IDs of those events that contradict each other.

    In a transaction, until whose end it holds the IDs.
    """
    if not pairs:
        return set()
    names = {event.event_id for _, event in pairs}
    before = _locked(names)
    rows = {(event.event_id, event.digest): _row(message, event) for message, event in reversed(pairs)}
    PropertyEvent.objects.bulk_create(
        rows.values(), update_conflicts=True, unique_fields=["event_id", "digest"], update_fields=_UNDERSTOOD
    )
    _date_by_the_earliest(pairs)
    contradicted = _judge_twins(names)
    operations.hear([*(event for _, event in pairs), *before])
    return contradicted


def forget(messages: Sequence[Message]) -> None:
    """Messages that are no longer understood say nothing, and what followed from them is derived without. In a transaction."""
    rows = PropertyEvent.objects.filter(message__in=messages)
    names = set(rows.values_list("event_id", flat=True)) if messages else set()
    if names:
        before = _locked(names)
        rows.delete()
        _judge_twins(names)
        operations.hear(before)


def _locked(event_ids: Collection[str]) -> list[asp.Event]:
    """These IDs are ours until the transaction's end; what was said under them so far, as it was understood."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [list(event_ids)])
    said = PropertyEvent.objects.filter(event_id__in=event_ids).values_list("parsed", flat=True)
    return [asp.from_json(parsed) for parsed in said]


def _row(message: Message, event: asp.Event) -> PropertyEvent:
    return PropertyEvent(
        event_id=event.event_id,
        digest=event.digest,
        message=message,
        kind=event.kind,
        happened_at=event.time or message.sent_at,
        unit_id=event.unit_id,
        skill_id=event.skill_id,
        endpoint_id=event.endpoint_id,
        automation_id=event.automation_id,
        failed=event.failed,
        parsed=asp.as_json(event),
    )


def _date_by_the_earliest(pairs: Sequence[tuple[Message, asp.Event]]) -> None:
    """An event without a time of its own has that of the message that was sent first, whichever came first."""
    for message, event in pairs:
        if event.time is None:
            known = PropertyEvent.objects.filter(event_id=event.event_id, digest=event.digest)
            known.filter(happened_at__gt=message.sent_at).update(happened_at=message.sent_at)


def _judge_twins(names: Collection[str]) -> set[str]:
    """Of one ID there is one truth or none; the messages that brought a contradicted one say so."""
    counted = PropertyEvent.objects.filter(event_id__in=names).values("event_id").annotate(twins=Count("pk"))
    contradicted = set(counted.filter(twins__gt=1).values_list("event_id", flat=True))
    alone = PropertyEvent.objects.filter(event_id__in=set(names) - contradicted, contradicted=True)
    alone.update(contradicted=False)
    for event_id in contradicted:
        twins = PropertyEvent.objects.filter(event_id=event_id)
        twins.update(contradicted=True)
        settled = Message.objects.filter(property_events__in=twins, due_at=None)
        settled.update(state=Message.State.QUARANTINED, reason=TWINS.format(event_id))
    return contradicted


def failing_automations() -> list[str]:
    """Automations whose newest run failed, with what failed, until one succeeds or a person has set the failure aside."""
    runs = PropertyEvent.objects.filter(kind=asp.AUTOMATION, contradicted=False).exclude(automation_id="")
    later = Q(happened_at__gt=OuterRef("happened_at")) | Q(event_id__gt=OuterRef("event_id"))
    newer = runs.filter(later, automation_id=OuterRef("automation_id"), happened_at__gte=OuterRef("happened_at"))
    failed = runs.filter(~Exists(newer), failed=True, aside=False).order_by("automation_id")
    return [f"{run.automation_id}: {'; '.join(run.parsed['errors']) or 'no reason given'}" for run in failed]


def skill_failures(threshold: int, window: timedelta) -> list[str]:
    """Skill and unit pairs with `threshold` failures or more within `window`, by Amazon's time (it may tell us late)."""
    failures = PropertyEvent.objects.filter(kind=asp.SKILL_FAILURE, contradicted=False, happened_at__gt=Now() - window)
    rows = failures.values_list("skill_id", "unit_id").annotate(times=Count("pk"), newest=Max("happened_at"))
    many = rows.filter(times__gte=threshold).order_by("-times")
    return [
        f"{skill or 'a skill'} in {unit or 'a unit'}: {times} failures, the newest at {newest:%H:%M} UTC"
        for skill, unit, times, newest in many
    ]
