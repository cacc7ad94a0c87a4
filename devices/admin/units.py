"""Units for staff: every change is a verb of registry.py; keys and claim codes are shown once, when they are made."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from devices import registry
from devices.admin.readings import ReadOnly
from devices.models import Device, Inventory
from devices.paging import EstimatedPaginator


class InventoryInline(ReadOnly, TabularInline):
    model = Inventory
    extra = 0
    fields = ["slot", "value", "measured_at", "heard_at", "epoch", "sequence"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Inventory]:
        return super().get_queryset(request).select_related("slot")


@admin.register(Device)
class DeviceAdmin(ModelAdmin):
    list_display = ["serial_number", "device_model", "owner", "name", "online", "last_seen_at"]
    list_filter = ["device_model", "online", ("owner", admin.EmptyFieldListFilter)]
    list_select_related = ["device_model", "owner"]
    search_fields = ["serial_number__startswith", "owner__email__istartswith"]
    search_help_text = "Begin of the serial number or of the owner's e-mail address"
    ordering = ["serial_number"]
    paginator = EstimatedPaginator
    show_full_result_count = False
    inlines = [InventoryInline]
    actions = ["rotate_keys", "release_devices"]
    facts = ["owner", "ownership", "claimed_at", "online", "last_seen_at", "created_at"]

    def get_fields(self, request: HttpRequest, obj: Device | None = None) -> list[str]:
        return ["serial_number", "device_model", "name", *(["firmware_version", *self.facts] if obj else [])]

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> list[str]:
        return ["serial_number", "device_model", "firmware_version", *self.facts] if obj else []

    def get_form(self, request: HttpRequest, obj: Device | None = None, **kwargs: Any) -> type[ModelForm]:
        return super().get_form(request, obj, form=DeviceForm, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        return False  # its history and its orders stay; a unit that is gone is released

    def has_rotate_key_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.rotate_key_device")

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.release_device")

    def save_model(self, request: HttpRequest, obj: Device, form: ModelForm, change: bool) -> None:
        """Through the verbs: an addition is register, a change of the name is rename."""
        if change:
            registry.rename(obj, obj.name)
            return
        made = registry.register(obj.serial_number, obj.device_model, name=obj.name)
        obj.pk, obj.name = made.device.pk, made.device.name
        text = f"{made.device}: key {made.key}, claim code {made.claim_code}. They are shown this once."
        self.message_user(request, text, messages.WARNING)

    @admin.action(description="Give a new key (the old one stops working)", permissions=["rotate_key"])
    def rotate_keys(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        for device in queryset:
            key = registry.rotate_key(device)
            self.log_change(request, device, "Gave it a new key.")
            self.message_user(request, f"{device}: new key {key}. It is shown this once.", messages.WARNING)

    @admin.action(description="Release from the owner", permissions=["release"])
    def release_devices(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        for device in queryset:
            registry.release(device)
            self.log_change(request, device, "Released it from its owner.")
        self.message_user(request, f"Released: {', '.join(device.serial_number for device in queryset)}.")


class DeviceForm(ModelForm):
    """Says about a name what the verb would say."""

    class Meta:
        model = Device
        fields = ["serial_number", "device_model", "name"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "name" in self.fields:
            self.fields["name"].required = self.instance.pk is not None
            self.fields["name"].help_text = "What the owner calls it; empty: the model's name."

    def clean_name(self) -> str:
        name = self.cleaned_data["name"]
        try:
            return registry.tidy_name(name) if name else ""
        except registry.NameRefused as refusal:
            self.add_error("name", str(refusal))
            return name
