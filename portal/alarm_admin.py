"""Alarms in the admin: read, and taken with a note."""

from typing import Any

from django.contrib import admin
from django.db.models import Field
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from portal import alarms
from portal.models import Alarm, AlarmNotice


class AlarmNoticeInline(TabularInline):
    """What was sent, to where and when."""

    model = AlarmNotice
    fields = ["channel", "event", "created_at", "sent_at", "due_at", "attempts", "error"]
    readonly_fields = fields
    extra = 0
    hide_title = True
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Alarm | None = None) -> bool:
        return False


@admin.register(Alarm)
class AlarmAdmin(ModelAdmin):
    """Opened and closed by the conditions themselves; a person can only take one, with a note."""

    list_display = ["title", "shown_state", "opened_at", "closed_at", "count", "acknowledged_by", "note"]
    search_fields = ["title", "condition", "note"]
    search_help_text = "Part of the title or of the note"
    list_filter = [("closed_at", admin.EmptyFieldListFilter), "condition"]
    list_select_related = ["acknowledged_by"]
    fields = [
        "title", "condition", "opened_at", "seen_at", "closed_at", "count", "shown_evidence", "note", "acknowledged_by",
        "acknowledged_at",
    ]  # fmt: skip
    readonly_fields = [
        "title", "condition", "opened_at", "seen_at", "closed_at", "count", "shown_evidence", "acknowledged_by",
        "acknowledged_at",
    ]  # fmt: skip
    inlines = [AlarmNoticeInline]

    @display(description="State", label={"open": "danger", "taken": "warning", "closed": "success"})
    def shown_state(self, alarm: Alarm) -> str:
        if alarm.closed_at:
            return "closed"
        return "taken" if alarm.acknowledged_at else "open"

    @admin.display(description="Evidence")
    def shown_evidence(self, alarm: Alarm) -> str:
        return "\n".join(alarm.evidence)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Alarm | None = None) -> bool:
        """What is closed needs nobody any more."""
        return super().has_change_permission(request, obj) and (obj is None or obj.closed_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Alarm | None = None) -> bool:
        return False

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:  # type: ignore[type-arg]
        """Nobody takes an alarm without a word: saving ends the reminders."""
        if db_field.name == "note":
            kwargs["required"] = True
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Alarm, form: ModelForm, change: bool) -> None:  # type: ignore[type-arg]
        alarms.acknowledge(obj, request.user, obj.note)  # type: ignore[arg-type]
