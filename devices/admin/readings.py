"""What units said and what is left in them: ledgers, to be looked at."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from devices.models import Inventory, Reading
from devices.models.vocabulary import MeasurementType
from devices.paging import EstimatedPaginator


class ReadOnly:
    """A ledger: to be looked at."""

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False


class Valued:
    """A row with a slot and a value, of many millions."""

    list_select_related = ["device", "slot"]
    search_fields = ["device__serial_number__exact"]
    search_help_text = "The whole serial number"
    ordering = ["-id"]
    paginator = EstimatedPaginator
    show_full_result_count = False

    @admin.display(description="Value", ordering="value")
    def shown_value(self, row: Inventory | Reading) -> str:
        """In the slot's measurement, as people write it."""
        unit = "%" if row.slot.measurement == MeasurementType.PERCENTAGE else row.slot.unit.lower().replace("_", " ")
        return f"{row.value.normalize():f} {unit}".strip()


@admin.register(Inventory)
class InventoryAdmin(Valued, ReadOnly, ModelAdmin):
    list_display = ["device", "slot", "shown_value", "measured_at", "heard_at", "epoch", "sequence"]


@admin.register(Reading)
class ReadingAdmin(Valued, ReadOnly, ModelAdmin):
    list_display = ["device", "slot", "epoch", "sequence", "shown_value", "measured_at", "heard_at"]
