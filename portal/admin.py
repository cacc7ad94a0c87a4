"""People in the admin, and what needs more than one room: a device with its link and orders, a customer with devices and links."""

from typing import Any

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import Group
from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm
from unfold.widgets import UnfoldAdminPasswordWidget

from devices.admin.readings import ReadOnly
from devices.admin.units import DeviceAdmin
from devices.models import Device
from notifications.models import Order
from portal import alarm_admin, leaving  # noqa: F401  (registers alarms)
from portal.models import User
from skill import attempts, linking_admin, view_page  # noqa: F401  (registers linking attempts)
from skill.admin import EndpointInline
from skill.models import AlexaGrant, Endpoint, LinkingAttempt

admin.site.unregister(Group)
admin.site.unregister(EmailAddress)
admin.site.unregister(Device)


class Glance(ReadOnly, TabularInline):
    """Rows of another room, to be looked at here and opened there."""

    extra = 0
    hide_title = True

    @display(description="Open")
    def row(self, row: Model) -> str:
        """A way to its own page."""
        address = reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=[row.pk])
        return format_html('<a href="{}">{}</a>', address, row)


class DeviceEndpointInline(EndpointInline):
    """The device as its owner's Alexa knows it, and why she hears nothing if she does not."""

    fields = ["grant", "said_situation", "reported_at", "due_at"]
    readonly_fields = fields
    verbose_name_plural = "Alexa"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        return super().get_queryset(request).select_related("grant__user").order_by("-wanted", "-pk")


class DeviceOrderInline(Glance):
    model = Order
    fields = ["row", "state", "slot", "placed_at", "estimated_delivery"]
    readonly_fields = fields


class OwnedDeviceInline(Glance):
    model = Device
    fields = ["row", "name", "device_model", "online", "last_seen_at"]
    readonly_fields = fields


class AlexaGrantInline(Glance):
    model = AlexaGrant
    fields = ["row", "said_state", "reason", "accepted_at"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlexaGrant]:
        return super().get_queryset(request).defer("access_token", "refresh_token")

    @display(description="State")
    def said_state(self, grant: AlexaGrant) -> str:
        return str(grant.get_state_display())


class LinkingAttemptInline(Glance):
    """The last attempts to link, and what came of them."""

    model = LinkingAttempt
    fields = ["row", "opened_at", "why"]
    readonly_fields = fields

    @display(description="Where it stands")
    def why(self, attempt: LinkingAttempt) -> str:
        return attempts.verdict(attempt).summary

    def get_queryset(self, request: HttpRequest) -> QuerySet[LinkingAttempt]:
        return super().get_queryset(request).order_by("-opened_at")


@admin.register(Device)
class WholeDeviceAdmin(DeviceAdmin):
    """The registry's page with what the rooms above know of the same unit."""

    elsewhere = [*DeviceAdmin.elsewhere, ("Missed reports", "skill_miss"), ("Messages", "notifications_message")]

    def get_inlines(self, request: HttpRequest, obj: Device | None) -> list[Any]:
        return [*super().get_inlines(request, obj), *([DeviceEndpointInline, DeviceOrderInline] if obj else [])]


class NewUserForm(BaseUserCreationForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("password1", "password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})

    class Meta:
        model = User
        fields = ["email", "name"]
        field_classes = {"email": forms.EmailField}


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg, misc]
    """Customers and staff. Switch `active` off instead of deleting: every token of theirs stops working at once."""

    form = UserChangeForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "name", "is_active", "is_staff", "date_joined", "last_login"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "name"]
    search_help_text = "Part of the e-mail address or of the name"
    ordering = ["email"]
    readonly_fields = ["date_joined", "last_login", "leaving_at", "alexa_view"]
    fieldsets: Any = [
        (None, {"fields": ["email", "name", "password", "alexa_view"]}),
        ("Access", {"fields": ["is_active", "is_staff", "is_superuser", "groups"]}),
        ("History", {"fields": ["date_joined", "last_login", "leaving_at"]}),
    ]
    add_fieldsets: Any = [(None, {"classes": ["wide"], "fields": ["email", "name", "password1", "password2"]})]
    filter_horizontal: Any = []
    autocomplete_fields = ["groups"]  # what a person may do comes from groups alone
    inlines: Any = [OwnedDeviceInline, AlexaGrantInline, LinkingAttemptInline]

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[Any]:
        return list(self.inlines) if obj else []

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        """Nobody gives more than a superuser alone may give."""
        fixed = [] if request.user.is_superuser else ["is_staff", "is_superuser", "groups"]
        return [*self.readonly_fields, *fixed]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Their passwords too: everybody changes their own on a page of their own."""
        return super().has_change_permission(request, obj) and _in_reach(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _in_reach(request, obj)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Devices stand in nobody's way: they are released first (leaving.py)."""
        rows = [f"{user}: devices are released, Alexa is told, then the account is deleted" for user in objs]
        return rows, {"users": len(rows)}, {str(user) for user in objs if not _in_reach(request, user)}, []

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        leaving.leave(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            leaving.leave(user)

    @display(description="Alexa")
    def alexa_view(self, user: User) -> str:
        return view_page.link_to(user.pk)


def _in_reach(request: HttpRequest, user: User | None) -> bool:
    """Staff are a superuser's matter: whoever sets a colleague's password or address becomes that colleague."""
    return bool(request.user.is_superuser or user is None or not (user.is_staff or user.is_superuser))


@admin.register(EmailAddress)
class EmailAddressAdmin(ModelAdmin):
    """What a customer signs in with and whether it is confirmed; a mark set here counts as a confirmation."""

    list_display = ["email", "user", "primary", "verified"]
    list_filter = ["primary", "verified"]
    list_select_related = ["user"]
    search_fields = ["email", "user__email"]
    search_help_text = "Part of the address"
    autocomplete_fields = ["user"]

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any], request: HttpRequest, **kwargs: Any) -> Any:
        """A confirmed address is a way to a new password."""
        if db_field.name == "user" and not request.user.is_superuser:
            kwargs["queryset"] = User.objects.filter(is_staff=False, is_superuser=False)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[EmailAddress]:
        """Colleagues' are not here: what is ticked in the list is deleted without a look at each."""
        rows = super().get_queryset(request)
        return rows if request.user.is_superuser else rows.filter(user__is_staff=False, user__is_superuser=False)


@admin.register(Group)
class GroupAdmin(ModelAdmin):
    """What a kind of staff may do."""

    search_fields = ["name"]
    filter_horizontal = ["permissions"]
