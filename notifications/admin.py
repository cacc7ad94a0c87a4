"""Staff's view of what SNS told us. Ledgers are read-only; the one action calls the inbox's own verb.

Never shown: tokens, subscribe and unsubscribe links (they are masked where they are stored).
"""

import json

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display

from notifications import inbox
from notifications.models import Message, Notification, Order, OrderItem, Topic

STATE_COLOURS = {
    Message.State.WAITING: "info",
    Message.State.DONE: "success",
    Message.State.HELD: "warning",
    Message.State.QUARANTINED: "danger",
    Order.State.PLACED: "info",
    Order.State.SHIPPED: "success",
    Order.State.UNCLEAR: "danger",
}


def pretty(document: object) -> SafeString:
    """A document for reading."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    return format_html('<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>', text)


class ReadOnly:
    """A ledger: to be read, not written."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Topic)
class TopicAdmin(ModelAdmin):
    list_display = ["arn", "kind", "signature_version", "subscription", "subscription_at"]
    list_filter = ["kind", "subscription"]
    search_fields = ["arn"]
    readonly_fields = ["subscription_arn", "subscription_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Topic | None = None) -> list[str]:
        """A topic's messages were verified for its ARN: another ARN is another topic."""
        return [*self.readonly_fields, "arn"] if obj else self.readonly_fields


class NotificationInline(ReadOnly, TabularInline):
    hide_title = True
    model = Notification
    fields = ["kind", "notified_at", "notification_id", "contradiction", "message"]
    readonly_fields = fields
    extra = 0

    @display(description="Contradicted")
    def contradiction(self, said: Notification) -> str:
        return "by another of this ID" if said.contradicted else "—"


class OrderItemInline(ReadOnly, TabularInline):
    hide_title = True
    model = OrderItem
    fields = ["asin", "amount", "estimated_delivery"]
    readonly_fields = fields
    extra = 0

    @display(description="Quantity")
    def amount(self, item: OrderItem) -> str:
        return f"{item.quantity.normalize():f} {item.unit}"


@admin.register(Message)
class MessageAdmin(ReadOnly, ModelAdmin):
    list_display = ["message_id", "shown_kind", "shown_state", "reason", "received_at", "attempts", "topic"]
    list_filter = ["state", "kind", "topic"]
    list_select_related = ["topic", "notification"]
    search_fields = ["message_id", "notification__notification_id", "notification__serial_number"]
    search_help_text = "Message ID, notification ID or serial number, whole"
    ordering = ["-received_at"]
    show_full_result_count = False
    actions = ["process_again"]
    fieldsets = [
        (None, {"fields": ["message_id", "topic", "kind", "subject", "sent_at", "received_at"]}),
        ("Where it is and why", {"fields": ["said_state", "reason", "error", "attempts", "due_at"]}),
        ("What the checks found", {"fields": ["shown_verdicts"]}),
        ("What was understood", {"fields": ["shown_notification", "shown_order", "shown_parsed"]}),
        ("As received, links and token masked", {"fields": ["shown_body"]}),
    ]
    readonly_fields = [
        "said_state",
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

    @display(description="State")
    def said_state(self, message: Message) -> str:
        return message.get_state_display()

    @display(description="What it is", ordering="kind")
    def shown_kind(self, message: Message) -> str:
        """A Dash notification by its own name, anything else by SNS's."""
        said = getattr(message, "notification", None)
        return said.kind if said else message.get_kind_display()

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


@admin.register(Notification)
class NotificationAdmin(ReadOnly, ModelAdmin):
    list_display = ["notification_id", "kind", "serial_number", "notified_at", "contradicted"]
    list_filter = ["kind", "contradicted"]
    search_fields = ["=notification_id", "=serial_number"]
    ordering = ["-notified_at"]
    show_full_result_count = False
    fields = [
        "notification_id",
        "kind",
        "notified_at",
        "serial_number",
        "order",
        "message",
        "contradicted",
        "shown_parsed",
    ]
    readonly_fields = ["shown_parsed"]

    @display(description="Parsed")
    def shown_parsed(self, said: Notification) -> SafeString:
        return pretty(said.parsed)


@admin.register(Order)
class OrderAdmin(ReadOnly, ModelAdmin):
    list_display = [
        "instance_id",
        "shown_state",
        "serial_number",
        "slot_name",
        "customer",
        "placed_at",
        "estimated_delivery",
    ]
    list_filter = ["state", "conflict", ("device", admin.EmptyFieldListFilter)]
    search_fields = ["=instance_id", "=serial_number"]
    search_help_text = "Instance ID or serial number, whole"
    ordering = ["-last_at"]
    show_full_result_count = False
    inlines = [OrderItemInline, NotificationInline]
    fieldsets = [
        (None, {"fields": ["said_state", "instance_id", "customer", "device", "slot"]}),
        ("When, by Amazon's clock", {"fields": ["placed_at", "estimated_delivery", "first_at", "last_at"]}),
        ("As Amazon names it", {"fields": ["serial_number", "model_id", "slot_name"]}),
    ]
    readonly_fields = ["said_state", "customer"]

    @display(description="State", label=STATE_COLOURS, ordering="state")
    def shown_state(self, order: Order) -> tuple[str, str]:
        return order.state, order.get_state_display() + (" (contradictory)" if order.conflict else "")

    @display(description="State")
    def said_state(self, order: Order) -> str:
        """In words; a contradiction is said where it is looked for."""
        if order.conflict:
            return f"{order.get_state_display()}; Amazon said both shipped and cancelled"
        return str(order.get_state_display())

    @display(description="Customer")
    def customer(self, order: Order) -> str:
        """Who has the device now, if the device was theirs when it was ordered."""
        device = order.device
        if device is None or device.owner is None:
            return "—" if device else "— (no such device is registered)"
        theirs = order.first_at is None or device.claimed_at <= order.first_at
        return str(device.owner) if theirs else "— (ordered for an earlier owner)"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        return super().get_queryset(request).select_related("device__owner", "slot")
