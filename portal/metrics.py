"""/metrics in Prometheus's text format (version 0.0.4), of what skill/figures.py counts, and the open alarms.

Who may: whoever sends METRICS_TOKEN as a bearer token. Without that setting the page is closed, but for this machine under EMBEDDED.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe

from devices.deadline import deadline
from portal.models import Alarm
from skill import counts
from skill.figures import Figures, figures
from skill.models import REGIONS

Sample = tuple[dict[str, str], float]
ANSWER_SECONDS = 10.0
LOCAL = ("127.0.0.1", "::1")


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """200 with the figures, at most 15 seconds old; 403 to strangers; 503 while the database does not answer."""
    if not _may(request):
        return HttpResponse("Send METRICS_TOKEN as a bearer token.\n", status=403, content_type="text/plain")
    try:
        with deadline(ANSWER_SECONDS):
            text = "".join([*_lines(figures()), *_alarms()])
    except (DatabaseError, InterfaceError):
        return HttpResponse("The database does not answer.\n", status=503, content_type="text/plain")
    return HttpResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")


def _may(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        return constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {settings.METRICS_TOKEN}")
    direct = "X-Forwarded-For" not in request.headers and request.META.get("REMOTE_ADDR") in LOCAL
    return bool(settings.EMBEDDED and direct)


def _lines(now: Figures) -> Iterator[str]:
    yield from _metric(
        "alexa_levels", "gauge", "Level sensors that Amazon is owed a report a day of.", [({}, now.levels)]
    )
    yield from _metric(
        "alexa_levels_behind",
        "gauge",
        "Those of alexa_levels that were not reported within 24 hours.",
        [({}, now.behind)],
    )
    if now.coverage is not None:
        yield from _metric(
            "alexa_coverage_ratio",
            "gauge",
            "Share of alexa_levels that were reported within 24 hours.",
            [({}, now.coverage)],
        )
    yield from _metric(
        "alexa_missed_24h",
        "gauge",
        "Reports of level sensors that fell due within the last 24 hours and did not come in time.",
        _by("reason", now.missed),
    )
    yield from _metric(
        "alexa_overdue_seconds",
        "gauge",
        "Seconds that the oldest due endpoint has waited.",
        _by("region", {region: now.overdue.get(region, 0.0) for region, _ in REGIONS}),
    )
    yield from _metric(
        "alexa_backlog",
        "gauge",
        "Endpoints with something due now, by kind of what is due.",
        _by2("region", "kind", now.backlog),
    )
    yield from _metric(
        "alexa_parked_events", "gauge", "Events that Amazon refused and that wait for a person.", [({}, now.parked)]
    )
    yield from _metric(
        "alexa_answers_total", "counter", "Answers of Amazon's doors, by code.", _by2("door", "code", now.ever)
    )
    yield from _metric(
        "alexa_breaker_open",
        "gauge",
        "1 while nothing is sent to this door, because it failed too often.",
        _by("door", now.paused),
    )
    yield from _metric(
        "alexa_rate_limit",
        "gauge",
        "Requests per second that all processes together allow themselves.",
        _by("door", now.rate),
    )
    yield from _metric(
        "alexa_wire_seconds",
        "histogram",
        "Seconds from a request to the event gateway's answer.",
        _histogram(now),
        parts=True,
    )


def _alarms() -> Iterator[str]:
    opened = Alarm.objects.filter(closed_at=None).values_list("condition", flat=True)
    samples: list[Sample] = [({"condition": name}, 1) for name in sorted(opened)]
    yield from _metric("portal_alarms_open", "gauge", "1 for each condition that is an open alarm now.", samples)


def _metric(name: str, kind: str, words: str, samples: Iterable[Sample], parts: bool = False) -> Iterator[str]:
    """`parts`: a sample's label `_` is the end of its own name."""
    yield f"# HELP {name} {words}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        end = labels.pop("_") if parts else ""
        said = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{end}{{{said}}} {float(value):.15g}\n" if said else f"{name}{end} {float(value):.15g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _by(label: str, values: dict[str, int] | dict[str, float] | dict[str, bool]) -> list[Sample]:
    return [({label: name}, float(value)) for name, value in sorted(values.items())]


def _by2(outer: str, inner: str, values: dict[str, dict[str, int]]) -> list[Sample]:
    return [
        ({outer: one, inner: other}, count)
        for one, part in sorted(values.items())
        for other, count in sorted(part.items())
    ]


def _histogram(now: Figures) -> Iterator[Sample]:
    """Cumulative, as Prometheus wants it. The sum is not kept: it would be the one thing that percentiles do not need."""
    for region, times in sorted(now.wire_ever.items()):
        reached = list(accumulate(times.get(label, 0) for label in counts.LABELS))
        for label, count in zip(counts.LABELS, reached, strict=True):
            yield {"_": "_bucket", "region": region, "le": label}, count
        yield {"_": "_count", "region": region}, reached[-1]
