"""What Dash said and what it adds up to, in the admin: notifications, orders, registrations. All read-only."""

import logging
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.postgres.aggregates import StringAgg
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display

from devices.admin.export import as_csv
from notifications import drs, ledger
from notifications.admin.reading import STATE_COLOURS, ReadOnly, once, pretty
from notifications.models import DrsRegistration, Notification, Order, OrderItem, SlotSubscription
from notifications.timeline import timeline

log = logging.getLogger(__name__)

EXPORTED = {
    "order": "instance_id",
    "state": "state",
    "serial": "serial_number",
    "model": "model_id",
    "slot": "slot_name",
    "asins": "asins",
    "placed_at": "placed_at",
    "estimated_delivery": "estimated_delivery",
    "last_heard_of": "last_at",
}


class Derived(ReadOnly):
    """Derived from notifications: support may have it derived again, which must come to the same."""

    key: str

    @action(description="Derive again from all notifications", permissions=["rebuild"])
    def derive_again(self, request: HttpRequest, queryset: QuerySet[Order | DrsRegistration]) -> None:
        keys = set(
            Notification.objects.filter(**{f"{self.key}__in": queryset}).values_list("order_id", "registration_id")
        )
        with transaction.atomic():
            changed = ledger.rebuild(keys)
        for row in queryset:
            self.log_change(request, row, "Had it derived again.")
        level = messages.WARNING if changed else messages.SUCCESS
        words = f"{changed} came to something else." if changed else "It came to the same."
        self.message_user(request, f"Derived again from all notifications. {words}", level)

    def has_rebuild_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.rebuild_notification")


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else ""


@once
def _story(order: Order) -> SafeString:
    said = [drs.from_json(row.parsed) for row in order.notifications.filter(contradicted=False)]
    listed = set(order.slot.products.values_list("asin", flat=True)) if order.slot else set()
    lines = ((_moment(entry.at), entry.title, entry.note) for entry in timeline(said, timezone.now(), listed))
    return format_html_join("\n", "<p>{} <strong>{}</strong> {}</p>", lines)


def _product(product: dict[str, Any]) -> str:
    amount = f"{product.get('quantity') or ''} {product.get('unit') or ''}".strip()
    return f"{product.get('asin')} ({amount})" if amount else str(product.get("asin"))


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


class TypeFilter(admin.SimpleListFilter):
    """The six types, without asking all rows which there are."""

    title, parameter_name = "type", "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        types = (drs.PLACED, drs.SHIPPED, drs.CANCELLED, drs.SUBSCRIBED, drs.REGISTERED, drs.DEREGISTERED)
        return [(name, name) for name in types]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notification]) -> QuerySet[Notification]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Notification)
class NotificationAdmin(ReadOnly, ModelAdmin):
    list_display = ["notification_id", "kind", "serial_number", "notified_at", "version", "contradicted"]
    list_filter = [TypeFilter, "contradicted", "message__topic"]
    search_fields = ["=notification_id", "=serial_number"]
    search_help_text = "Notification ID or serial number, whole"
    ordering = ["-notified_at"]
    show_full_result_count = False
    fields = [
        "notification_id",
        "kind",
        "notified_at",
        "serial_number",
        "order",
        "registration",
        "version",
        "message",
        "contradicted",
        "shown_parsed",
    ]
    readonly_fields = ["shown_parsed"]

    @display(description="Parsed")
    def shown_parsed(self, said: Notification) -> SafeString:
        return pretty(said.parsed)


@admin.register(Order)
class OrderAdmin(Derived, ModelAdmin):
    key = "order"
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
        ("Story", {"fields": ["shown_story"]}),
        ("When, by Amazon's clock", {"fields": ["placed_at", "estimated_delivery", "first_at", "last_at"]}),
        ("As Amazon names it", {"fields": ["serial_number", "model_id", "slot_name"]}),
    ]
    readonly_fields = ["said_state", "customer", "shown_story"]
    actions = ["derive_again", "export"]

    @admin.action(description="Export as CSV", permissions=["view"])
    def export(self, request: HttpRequest, queryset: QuerySet[Order]) -> StreamingHttpResponse:
        log.info("staff %s exports orders as CSV", request.user.pk)
        asins = StringAgg("items__asin", delimiter=" ", order_by="items__place")
        return as_csv(queryset.annotate(asins=asins), EXPORTED, "orders")

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

    @display(description="Story")
    def shown_story(self, order: Order) -> SafeString:
        """As the customer reads it, with the gaps by name."""
        return _story(order)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        return super().get_queryset(request).select_related("device__owner", "slot")


class SlotSubscriptionInline(ReadOnly, TabularInline):
    hide_title = True
    model = SlotSubscription
    fields = ["slot_name", "slot", "subscribed", "chosen", "stale", "no_longer", "last_at"]
    readonly_fields = fields
    extra = 0

    @display(description="Products")
    def chosen(self, subscription: SlotSubscription) -> str:
        return ", ".join(_product(product) for product in subscription.products) or "—"

    @display(description="No longer chosen")
    def no_longer(self, subscription: SlotSubscription) -> str:
        return ", ".join(map(str, subscription.gone)) or "—"


@admin.register(DrsRegistration)
class DrsRegistrationAdmin(Derived, ModelAdmin):
    key = "registration"
    list_display = ["serial_number", "model_id", "shown_state", "epoch", "since", "last_at"]
    list_filter = ["state", ("device", admin.EmptyFieldListFilter)]
    search_fields = ["=serial_number"]
    search_help_text = "Serial number, whole"
    ordering = ["-last_at"]
    show_full_result_count = False
    inlines = [SlotSubscriptionInline, NotificationInline]
    actions = ["derive_again"]
    fields = ["state", "serial_number", "model_id", "device", "epoch", "since", "last_at"]

    @display(description="State", label=STATE_COLOURS, ordering="state")
    def shown_state(self, registration: DrsRegistration) -> tuple[str, str]:
        return registration.state, registration.get_state_display()

    def get_queryset(self, request: HttpRequest) -> QuerySet[DrsRegistration]:
        return super().get_queryset(request).select_related("device")
