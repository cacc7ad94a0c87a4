"""Messages in the admin: why each is where it is, and the one thing to be done with it.

Never shown: tokens, subscribe and unsubscribe links (they are masked where they are stored).
"""

from datetime import datetime

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from notifications import asp, forensics, inbox, operations
from notifications.admin.reading import STATE_COLOURS, ReadOnly, as_written, once, pretty
from notifications.models import Message, Notification, PropertyEvent, Topic

LARGEST = 1024 * 1024


@once
def _understood(message: Message) -> Notification | PropertyEvent | None:
    """What Dash or Smart Properties said by it."""
    said = Notification.objects.filter(message=message).select_related("order", "registration").first()
    return said or PropertyEvent.objects.filter(message=message).first() or _said_before(message)


@once
def _certificate(message: Message) -> str:
    found = forensics.certificate_of(message)
    pem = found.pop("PEM", "—")
    return "\n".join([*(f"{name}: {value}" for name, value in found.items()), pem])


def _said_before(message: Message) -> PropertyEvent | None:
    """An event that came twice stands at the first message."""
    if message.topic.kind != Topic.Kind.ASP or message.kind != Message.Kind.NOTIFICATION or not message.body:
        return None
    try:
        event = asp.parse(message.text)
    except asp.Unreadable:
        return None
    return PropertyEvent.objects.filter(event_id=event.event_id, digest=event.digest).first()


def _changed(said: Notification | PropertyEvent | None) -> list[tuple[Model, str]]:
    """What was made or changed by it, each with its state in words."""
    if isinstance(said, PropertyEvent):
        rows = operations.concerned(said)[:20]
        return [(said, said.kind), *((row, row.get_state_display()) for row in rows)]
    changed = (said.order or said.registration) if said else None
    return [(changed, changed.get_state_display())] if changed else []


class ExplainForm(forms.Form):
    """A message as it stands in a log, a queue or a mail."""

    text = forms.CharField(label="The message", max_length=LARGEST, widget=UnfoldAdminTextareaWidget)


@admin.register(Message)
class MessageAdmin(ReadOnly, ModelAdmin):
    list_display = ["message_id", "shown_kind", "shown_state", "reason", "shown_received", "attempts", "topic"]
    list_filter = ["state", "kind", "topic"]
    list_select_related = ["topic", "notification"]
    search_fields = ["message_id", "notification__notification_id", "notification__serial_number"]
    search_help_text = "Message ID, notification ID or serial number, whole"
    ordering = ["-pk"]
    show_full_result_count = False
    actions = ["process_again", "set_aside"]
    actions_list = ["open_explain"]
    fieldsets = [
        (None, {"fields": ["message_id", "topic", "kind", "subject", "sent_at", "received_at", "came_by"]}),
        ("Where it is and why", {"fields": ["said_state", "reason", "error", "attempts", "due_at"]}),
        (
            "What the checks found",
            {"fields": ["shown_checks", "shown_verdicts", "shown_certificate", "shown_canonical"]},
        ),
        ("What was understood", {"fields": ["shown_notification", "shown_changed", "shown_parsed"]}),
        ("As received, links and token masked", {"fields": ["shown_body"]}),
    ]
    readonly_fields = [
        "said_state",
        "shown_checks",
        "shown_verdicts",
        "shown_certificate",
        "shown_canonical",
        "shown_notification",
        "shown_changed",
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

    @display(description="Received at", ordering="pk")
    def shown_received(self, message: Message) -> datetime:
        """In the order of arrival, for which there is an index."""
        return message.received_at

    @display(description="Checks")
    def shown_checks(self, message: Message) -> SafeString:
        """Of then: a masked body cannot be verified again."""
        rows = message.verdicts.get("checks", [])
        return format_html_join("", "<p><strong>{}</strong>: {} ({})</p>", ((row[0], row[1], row[2]) for row in rows))

    @display(description="Signature")
    def shown_verdicts(self, message: Message) -> SafeString:
        return pretty({name: found for name, found in message.verdicts.items() if name != "checks"})

    @display(description="Certificate")
    def shown_certificate(self, message: Message) -> SafeString:
        return as_written(_certificate(message))

    @display(description="Canonical string")
    def shown_canonical(self, message: Message) -> SafeString:
        return as_written(forensics.canonical_of(message))

    @display(description="Body")
    def shown_body(self, message: Message) -> SafeString | str:
        return as_written(inbox.without_secrets(message.body)) if message.body else "It is pruned."

    @display(description="What it says")
    def shown_notification(self, message: Message) -> str:
        said = _understood(message)
        at = said.notified_at if isinstance(said, Notification) else said.happened_at if said else None
        return f"{said.kind} of {at:%Y-%m-%d %H:%M:%S} UTC" if said else "—"

    @display(description="What it changed")
    def shown_changed(self, message: Message) -> SafeString | str:
        rows = [
            (reverse(f"admin:notifications_{row._meta.model_name}_change", args=[row.pk]), row, words)
            for row, words in _changed(_understood(message))
        ]
        return format_html_join("", '<p><a href="{}">{}</a>: {}</p>', rows) or "—"

    @display(description="Parsed")
    def shown_parsed(self, message: Message) -> SafeString | str:
        said = _understood(message)
        return pretty(said.parsed) if said else "—"

    def get_urls(self) -> list[URLPattern]:
        name = "notifications_message_explain"
        return [path("explain/", self.admin_site.admin_view(self.explain), name=name), *super().get_urls()]

    @action(description="Explain a message from elsewhere", url_path="explain-link")
    def open_explain(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:notifications_message_explain")

    def explain(self, request: HttpRequest) -> HttpResponse:
        """Paste a message in, see every check with its verdict; nothing is stored."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = ExplainForm(request.POST or None)
        report = forensics.explain(form.cleaned_data["text"].encode("utf-8", "replace")) if form.is_valid() else None
        context = {
            **self.admin_site.each_context(request),
            "title": "Explain a message",
            "form": form,
            "report": report,
        }
        return TemplateResponse(request, "admin/notifications/explain.html", context)

    @action(description="Process again", permissions=["replay"])
    def process_again(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        for message in queryset:
            inbox.replay(message)
            self.log_change(request, message, "Had it processed again.")
        self.message_user(request, f"{len(queryset)} message(s) will be processed again.", messages.SUCCESS)

    @action(description="Set aside: seen, nothing to be done", permissions=["replay"])
    def set_aside(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        done = [message for message in queryset if inbox.set_aside(message, str(request.user))]
        for message in done:
            self.log_change(request, message, "Set it aside.")
        self.message_user(request, f"{len(done)} message(s) were set aside.", messages.SUCCESS)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.replay_message")
