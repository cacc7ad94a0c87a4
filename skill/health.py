"""Questions about the skill's health, for alarms and boards: each answers with its evidence, a line each; none: all is well.

Read-only. What is asked and how often, and who hears of it, is not decided here.
"""

from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Max, Min
from django.db.models.functions import Now

from skill import diagnosis, figures
from skill.alexa.discovery import LARGE_ANSWER_BYTES
from skill.models import AlexaGrant, Endpoint, Event, Gateway, LinkingAttempt

# Amazon's words for "your event is wrong": our bug, which trying again does not mend.
OUR_BUGS = [
    "INVALID_REQUEST_EXCEPTION",
    "ACCOUNT_NOT_FOUND_EXCEPTION",
    "REQUEST_ENTITY_TOO_LARGE_EXCEPTION",
    "INSUFFICIENT_PERMISSION_EXCEPTION",
    "SKILL_NOT_FOUND_EXCEPTION",
    "HTTP 400",
]


def parked_events() -> list[str]:
    """Events that Amazon refused, by name and code, until a person has them told again or lets them go."""
    parked = Event.objects.filter(status=Event.Status.PARKED)
    rows = parked.values_list("name", "last_code").annotate(Count("pk"), Max("pk")).order_by("name", "last_code")
    return [f"{count} {name}: {code or 'no code'} (newest #{newest})" for name, code, count, newest in rows]


def refused_reports() -> list[str]:
    """Endpoints whose last report Amazon refused as wrong, by its code."""
    refused = Endpoint.objects.live().filter(last_code__in=OUR_BUGS)
    rows = refused.values_list("last_code").annotate(Count("pk"), Max("pk")).order_by("last_code")
    return [f"{count} endpoints: {code} (one is #{newest})" for code, count, newest in rows]


def left_out_endpoints() -> list[str]:
    """Devices that Alexa is not told of as they are, because she would refuse the description, by reason."""
    rows = Endpoint.objects.live().exclude(left_out="").values_list("left_out").annotate(Count("pk"), Max("pk"))
    return [f"{count} endpoints: {reason} (one is #{newest})" for reason, count, newest in rows.order_by("left_out")]


def large_discoveries() -> list[str]:
    """Customers whose answer to Discover grows towards what Alexa may not take; others saw it fail near 128 kB."""
    grants = AlexaGrant.objects.filter(state=AlexaGrant.State.ACTIVE, discovered_bytes__gte=LARGE_ANSWER_BYTES)
    largest = grants.order_by("-discovered_bytes").values_list("pk", "discovered_bytes")[:20]
    return [f"Alexa link #{pk}: {size:,} bytes" for pk, size in largest]


def coverage_below_goal() -> list[str]:
    """The daily duty: Amazon wants every level once a day."""
    if not (behind := figures.behind()):
        return []
    owed = max(figures.levels(), behind)
    share = 1 - behind / owed
    if share >= settings.ALARM_COVERAGE_GOAL:
        return []
    goal = f"{settings.ALARM_COVERAGE_GOAL:.1%}"
    return [f"{share:.1%} of the {owed} levels were reported within 24 hours; the goal is {goal}. See Missed reports."]


def overdue_reports() -> list[str]:
    """Reports that have been due for longer than a healthy delivery leaves them."""
    patience = timedelta(seconds=settings.ALARM_OVERDUE_SECONDS)
    late = Endpoint.objects.live().filter(due_at__lt=Now() - patience)
    rows = late.values_list("region").annotate(Count("pk"), Min("due_at")).order_by("region")
    return [
        f"{region}: {count} reports are overdue, the oldest since {since:%Y-%m-%d %H:%M} UTC"
        for region, count, since in rows
    ]


def rejected_client() -> list[str]:
    """Login with Amazon does not know our client ID and secret: no customer's token can be renewed."""
    rows = Gateway.objects.filter(
        name="LWA", open_until__isnull=False, trouble__regex="invalid_client|unauthorized_client"
    )
    return [f"Login with Amazon: {row.trouble}" for row in rows]


def failing_links() -> list[str]:
    """Customers who could not link within the last hour because something is set up wrongly, by cause."""
    failed = LinkingAttempt.objects.filter(failed_at__gt=Now() - timedelta(hours=1), user__isnull=False, tokens_at=None)
    rows = failed.filter(failure__in=diagnosis.OUR_SETUP).values_list("failure").annotate(Count("pk"), Max("reference"))
    return [f"{count} customers: {diagnosis.CAUSES[name].what} (reference {one})" for name, count, one in rows]


def open_breakers() -> list[str]:
    """Doors of Amazon's that are not knocked at for now."""
    rows = Gateway.objects.filter(open_until__gt=Now() - timedelta(minutes=1), failures__gt=0).order_by("name")
    return [f"{row}: {row.failures} failures in a row, {row.trouble or 'no words'}" for row in rows]
