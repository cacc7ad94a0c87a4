"""Units for staff: every change is a verb of registry.py; keys and claim codes are shown once, when they are made."""

import logging
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import slugify
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action as one_action
from unfold.decorators import display

from devices import registry
from devices.admin.export import UNITS, as_csv
from devices.admin.readings import ReadOnly, Valued
from devices.admin.unit_forms import DeviceForm, ImportForm, ReasonForm
from devices.models import ClaimAttempt, Device, Inventory
from devices.paging import EstimatedPaginator
from devices.uploads import Uploaded, UploadRefused, import_upload, secrets_csv

log = logging.getLogger(__name__)

Deed = Callable[[HttpRequest, Device, str], None]
AT_ONCE = 500  # each is a transaction of its own, and a field of the form


class InventoryInline(Valued, ReadOnly, TabularInline):
    model = Inventory
    verbose_name_plural = "what is left"
    hide_title = True
    extra = 0
    fields = ["slot", "shown_value", "measured_at", "heard_at", "epoch", "sequence"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Inventory]:
        return super().get_queryset(request).select_related("slot")


@admin.register(Device)
class DeviceAdmin(ModelAdmin):
    list_display = ["serial_number", "device_model", "owner", "name", "shown_online", "last_seen_at"]
    list_filter = [
        "device_model",
        "online",
        ("owner", admin.EmptyFieldListFilter),
        ("clock_doubted_at", admin.EmptyFieldListFilter),
    ]
    list_select_related = ["device_model", "owner"]
    search_fields = ["serial_number__startswith", "owner__email__istartswith"]
    search_help_text = "Begin of the serial number or of the owner's e-mail address"
    ordering = ["serial_number"]
    paginator = EstimatedPaginator
    show_full_result_count = False
    inlines = [InventoryInline]
    actions = ["rotate_keys", "revoke_keys", "release_devices", "export"]
    actions_list = ["import_list"]
    actions_detail = ["rotate_this", "revoke_this", "release_this"]
    elsewhere = [
        ("Readings", "devices_reading"),
        ("Device events", "devices_deviceevent"),
        ("Shadow", "devices_shadow"),
        ("Refused claims", "devices_claimattempt"),
    ]
    facts = [
        "owner",
        "ownership",
        "claimed_at",
        "warranty_until",
        "mac_address",
        "shown_online",
        "last_seen_at",
        "clock_doubted_at",
        "created_at",
    ]
    keys = ["key_changed_at", "key_seen_at", "previous_key_until"]

    def get_inlines(self, request: HttpRequest, obj: Device | None) -> list[Any]:
        return list(self.inlines) if obj else []

    def get_fields(self, request: HttpRequest, obj: Device | None = None) -> list[str]:
        more = ["firmware_version", *self.facts, *self.keys, "look_at"] if obj else []
        return ["serial_number", "device_model", "name", *more]

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> list[str]:
        return ["serial_number", "device_model", "firmware_version", *self.facts, *self.keys, "look_at"] if obj else []

    def get_form(self, request: HttpRequest, obj: Device | None = None, **kwargs: Any) -> type[ModelForm]:
        return super().get_form(request, obj, form=DeviceForm, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        return False  # its history and its orders stay; a unit that is gone is released

    @admin.display(description="Online", boolean=True, ordering="online")
    def shown_online(self, device: Device) -> bool | None:
        """Of a unit that was never heard nobody knows."""
        return device.online if device.last_seen_at else None

    @display(description="Look at")
    def look_at(self, device: Device) -> SafeString:
        """What other lists say of this unit."""
        ways = ((reverse(f"admin:{name}_changelist"), device, words) for words, name in self.elsewhere)
        return format_html_join(", ", '<a href="{}?q={}">{}</a>', ways)

    def has_rotate_key_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("devices.rotate_key_device")

    def has_revoke_key_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("devices.revoke_key_device")

    def has_release_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("devices.release_device")

    def has_import_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.import_device")

    def save_model(self, request: HttpRequest, obj: Device, form: ModelForm, change: bool) -> None:
        """Through the verbs: an addition is register, a change of the name is rename."""
        if change:
            registry.rename(obj, obj.name)
            return
        made = registry.register(obj.serial_number, obj.device_model, name=obj.name)
        obj.pk, obj.name = made.device.pk, made.device.name
        text = f"{made.device}: key {made.key}, claim code {made.claim_code}. They are shown this once."
        self.message_user(request, text, messages.WARNING)

    @admin.action(description="Give a new key (the old one works a while longer)", permissions=["rotate_key"])
    def rotate_keys(self, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse | None:
        return self._ask(request, queryset, "rotate_keys")

    @admin.action(description="Revoke all keys at once", permissions=["revoke_key"])
    def revoke_keys(self, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse | None:
        return self._ask(request, queryset, "revoke_keys")

    @admin.action(description="Release from the owner", permissions=["release"])
    def release_devices(self, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse | None:
        return self._ask(request, queryset, "release_devices")

    @one_action(description="Give a new key", url_path="rotate-key", permissions=["rotate_key"])
    def rotate_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask_of_one(request, object_id, "rotate_keys")

    @one_action(description="Revoke all keys", url_path="revoke-keys", permissions=["revoke_key"])
    def revoke_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask_of_one(request, object_id, "revoke_keys")

    @one_action(description="Release", url_path="release", permissions=["release"])
    def release_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask_of_one(request, object_id, "release_devices")

    @admin.action(description="Export as CSV", permissions=["view"])
    def export(self, request: HttpRequest, queryset: QuerySet[Device]) -> StreamingHttpResponse:
        log.info("staff %s exports units as CSV", request.user.pk)
        return as_csv(queryset, UNITS, "units")

    @one_action(description="Import a factory's list", url_path="import", permissions=["import"])
    def import_list(self, request: HttpRequest) -> HttpResponse:
        """The form, and its answer: a file of what was generated, said this once; or every fault by its line."""
        form, refusal = ImportForm(request.POST or None, request.FILES or None), None
        if request.method == "POST" and form.is_valid():
            try:
                return self._imported(request, import_upload(form.cleaned_data["list"].file), form)
            except UploadRefused as refused:
                refusal = refused
        more = {"title": "Import a factory's list", "form": form, "refusal": refusal}
        return self._page(request, "import", more, 400 if refusal or form.errors else 200)

    def _imported(self, request: HttpRequest, done: Uploaded, form: ImportForm) -> HttpResponse:
        listed, added, _ = done.imported
        self.message_user(request, f"{listed} units listed: {added} new, {listed - added} there before.")
        if done.secrets:
            return _download(secrets_csv(done.secrets), form.cleaned_data["list"].name)
        return redirect("admin:devices_device_changelist")

    def _ask_of_one(self, request: HttpRequest, object_id: str, action: str) -> HttpResponse:
        unit = get_object_or_404(Device, pk=object_id)
        answer = self._ask(request, Device.objects.filter(pk=unit.pk), action)
        return answer or redirect("admin:devices_device_change", unit.pk)

    def _ask(self, request: HttpRequest, chosen: QuerySet[Device], action: str) -> HttpResponse | None:
        """First the units and a field for the reason; with a reason, the deed, unit by unit, and a line of history."""
        title, deed = DEEDS[action]
        if (count := chosen.count()) > AT_ONCE:
            self.message_user(request, f"{count} units are too many at once; choose at most {AT_ONCE}.", messages.ERROR)
            return None
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        if not form.is_valid():
            more = {"title": title, "form": form, "devices": chosen, "action": action}
            return self._page(request, "confirm", more | {"chosen_name": helpers.ACTION_CHECKBOX_NAME}, 200)
        for device in chosen:
            deed(request, device, form.cleaned_data["reason"])
            self.log_change(request, device, f"{title}: {form.cleaned_data['reason']}")
        self.message_user(request, f"{title}: done for {count}.")
        return None

    def _page(self, request: HttpRequest, name: str, more: dict[str, Any], status: int) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.model._meta, **more}
        return TemplateResponse(request, f"admin/devices/device/{name}.html", context, status=status)


@admin.register(ClaimAttempt)
class ClaimAttemptAdmin(ReadOnly, ModelAdmin):
    """Why a claim was refused: the customer reads the reference aloud, here is the cause."""

    list_display = ["reference", "created_at", "cause", "serial_number", "customer", "address"]
    list_filter = ["cause"]
    list_select_related = ["customer"]
    search_fields = ["reference__iexact", "serial_number__iexact", "customer__email__istartswith"]
    search_help_text = "The reference, the serial number as it was typed, or the begin of the customer's e-mail address"
    paginator = EstimatedPaginator
    show_full_result_count = False


def _rotate(request: HttpRequest, device: Device, reason: str) -> None:
    key = registry.rotate_key(device)
    messages.warning(request, f"{device}: new key {key}. It is shown this once.")


def _revoke(request: HttpRequest, device: Device, reason: str) -> None:
    registry.revoke_keys(device)


def _release(request: HttpRequest, device: Device, reason: str) -> None:
    registry.release(device)


DEEDS: dict[str, tuple[str, Deed]] = {
    "rotate_keys": ("Give a new key", _rotate),
    "revoke_keys": ("Revoke all keys at once", _revoke),
    "release_devices": ("Release from the owner", _release),
}


def _download(text: str, name: str | None) -> HttpResponse:
    """A file for the person who asked, which no cache keeps."""
    answer = HttpResponse(text, content_type="text/csv; charset=ascii")
    stem = slugify((name or "units").rsplit(".", 1)[0]) or "units"
    answer["Content-Disposition"] = f'attachment; filename="{stem}.secrets.csv"'
    answer["Cache-Control"] = "no-store"
    return answer
