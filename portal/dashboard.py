"""The first page of the admin for whoever is on call: is the daily duty kept, and if not, what stands in the way."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from skill import counts
from skill.figures import Figures, figures
from skill.models import REGIONS, Miss

DOORS = dict(REGIONS) | {"LWA": "Login with Amazon"}


def glance(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by the theme. Only for who may see endpoints."""
    if request.user.has_perm("skill.view_endpoint"):  # type: ignore[union-attr]
        now = figures()
        context |= {"cards": _cards(now), "missed": _missed(now), "doors": _doors(now), "answers": _answers(now)}
    return context


def _cards(now: Figures) -> list[dict[str, Any]]:
    share = now.coverage
    missed, waited = sum(now.missed.values()), max(now.overdue.values(), default=0)
    due = sum(sum(kinds.values()) for kinds in now.backlog.values())
    return [
        {
            "title": "Reported within 24 hours",
            "value": "—" if share is None else f"{share:.2%}",
            "words": f"{now.levels - now.behind:,} of {now.levels:,} levels; the goal is {settings.ALARM_COVERAGE_GOAL:.1%}",
            "bad": share is not None and share < settings.ALARM_COVERAGE_GOAL,
        },
        {
            "title": "Missed in the last 24 hours",
            "value": f"{missed:,}",
            "words": "Who, and why",
            "href": reverse("admin:skill_miss_changelist"),
            "bad": missed > 0,
        },
        {
            "title": "The oldest report waits",
            "value": _duration(waited),
            "words": f"{due:,} due now",
            "bad": waited > settings.ALARM_OVERDUE_SECONDS,
        },
        {
            "title": "Events that Amazon refused",
            "value": f"{now.parked:,}",
            "words": "Tell them again, or let them go",
            "href": reverse("admin:skill_event_changelist") + "?status__exact=parked",
            "bad": now.parked > 0,
        },
    ]


def _missed(now: Figures) -> dict[str, Any]:
    return {
        "headers": ["Missed because", "levels"],
        "rows": [[Miss.Reason(name).label, f"{count:,}"] for name, count in sorted(now.missed.items())],
    }


def _doors(now: Figures) -> dict[str, Any]:
    rows = []
    for door, words in DOORS.items():
        due = ", ".join(f"{count:,} {kind}" for kind, count in sorted(now.backlog.get(door, {}).items()))
        state = (
            "paused"
            if now.paused.get(door)
            else f"{now.rate[door]:,.0f} a second"
            if door in now.rate
            else "not used yet"
        )
        rows.append([words, state, due or "nothing", _duration(now.overdue.get(door, 0))])
    return {"headers": ["door", "breaker and rate", "due now", "oldest waits"], "rows": rows}


def _answers(now: Figures) -> dict[str, Any]:
    """By door, the most frequent first; and how long the gateways took."""
    rows = [
        [DOORS.get(door, door), code, f"{count:,}"]
        for door, codes in sorted(now.today.items())
        for code, count in sorted(codes.items(), key=lambda item: -item[1])[:10]
    ]
    times = [f"{share:.0%} within {_bound(now.wire(share))}" for share in (0.5, 0.95, 0.99)] if now.wire_today else []
    return {"headers": ["door", "Amazon's answer", "in 24 hours"], "rows": rows, "times": ", ".join(times)}


def _bound(seconds: float | None) -> str:
    return (
        f"{seconds:g} s"
        if seconds is not None and seconds <= counts.BOUNDS[-1]
        else f"more than {counts.BOUNDS[-1]:g} s"
    )


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "not at all"
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
