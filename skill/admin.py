"""Support's view of Alexa: links (masked), endpoints, events, doors, OAuth clients. Ledgers are read-only; actions call verbs."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from oauth2_provider.models import AccessToken, Grant, IDToken, RefreshToken
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from skill import board, duty, misses, outbox, view_page
from skill.board import Ledger
from skill.filters import AnswerFilter
from skill.models import AlexaGrant, Application, Endpoint, Gateway
from skill.view_page import ViewPage

State = AlexaGrant.State
TOKENS = ("grant__access_token", "grant__refresh_token")

for model in (AccessToken, Grant, IDToken, RefreshToken):
    if admin.site.is_registered(model):
        admin.site.unregister(model)  # hashes and codes help nobody
if admin.site.is_registered(Application):
    admin.site.unregister(Application)


@admin.register(Application)
class ApplicationAdmin(ModelAdmin):
    list_display = ["name", "client_id", "pkce_required", "created"]
    fields = ["name", "client_id", "redirect_uris", "pkce_required", "created", "updated"]
    readonly_fields = ["client_id", "created", "updated"]
    view_on_site = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """manage.py create_alexa_client makes one and prints what goes into Amazon's console."""
        return False


GRANT_COLOURS = {State.ACTIVE: "success", State.CLOSING: "warning", State.CLOSED: "danger", State.DORMANT: "info"}
SITUATION_COLOURS = {"good": "success", "waiting": "info", "trouble": "warning", "stopped": "danger"}


def situation(endpoint: Endpoint, now: datetime) -> tuple[str, str]:
    """Does Alexa hear of this device, and if not, why? A kind for the colour and words for a person."""
    grant = endpoint.grant
    if not endpoint.wanted:
        return ("waiting", "leaving: a DeleteReport is due") if endpoint.due_at else ("stopped", "gone: withdrawn")
    if endpoint.due_at is None:
        return "stopped", f"no active link: {grant.reason or grant.get_state_display()}"
    if endpoint.left_out:
        return "trouble", f"left out of discovery: {endpoint.left_out}"
    if endpoint.attempts:
        return "trouble", f"trying again after {endpoint.attempts} failures: {endpoint.last_code or 'no answer'}"
    if endpoint.last_code:
        return "trouble", f"Amazon answered {endpoint.last_code}"
    if grant.trouble:
        return "trouble", "Login with Amazon refuses a token"
    return _lateness(endpoint, now)


def _verdicts(endpoint: Endpoint) -> list[int]:
    last = max(endpoint.owed_since, endpoint.reported_at or endpoint.owed_since)
    return duty.days(endpoint.duty, last, timezone.now(), owed=misses.is_owed(endpoint.pk))


def _lateness(endpoint: Endpoint, now: datetime) -> tuple[str, str]:
    if endpoint.reported_at is None:
        return "waiting", "not reported yet: no reading, or just linked"
    if now - endpoint.reported_at > duty.DAY:
        return "trouble", "late: more than 24 hours since the last report"
    return "good", "reported"


class EndpointInline(TabularInline):
    """The link's devices as Alexa knows them."""

    model = Endpoint
    fields = ["device", "said_situation", "reported_at", "due_at"]
    readonly_fields = fields
    hide_title = True
    extra = 0

    @display(description="Situation")
    def said_situation(self, endpoint: Endpoint) -> str:
        words = situation(endpoint, timezone.now())[1]
        return format_html('<a href="{}">{}</a>', reverse("admin:skill_endpoint_change", args=[endpoint.pk]), words)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        return super().get_queryset(request).select_related("device", "grant").defer(*TOKENS)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AlexaGrant)
