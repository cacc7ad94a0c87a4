"""Smart Properties' events in the admin: read-only."""

from django.contrib import admin
from unfold.admin import ModelAdmin
from unfold.decorators import display

from notifications.admin.reading import ReadOnly, pretty
from notifications.models import PropertyEvent


@admin.register(PropertyEvent)
class PropertyEventAdmin(ReadOnly, ModelAdmin):
    list_display = ["event_id", "kind", "happened_at", "unit_id", "failed", "contradicted"]
    list_filter = ["failed", "contradicted"]
    search_fields = ["=event_id", "=unit_id", "=endpoint_id"]
    search_help_text = "Event, unit or endpoint ID, whole"
    ordering = ["-happened_at"]
    show_full_result_count = False
    fields = ["event_id", "kind", "happened_at", "unit_id", "skill_id", "endpoint_id", "automation_id", "failed",
              "contradicted", "message", "shown_parsed"]  # fmt: skip
    readonly_fields = ["shown_parsed"]

    @display(description="Parsed")
    def shown_parsed(self, event: PropertyEvent) -> str:
        return pretty(event.parsed)
