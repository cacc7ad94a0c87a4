"""Messages in the admin: why each is where it is, and the one thing to be done with it.

Never shown: tokens, subscribe and unsubscribe links (they are masked where they are stored).
"""

import json

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from notifications import inbox
from notifications.admin.reading import STATE_COLOURS, ReadOnly, pretty
from notifications.models import Message, Notification, Order


@admin.register(Message)
class MessageAdmin(ReadOnly, ModelAdmin):
    list_display = ["message_id", "kind", "topic", "shown_state", "reason", "received_at", "attempts"]
    list_filter = ["state", "kind", "topic"]
    list_select_related = ["topic"]
    search_fields = ["message_id", "notification__notification_id", "notification__serial_number"]
    search_help_text = "Message ID, notification ID or serial number, whole"
    ordering = ["-received_at"]
    show_full_result_count = False
    actions = ["process_again"]
    fieldsets = [
        (None, {"fields": ["message_id", "topic", "kind", "subject", "sent_at", "received_at", "came_by"]}),
        ("Where it is and why", {"fields": ["shown_state", "reason", "error", "attempts", "due_at"]}),
        ("What the checks found", {"fields": ["shown_verdicts"]}),
        ("What was understood", {"fields": ["shown_notification", "shown_order", "shown_parsed"]}),
        ("As received, links and token masked", {"fields": ["shown_body"]}),
    ]
    readonly_fields = [
        "shown_state",
        "shown_verdicts",
        "shown_notification",
        "shown_order",
        "shown_parsed",
        "shown_body",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        return super().get_queryset(request).defer("sealed")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        """Whole identifiers only: every one of them is an index away."""
        term = search_term.strip()
        if not term:
            return queryset, False
        said = Notification.objects.filter(notification_id=term) | Notification.objects.filter(serial_number=term)
        return queryset.filter(message_id=term.lower()) | queryset.filter(pk__in=said.values("message_id")), False

    @display(description="State", label=STATE_COLOURS, ordering="state")
    def shown_state(self, message: Message) -> tuple[str, str]:
        return message.state, message.get_state_display()

    @display(description="Verdicts")
    def shown_verdicts(self, message: Message) -> SafeString:
        return pretty(message.verdicts)

    @display(description="Body")
    def shown_body(self, message: Message) -> SafeString:
        return pretty(inbox.masked(json.loads(message.body)))

    @display(description="Dash notification")
    def shown_notification(self, message: Message) -> str:
        said = Notification.objects.filter(message=message).first()
        return f"{said.kind} of {said.notified_at:%Y-%m-%d %H:%M:%S} UTC" if said else "—"

    @display(description="Order")
    def shown_order(self, message: Message) -> SafeString | str:
        order = Order.objects.filter(notifications__message=message).first()
        if order is None:
            return "—"
        return format_html('<a href="{}">{}</a>', reverse("admin:notifications_order_change", args=[order.pk]), order)

    @display(description="Parsed")
    def shown_parsed(self, message: Message) -> SafeString | str:
        said = Notification.objects.filter(message=message).first()
        return pretty(said.parsed) if said else "—"

    @action(description="Process again", permissions=["replay"])
    def process_again(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        for message in queryset:
            inbox.replay(message)
            self.log_change(request, message, "Had it processed again.")
        self.message_user(request, f"{len(queryset)} message(s) will be processed again.", messages.SUCCESS)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.replay_message")
