"""Smart Properties in the admin: its events (read-only), devices and roles with how far each is, and event subscriptions."""

import logging
import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from notifications import asp_api, operations
from notifications.admin.reading import STATE_COLOURS, ReadOnly, pretty
from notifications.asp_api import AspError
from notifications.models import PropertyEvent, PropertyOperation, Topic

log = logging.getLogger(__name__)


class KindFilter(admin.SimpleListFilter):
    """The six that Amazon documents, and whatever else came: without asking all rows which kinds there are."""

    title = "event"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, ".".join(kind)) for name, kind in asp_api.EVENTS.items()] + [("other", "Another")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PropertyEvent]) -> QuerySet[PropertyEvent]:
        kinds = {name: ".".join(kind) for name, kind in asp_api.EVENTS.items()}
        if self.value() == "other":
            return queryset.exclude(kind__in=kinds.values())
        return queryset.filter(kind=kinds[self.value()]) if self.value() in kinds else queryset


@admin.register(PropertyEvent)
class PropertyEventAdmin(ReadOnly, ModelAdmin):
    list_display = ["event_id", "kind", "happened_at", "unit_id", "failed", "contradicted"]
    list_filter = [KindFilter, "failed", "contradicted"]
    search_fields = ["=event_id", "=unit_id", "=endpoint_id"]
    search_help_text = "Event, unit or endpoint ID, whole"
    ordering = ["-happened_at"]
    show_full_result_count = False
    fields = ["event_id", "kind", "happened_at", "unit_id", "skill_id", "endpoint_id", "automation_id", "failed", "aside",
              "contradicted", "message", "shown_parsed"]  # fmt: skip
    readonly_fields = ["shown_parsed"]
    actions = ["set_aside"]

    @action(description="Set aside: the failure is seen, nothing to be done", permissions=["replay"])
    def set_aside(self, request: HttpRequest, queryset: QuerySet[PropertyEvent]) -> None:
        failed = list(queryset.filter(failed=True, aside=False))
        for event in failed:
            self.log_change(request, event, "Set it aside.")
        done = PropertyEvent.objects.filter(pk__in=[event.pk for event in failed]).update(aside=True)
        self.message_user(request, f"{done} failure(s) were set aside.", messages.SUCCESS)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.replay_message")

    @display(description="Parsed")
    def shown_parsed(self, event: PropertyEvent) -> str:
        return pretty(event.parsed)


class PlanForm(forms.ModelForm):  # type: ignore[type-arg]
    """Into which unit a device belongs."""

    device = forms.CharField(
        widget=UnfoldAdminTextInputWidget,
        help_text="Endpoint ID (amzn1.alexa.endpoint.…) or serial number.",
    )
    unit = forms.CharField(widget=UnfoldAdminTextInputWidget, help_text="amzn1.alexa.unit.…")

    class Meta:
        model = PropertyOperation
        fields: list[str] = []

    def clean(self) -> dict[str, Any]:
        try:
            operations.check_plan(self.cleaned_data.get("device", ""), self.cleaned_data.get("unit", ""))
        except ValueError as problem:
            raise forms.ValidationError(str(problem)) from problem
        return self.cleaned_data


