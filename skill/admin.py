"""Support's view of Alexa: links (masked), endpoints, events, doors, OAuth clients. Ledgers are read-only; actions call verbs."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from oauth2_provider.models import AccessToken, Grant, IDToken, RefreshToken
from unfold.admin import ModelAdmin

from skill import duty, outbox
from skill.models import AlexaGrant, Application, Endpoint, Event, Gateway

for model in (AccessToken, Grant, IDToken, RefreshToken):
    if admin.site.is_registered(model):
        admin.site.unregister(model)  # hashes and codes help nobody
if admin.site.is_registered(Application):
    admin.site.unregister(Application)


class Ledger(ModelAdmin):
    """Rows that people look at and verbs write."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Application)
class ApplicationAdmin(ModelAdmin):
    list_display = ["name", "client_id", "pkce_required", "created"]
    fields = ["name", "client_id", "redirect_uris", "pkce_required", "created", "updated"]
    readonly_fields = ["client_id", "created", "updated"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """manage.py create_alexa_client makes one and prints what goes into Amazon's console."""
        return False


@admin.register(AlexaGrant)
class AlexaGrantAdmin(Ledger):
    list_display = ["user", "region", "state", "accepted_at", "expires_at", "reason"]
    list_filter = ["state", "region"]
    search_fields = ["user__email"]
    list_select_related = ["user"]
    fields = [
        "user", "region", "state", "reason", "trouble", "generation", "tokens", "expires_at", "accepted_at", "discovered_at",
        "refresh_leased_until", "closing_until", "closed_at",
    ]  # fmt: skip
    readonly_fields = ["tokens"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlexaGrant]:
        """Without the tokens: they are not even decrypted to show a list."""
        return super().get_queryset(request).defer("access_token", "refresh_token")

    @admin.display(description="Amazon's tokens")
    def tokens(self, grant: AlexaGrant) -> str:
        held = AlexaGrant.objects.filter(pk=grant.pk).exclude(state=AlexaGrant.State.CLOSED).exists()
        return "•••••••• (encrypted)" if held else "none"


@admin.register(Endpoint)
class EndpointAdmin(Ledger):
    list_display = ["device", "customer", "region", "is_live", "reported_at", "due_at", "attempts", "last_code"]
    list_filter = ["region", "wanted", "last_code"]
    search_fields = ["device__serial_number", "endpoint_id", "grant__user__email"]
    list_select_related = ["device", "grant__user"]
    actions = ["report_now"]
    fields = [
        "device", "customer", "endpoint_id", "region", "wanted", "due_at", "daily_at", "not_before", "reported_at", "sent_at",
        "attempts", "last_code", "last_text", "record", "version", "changed", "leased_until", "announced_digest",
    ]  # fmt: skip
    readonly_fields = ["customer", "record"]

    @admin.display(description="Customer", ordering="grant__user__email")
    def customer(self, endpoint: Endpoint) -> str:
        return str(endpoint.grant.user)

    @admin.display(description="Live", boolean=True)
    def is_live(self, endpoint: Endpoint) -> bool:
        return endpoint.wanted and endpoint.due_at is not None

    @admin.display(description="Last 31 days, newest first")
    def record(self, endpoint: Endpoint) -> str:
        """● on time, ◐ late, ○ missed, · nothing owed."""
        return "".join("·●◐○"[verdict] for verdict in duty.days(endpoint.duty))

    @admin.action(description="Report to Alexa now", permissions=["resend"])
    def report_now(self, request: HttpRequest, endpoints: QuerySet[Endpoint]) -> None:
        ids = list(endpoints.values_list("pk", flat=True))
        count = outbox.report_now(ids)
        for endpoint in Endpoint.objects.filter(pk__in=ids):
            LogEntry.objects.log_actions(request.user.pk, [endpoint], CHANGE, "Report to Alexa now", single_object=True)
        messages.success(request, f"{count} of {len(ids)} are due now; the others have no active link.")

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("skill.resend_endpoint")  # type: ignore[union-attr]


@admin.register(Event)
class EventAdmin(Ledger):
    list_display = ["created_at", "endpoint", "name", "instance", "status", "attempts", "last_code"]
    list_filter = ["status", "name", "last_code"]
    search_fields = ["message_id", "endpoint__endpoint_id", "endpoint__device__serial_number"]
    list_select_related = ["endpoint"]
    date_hierarchy = "created_at"


@admin.register(Gateway)
class GatewayAdmin(Ledger):
    list_display = ["name", "rate", "failures", "is_open", "trouble"]

    @admin.display(description="Answers", boolean=True)
    def is_open(self, gateway: Gateway) -> bool:
        return gateway.open_until is None or gateway.open_until < timezone.now()
