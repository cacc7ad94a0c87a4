"""The on-call boards of the admin: who was not reported and why, which events were refused, and what a person does about it.

Every deed has its own permission, is asked for once more, and stands in the history with the reason that the person typed.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from devices.admin.export import as_csv
from devices.paging import EstimatedPaginator
from skill import outbox, parked
from skill.filters import AnswerFilter, MissedAnswerFilter, NameFilter
from skill.models import Event, Miss

Reason = Miss.Reason
REASON_COLOURS = {Reason.NO_READING: "info", Reason.REFUSED: "danger", Reason.LINK: "warning", Reason.LATE: "danger"}
AT_ONCE = 1000
EXPORTED = {
    "owed by": "deadline_at", "serial number": "endpoint__device__serial_number", "sensor": "sensor",
    "customer": "endpoint__grant__user__email", "region": "region", "reason": "reason", "code": "code", "text": "text",
    "reported at": "reported_at",
}  # fmt: skip


class Ledger(ModelAdmin):
    """Rows that people look at and verbs write."""

    list_per_page = 50
    show_full_result_count = False
    paginator = EstimatedPaginator

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class WhyForm(forms.Form):
    """Why somebody of the staff does it."""

    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget, help_text="For example a ticket. It is kept in the history."
    )


def ask_why(
    board: ModelAdmin,
    request: HttpRequest,
    chosen: QuerySet[Any],
    action: str,
    title: str,
    verb: Callable[[list[int]], int],
    column: str = "pk",
) -> HttpResponse | None:
    """First the rows and a field for the reason; with a reason the verb, on their `column`, and a line in the history of each."""
    form = WhyForm(request.POST if "reason" in request.POST else None)
    if not form.is_valid():
        return TemplateResponse(request, "admin/skill/why.html", _question(board, request, chosen, action, title, form))
    rows = list(chosen)
    ids = sorted({row_id for row_id in chosen.values_list(column, flat=True) if row_id})
    count = sum(verb(ids[start : start + AT_ONCE]) for start in range(0, len(ids), AT_ONCE))
    _write_down(request, rows, f"{title}: {form.cleaned_data['reason']}")
    words = "" if count == len(ids) else " The others have no active link, or were dealt with meanwhile."
    messages.success(request, f"{title}: {count} of {len(ids)}.{words}")
    return None


def _question(
    board: ModelAdmin, request: HttpRequest, chosen: QuerySet[Any], action: str, title: str, form: WhyForm
) -> dict[str, Any]:
    return board.admin_site.each_context(request) | {
        "opts": board.model._meta,
        "title": title,
        "form": form,
        "action": action,
        "rows": chosen[:10],
        "count": chosen.count(),
        "ticked": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME),
        "ticked_name": helpers.ACTION_CHECKBOX_NAME,
        "across": request.POST.get("select_across", "0"),
    }


def _write_down(request: HttpRequest, rows: list[Model], words: str) -> None:
    for start in range(0, len(rows), AT_ONCE):
        LogEntry.objects.log_actions(request.user.pk, rows[start : start + AT_ONCE], CHANGE, words)  # type: ignore[arg-type]


class WhenFilter(admin.SimpleListFilter):
    """The last 24 hours, unless something else is asked for."""

    title = "when"
    parameter_name = "when"
    spans = {"week": ("Last 7 days", timedelta(days=7)), "all": ("All that is kept", None)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, words) for name, (words, _) in self.spans.items()]

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield first | {"display": "Last 24 hours"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Miss]) -> QuerySet[Miss]:
        span = self.spans[self.value()][1] if self.value() in self.spans else timedelta(hours=24)
        return queryset.filter(deadline_at__gt=Now() - span) if span else queryset


@admin.register(Miss)
class MissAdmin(Ledger):
    """Who was missed and why: a row for each sensor and day."""

    list_display = ["deadline_at", "device", "sensor", "shown_reason", "customer", "shown_end", "said"]
    list_filter = [WhenFilter, "reason", ("reported_at", admin.EmptyFieldListFilter), "region", MissedAnswerFilter]
    list_select_related = ["endpoint__device", "endpoint__grant__user"]
    search_fields = ["endpoint__device__serial_number", "endpoint__grant__user__email", "endpoint__endpoint_id"]
    search_help_text = "Serial number, the customer's e-mail address or endpointId"
    ordering = ["-deadline_at", "-id"]
    actions = ["report_now", "export"]
    fields = [
        "device",
        "customer",
        "sensor",
        "deadline_at",
        "reason",
        "code",
        "text",
        "noticed_at",
        "reported_at",
        "region",
    ]
    readonly_fields = ["device", "customer"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Miss]:
        tokens = ("endpoint__grant__access_token", "endpoint__grant__refresh_token")
        return super().get_queryset(request).defer(*tokens)

    @display(description="Device")
    def device(self, miss: Miss) -> SafeString:
        address = reverse("admin:skill_endpoint_change", args=[miss.endpoint_id])
        return format_html('<a href="{}">{}</a>', address, miss.endpoint.device or miss.endpoint)

    @display(description="Customer", ordering="endpoint__grant__user__email")
    def customer(self, miss: Miss) -> str:
        return str(miss.endpoint.grant.user)

    @display(description="Why", label=REASON_COLOURS, ordering="reason")
    def shown_reason(self, miss: Miss) -> tuple[str, str]:
        return miss.reason, miss.get_reason_display()

    @display(description="Amazon said")
    def said(self, miss: Miss) -> str:
        return ": ".join(part for part in (miss.code, miss.text[:80]) if part) or "—"

    @display(description="Reported after all", ordering="reported_at")
    def shown_end(self, miss: Miss) -> str:
        return f"{miss.reported_at:%Y-%m-%d %H:%M} UTC" if miss.reported_at else "not yet"

    @admin.action(description="Report these devices to Alexa now", permissions=["resend"])
    def report_now(self, request: HttpRequest, misses: QuerySet[Miss]) -> HttpResponse | None:
        return ask_why(self, request, misses, "report_now", "Report to Alexa now", outbox.report_now, "endpoint")

    @admin.action(description="Export as CSV", permissions=["view"])
    def export(self, request: HttpRequest, misses: QuerySet[Miss]) -> StreamingHttpResponse:
        return as_csv(misses, EXPORTED, "missed-reports")

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("skill.resend_endpoint")  # type: ignore[union-attr]


@admin.register(Event)
class EventAdmin(Ledger):
    list_display = ["created_at", "device", "name", "instance", "status", "attempts", "last_code"]
    list_filter = ["status", NameFilter, AnswerFilter]
    search_fields = ["message_id", "endpoint__endpoint_id", "endpoint__device__serial_number"]
    search_help_text = "messageId, endpointId or serial number"
    list_select_related = ["endpoint__device"]
    actions = ["resend", "let_go"]

    @display(description="Device")
    def device(self, event: Event) -> str:
        return str(event.endpoint.device or event.endpoint)

    @admin.action(description="Tell parked events again", permissions=["resend"])
    def resend(self, request: HttpRequest, events: QuerySet[Event]) -> HttpResponse | None:
        return ask_why(self, request, events, "resend", "Tell parked events again", parked.resend)

    @admin.action(description="Let parked events go: never tell them", permissions=["resend"])
    def let_go(self, request: HttpRequest, events: QuerySet[Event]) -> HttpResponse | None:
        return ask_why(self, request, events, "let_go", "Let parked events go", parked.let_go)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("skill.resend_event")  # type: ignore[union-attr]
