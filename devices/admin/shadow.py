"""What units should be and say they are, and what they told once: ledgers, to be looked at."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from devices import shadow
from devices.admin.readings import ReadOnly
from devices.models import DeviceEvent, Shadow
from devices.paging import EstimatedPaginator


@admin.register(Shadow)
class ShadowAdmin(ReadOnly, ModelAdmin):
    """Why a unit has not done what was wished: by which door it is told, what it still has to do, what went wrong."""

    list_display = ["device", "door", "version", "changed_at", "due_at", "attempts", "error"]
    list_select_related = ["device"]
    list_filter = ["door"]
    search_fields = ["device__serial_number__exact"]
    search_help_text = "The whole serial number"
    exclude = ["ownership", "marks", "told", "lease", "leased_until"]
    readonly_fields = ["delta"]
    ordering = ["-pk"]
    paginator = EstimatedPaginator
    show_full_result_count = False

    @admin.display(description="still to do")
    def delta(self, row: Shadow) -> str:
        return str(shadow.delta(row) or "nothing")


@admin.register(DeviceEvent)
class DeviceEventAdmin(ReadOnly, ModelAdmin):
    list_display = ["device", "type", "slot_id", "happened_at", "heard_at", "event_id"]
    list_select_related = ["device"]
    list_filter = ["type"]
    search_fields = ["device__serial_number__exact"]
    search_help_text = "The whole serial number"
    ordering = ["-heard_at"]
    paginator = EstimatedPaginator
    show_full_result_count = False