class AlexaGrantAdmin(ViewPage, Ledger):
    list_display = ["user", "shown_state", "region", "reason", "trouble", "accepted_at", "discovered_at"]
    list_filter = ["state", "region"]
    search_fields = ["user__email"]
    search_help_text = "Part of the customer's e-mail address"
    list_select_related = ["user"]
    inlines = [EndpointInline]
    fieldsets = [
        (None, {"fields": ["user", "region", "said_state", "reason", "trouble", "other_regions", "alexa_view"]}),
        ("When", {"fields": ["accepted_at", "discovered_at", "discovered_bytes", "closing_until", "closed_at"]}),
        ("Amazon's tokens", {"fields": ["tokens", "expires_at", "refresh_leased_until", "generation"]}),
    ]
    readonly_fields = ["said_state", "tokens", "alexa_view"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlexaGrant]:
        """Without the tokens: they are not even decrypted to show a list."""
        return super().get_queryset(request).defer("access_token", "refresh_token")

    @display(description="State", label=GRANT_COLOURS, ordering="state")
    def shown_state(self, grant: AlexaGrant) -> tuple[str, str]:
        return grant.state, grant.get_state_display().partition(":")[0]

    @display(description="State")
    def said_state(self, grant: AlexaGrant) -> str:
        return str(grant.get_state_display())

    @display(description="Alexa")
    def alexa_view(self, grant: AlexaGrant) -> str:
        return view_page.link_to(grant.user_id)

    @display(description="Tokens")
    def tokens(self, grant: AlexaGrant) -> str:
        held = AlexaGrant.objects.filter(pk=grant.pk).exclude(state=State.CLOSED).exists()
        return "•••••••• (encrypted)" if held else "none"


@admin.register(Endpoint)
class EndpointAdmin(Ledger):
    list_display = ["device", "shown_situation", "why", "customer", "reported_at", "due_at"]
    list_filter = [
        "region",
        "wanted",
        ("due_at", admin.EmptyFieldListFilter),
        ("left_out", admin.EmptyFieldListFilter),
        AnswerFilter,
    ]
    search_fields = ["device__serial_number", "endpoint_id", "grant__user__email"]
    search_help_text = "Serial number, endpointId or the customer's e-mail address"
    list_select_related = ["device", "grant__user"]
    actions = ["report_now"]
    fieldsets = [
        (None, {"fields": ["said_situation", "device", "customer", "grant", "endpoint_id"]}),
        ("Reports", {"fields": ["reported_at", "sent_at", "record", "due_at", "daily_at", "not_before"]}),
        ("Left out", {"fields": ["left_out"]}),
        ("Amazon's last answer", {"fields": ["attempts", "last_code", "last_text"]}),
        ("Inside", {"fields": ["region", "wanted", "version", "changed", "leased_until", "announced"]}),
    ]
    readonly_fields = ["said_situation", "customer", "record", "announced"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        return super().get_queryset(request).defer(*TOKENS)

    @display(description="Situation", label=SITUATION_COLOURS, ordering="due_at")
    def shown_situation(self, endpoint: Endpoint) -> str:
        return situation(endpoint, timezone.now())[0]

    @display(description="In words")
    def why(self, endpoint: Endpoint) -> str:
        return situation(endpoint, timezone.now())[1]

    @display(description="Situation")
    def said_situation(self, endpoint: Endpoint) -> str:
        return situation(endpoint, timezone.now())[1]

    @display(description="Customer", ordering="grant__user__email")
    def customer(self, endpoint: Endpoint) -> str:
        return str(endpoint.grant.user)

    @display(description="Description that Alexa has")
    def announced(self, endpoint: Endpoint) -> str:
        return f"{endpoint.announced_digest[:12]}…" if endpoint.announced_digest else "none yet"

    @display(description="Last 31 days, newest first")
    def record(self, endpoint: Endpoint) -> str:
        """● on time, ◐ late, ○ missed, · nothing owed."""
        return (
            "".join("·●◐○"[verdict] for verdict in _verdicts(endpoint))
            + "  (● on time, ◐ late, ○ missed, · nothing owed)"
        )

    @admin.action(description="Report to Alexa now", permissions=["resend"])
    def report_now(self, request: HttpRequest, endpoints: QuerySet[Endpoint]) -> HttpResponse | None:
        return board.ask_why(self, request, endpoints, "report_now", "Report to Alexa now", outbox.report_now)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("skill.resend_endpoint")  # type: ignore[union-attr]


@admin.register(Gateway)
class GatewayAdmin(Ledger):
    list_display = ["name", "shown_state", "rate", "failures", "trouble", "open_until"]

    @display(description="Breaker", label={"answers": "success", "paused": "danger"})
    def shown_state(self, gateway: Gateway) -> tuple[str, str]:
        """Paused: it failed too often, and nothing is sent before `open_until`."""
        paused = gateway.open_until is not None and gateway.open_until > timezone.now()
        return ("paused", "paused") if paused else ("answers", "answers")
