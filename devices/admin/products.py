"""Products for staff: models, their slots and what may fill them."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from devices.models import DeviceModel, Slot, SlotProduct


class SlotInline(TabularInline):
    model = Slot
    extra = 0
    show_change_link = True
    fields = ["slot_id", "name", "sensor", "measurement", "unit", "instance", "replenishment_id"]


class SlotProductInline(TabularInline):
    model = SlotProduct
    extra = 0


@admin.register(DeviceModel)
class DeviceModelAdmin(ModelAdmin):
    list_display = ["model_id", "name", "manufacturer", "display_category", "offline_after"]
    search_fields = ["model_id", "name"]
    inlines = [SlotInline]

    def get_readonly_fields(self, request: HttpRequest, obj: DeviceModel | None = None) -> list[str]:
        return ["model_id"] if obj else []


@admin.register(Slot)
class SlotAdmin(ModelAdmin):
    """Slots are made with their model; here their products are."""

    list_display = ["slot_id", "device_model", "name", "sensor", "measurement", "instance", "replenishment_id"]
    list_select_related = ["device_model"]
    search_fields = ["slot_id", "device_model__model_id", "replenishment_id"]
    inlines = [SlotProductInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Slot | None = None) -> list[str]:
        return ["device_model", "slot_id", "instance"] if obj else []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
