"""Smart Properties' events: kept once each, and what they add up to, by Amazon's time and never by the order of arrival.

Reading one is `asp.py`, pure; who calls this and when is `inbox.py`.
"""

from datetime import timedelta

from django.db import connection
from django.db.models import Count, Max
from django.db.models.functions import Now

from notifications import asp
from notifications.models import Message, PropertyEvent

TWINS = "Another event with the ID {} says otherwise; neither counts."


def keep(message: Message, event: asp.Event) -> PropertyEvent:
    """Store what `message` says, unless it is known; twice changes nothing. In a transaction that holds the event's ID."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('properties'), hashtext(%s))", [event.event_id])
    row = PropertyEvent(
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
    PropertyEvent.objects.bulk_create([row], ignore_conflicts=True)
    _judge_twins(event.event_id)
    return PropertyEvent.objects.get(event_id=event.event_id, digest=event.digest)


def _judge_twins(event_id: str) -> None:
    """Of one ID there is one truth or none; the messages that brought a contradicted one say so."""
    twins = PropertyEvent.objects.filter(event_id=event_id)
    if twins.count() > 1:
        twins.update(contradicted=True)
        settled = Message.objects.filter(property_events__in=twins, due_at=None)
        settled.update(state=Message.State.QUARANTINED, reason=TWINS.format(event_id))


def failing_automations(recent: timedelta = timedelta(hours=24)) -> list[str]:
    """Automations whose newest run failed within the last day, with what failed."""
    runs = PropertyEvent.objects.filter(kind=asp.AUTOMATION, contradicted=False).exclude(automation_id="")
    newest = runs.order_by("automation_id", "-happened_at", "-event_id").distinct("automation_id")
    failed = [run for run in newest.filter(happened_at__gt=Now() - recent) if run.failed]
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


def roles() -> dict[tuple[str, str, str], bool]:
    """Who has which role for which unit, by the newest event of each: an older revocation undoes no newer assignment.

    Of one second, revoked wins: what may be done is then asked of Amazon again.
    """
    events = PropertyEvent.objects.filter(kind__in=[asp.ASSIGNMENT, asp.REVOCATION], contradicted=False)
    held: dict[tuple[str, str, str], bool] = {}
    for event in sorted(events, key=lambda event: (event.happened_at, event.kind == asp.REVOCATION)):
        key = event.parsed["principal_id"], event.parsed["role_id"], event.unit_id
        held[key] = event.kind == asp.ASSIGNMENT
    return held


def activated(unit_id: str) -> bool:
    """Whether Amazon said that this unit's subscription is ready; events can be lost, so no is no proof."""
    return PropertyEvent.objects.filter(kind=asp.ACTIVATION, unit_id=unit_id, contradicted=False).exists()
