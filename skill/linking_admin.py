"""The linking doctor's page for staff: each attempt with its steps, the first that failed, why, and what mends it."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from unfold.decorators import display

from skill import attempts, diagnosis
from skill.admin import Ledger
from skill.filters import CauseFilter
from skill.models import Endpoint, LinkingAttempt

COLOURS = {"done": "success", "under way": "info", "failed": "danger", "given up": "warning"}
AT_LONGEST = max(step.patience for step in diagnosis.STEPS)


class OutcomeFilter(admin.SimpleListFilter):
    """By how far it came; in the database, so that it works on many rows."""

    title, parameter_name = "how it went", "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("failed", "Failed or stopped"),
            ("unsigned", "Nobody signed in"),
            ("linked", "Linked"),
            ("recent", "Begun within the last hour"),
        ]

    def queryset(self, request: HttpRequest, attempts: QuerySet[LinkingAttempt]) -> QuerySet[LinkingAttempt]:
        now = timezone.now()
        known = Q(signed_in_at__isnull=False) | ~Q(failure="")
        match self.value():
            case "failed":
                return attempts.filter(known, tokens_at=None, opened_at__lt=now - AT_LONGEST) | attempts.exclude(
                    failure=""
                ).filter(tokens_at=None)
            case "unsigned":
                return attempts.filter(signed_in_at=None)
            case "linked":
                return attempts.filter(tokens_at__isnull=False)
            case "recent":
                return attempts.filter(opened_at__gt=now - timedelta(hours=1))
        return attempts


@admin.register(LinkingAttempt)
class LinkingAttemptAdmin(Ledger):
    list_display = ["opened_at", "reference", "user", "shown_outcome", "why", "way", "region"]
    list_display_links = ["opened_at", "reference"]
    list_filter = [OutcomeFilter, CauseFilter, "way", "region"]
    search_fields = ["reference__iexact", "user__email"]
    search_help_text = "The reference that the customer was shown, or part of the customer's e-mail address"
    list_select_related = ["user"]
    ordering = ["-opened_at"]
    fieldsets = [
        (None, {"fields": ["reference", "user", "way", "story"]}),
        ("The request", {"fields": ["client_id", "redirect_uri", "pkce", "network"]}),
        ("What came of it", {"fields": ["region", "devices_found", "redeem_ms", "said"]}),
    ]
    readonly_fields = ["story"]

    @display(description="How it went", label=COLOURS)
    def shown_outcome(self, attempt: LinkingAttempt) -> str:
        return attempts.verdict(attempt).outcome

    @display(description="Where it stands")
    def why(self, attempt: LinkingAttempt) -> str:
        return attempts.verdict(attempt).summary

    @display(description="Step by step")
    def story(self, attempt: LinkingAttempt) -> str:
        """Every step with its time and how long it took; where it stopped, why, and what to do."""
        context = {
            "verdict": attempts.verdict(attempt),
            "steps": _timeline(attempt),
            "answers": _answers(attempt),
            "said": attempt.said,
        }
        return render_to_string("admin/skill/linkingattempt/story.html", context)


def _timeline(attempt: LinkingAttempt) -> list[dict[str, Any]]:
    steps, before = [], None
    for step in diagnosis.STEPS:
        moment = getattr(attempt, step.name)
        took = (moment - before).total_seconds() if moment and before else None
        steps.append({"words": step.words, "moment": moment, "took": took})
        before = moment or before
    return steps


def _answers(attempt: LinkingAttempt) -> list[str]:
    """What Amazon says of the customer's devices, where no report was accepted."""
    if attempt.user_id is None or attempt.tokens_at is None or attempt.reported_at:
        return []
    refused = Endpoint.objects.filter(grant__user=attempt.user_id, wanted=True).exclude(last_code="")
    return [f"{one.device}: {one.last_code} {one.last_text}" for one in refused.select_related("device")[:5]]