@admin.register(PropertyOperation)
class PropertyOperationAdmin(ModelAdmin):
    """Plans are added, nothing is edited: rows are derived from plans and Amazon's events."""

    list_display = ["id", "__str__", "shown_state", "reason", "set_up_at", "attempts"]
    list_filter = ["state", "kind"]
    search_fields = ["=endpoint_id", "=serial_number", "=unit_id", "=principal_id"]
    search_help_text = "Endpoint ID, serial number, unit or principal, whole"
    actions = ["withdraw", "ask_again"]
    actions_list = ["open_subscriptions"]
    fields = ["kind", "state", "reason", "unit_id", "endpoint_id", "serial_number", "principal_id", "role_id",
              "propagate", "set_up_at", "served_at", "asked_at", "due_at", "attempts"]  # fmt: skip

    @display(description="State", label=STATE_COLOURS, ordering="state")
    def shown_state(self, row: PropertyOperation) -> tuple[str, str]:
        return row.state, row.get_state_display()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs) if obj else PlanForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.fields if obj else ["device", "unit"]  # type: ignore[return-value]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.fields if obj else []  # type: ignore[return-value]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> PropertyOperation:
        return operations.plan(form.cleaned_data["device"].strip(), form.cleaned_data["unit"].strip())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The verb has done it."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """There is nothing related."""

    @action(description="Withdraw what is not done", permissions=["plan"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[PropertyOperation]) -> None:
        rows = [row for row in queryset if operations.withdraw(row)]
        for row in rows:
            self.log_change(request, row, "Withdrew it.")
        self.message_user(request, f"{len(rows)} withdrawn.", messages.SUCCESS)

    @action(description="Ask again what Amazon refused", permissions=["plan"])
    def ask_again(self, request: HttpRequest, queryset: QuerySet[PropertyOperation]) -> None:
        rows = [row for row in queryset if operations.retry(row)]
        for row in rows:
            self.log_change(request, row, "Had it asked again.")
        self.message_user(request, f"{len(rows)} will be asked again.", messages.SUCCESS)

    def has_plan_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.add_propertyoperation")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.subscriptions)
        return [path("subscriptions/", view, name="notifications_property_subscriptions"), *super().get_urls()]

    @action(description="Event subscriptions", url_path="subscriptions-link")
    def open_subscriptions(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:notifications_property_subscriptions")

    def subscriptions(self, request: HttpRequest) -> HttpResponse:
        """Who hears of which events, asked of Amazon now; create and delete. There is no change at Amazon."""
        if not request.user.has_perm("notifications.manage_subscriptions"):
            raise PermissionDenied
        found = self._found(request)
        configure = ConfigurationForm(_posted(request, "configure"))
        subscribe = SubscriptionForm(found.get("configurations", []), _posted(request, "subscribe"))
        try:
            done = _carry_out(request, configure, subscribe)
        except (AspError, ValueError) as problem:
            self.message_user(request, str(problem), messages.ERROR)
            done = ""
        if done:
            log.info("Smart Properties' subscriptions: %s by %s", done, request.user.pk)
            self.message_user(request, done, messages.SUCCESS)
            return redirect("admin:notifications_property_subscriptions")
        context = {**self.admin_site.each_context(request), "title": "Event subscriptions", "configure": configure,
                   "subscribe": subscribe, "confirm": request.POST.get("ask_delete", ""), **found}  # fmt: skip
        return TemplateResponse(request, "admin/notifications/subscriptions.html", context)

    def _found(self, request: HttpRequest) -> dict[str, Any]:
        try:
            return {
                "configurations": asp_api.listed("subscriptionConfigurations"),
                "subscriptions": asp_api.listed("subscriptions"),
                "user_id": self._user_id(request),
            }
        except AspError as problem:
            self.message_user(request, str(problem), messages.ERROR)
            return {"unknown": True}

    def _user_id(self, request: HttpRequest) -> str:
        """A token without the scope for it can do the rest."""
        try:
            return asp_api.user_id()
        except AspError as problem:
            self.message_user(request, str(problem), messages.WARNING)
            return ""


class ConfigurationForm(forms.Form):
    """A topic that shall hear events."""

    topic = forms.ModelChoiceField(Topic.objects.filter(kind=Topic.Kind.ASP), widget=UnfoldAdminSelectWidget)


class SubscriptionForm(forms.Form):
    """An event that shall be told."""

    event = forms.ChoiceField(
        choices=[(name, ".".join(kind)) for name, kind in asp_api.EVENTS.items()], widget=UnfoldAdminSelectWidget
    )
    configuration = forms.ChoiceField(widget=UnfoldAdminSelectWidget, help_text="Whose topic hears it.")
    unit = forms.CharField(
        max_length=512, widget=UnfoldAdminTextInputWidget, help_text="For activation: the parent of the units to come."
    )
    skill = forms.CharField(
        max_length=512, required=False, widget=UnfoldAdminTextInputWidget, help_text="For failures of a skill."
    )

    def __init__(self, configurations: list[Any], *args: Any) -> None:
        super().__init__(*args)
        found = [(one["id"], _words(one)) for one in configurations]
        self.fields["configuration"].choices = found or [("", "None yet: let a topic hear first")]


def _words(configuration: dict[str, Any]) -> str:
    """By the end of its ID and by the topics that hear."""
    topics = ", ".join(str(channel.get("id", "")) for channel in configuration.get("deliveryChannels", []))
    return f"{topics} (…{configuration['id'][-12:]})"


def _posted(request: HttpRequest, name: str) -> Any:
    return request.POST if name in request.POST else None


def _carry_out(request: HttpRequest, configure: forms.Form, subscribe: forms.Form) -> str:
    """What was asked for, in words; empty when nothing was. Raises AspError and ValueError."""
    if configure.is_bound and configure.is_valid():
        return f"Made {asp_api.create_configuration(configure.cleaned_data['topic'].arn, str(uuid.uuid4()))}."
    if subscribe.is_bound and subscribe.is_valid():
        said = subscribe.cleaned_data
        user = asp_api.user_id() if said["event"] == "setup" else ""
        entities = asp_api.entities_for(said["event"], said["unit"], said["skill"], user)
        return f"Made {asp_api.create_subscription(said['configuration'], said['event'], entities)}."
    what, _, identifier = request.POST.get("delete", "").partition("/")
    if what in ("subscriptions", "subscriptionConfigurations") and identifier:
        return f"Deleted {identifier}." if asp_api.delete(what, identifier) else "It was gone already."
    return ""
