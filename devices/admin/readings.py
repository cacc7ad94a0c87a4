"""What units said and what is left in them: ledgers, to be looked at."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from devices.models import Inventory, Reading
from devices.paging import EstimatedPaginator


class ReadOnly:
    """A ledger: to be looked at."""

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False


@admin.register(Inventory)
class InventoryAdmin(ReadOnly, ModelAdmin):
    list_display = ["device", "slot", "value", "measured_at", "heard_at", "epoch", "sequence"]
    list_select_related = ["device", "slot"]
    search_fields = ["device__serial_number__exact"]
    search_help_text = "The whole serial number"
    ordering = ["-id"]
    paginator = EstimatedPaginator
    show_full_result_count = False


@admin.register(Reading)
class ReadingAdmin(ReadOnly, ModelAdmin):
    list_display = ["device", "slot", "epoch", "sequence", "value", "measured_at", "heard_at"]
    list_select_related = ["device", "slot"]
    search_fields = ["device__serial_number__exact"]
    search_help_text = "The whole serial number"
    ordering = ["-id"]
    paginator = EstimatedPaginator
    show_full_result_count = False
