"""Products for staff: models, their slots and what may fill them, as they are live; they change by draft (drafts.py)."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display

from devices.admin.drafts import DraftPages
from devices.admin.readings import ReadOnly
from devices.models import DeviceModel, Marketplace, ModelMarketplace, Revision, Slot, SlotProduct

STATE_COLOURS = {"draft": "info", "testing": "warning", "certified": "success", "locked": "success"}
REVISION_COLOURS = {"draft": "info", "published": "success", "discarded": "warning"}


class SlotInline(ReadOnly, TabularInline):
    model = Slot
    hide_title = True
    extra = 0
    show_change_link = True
    fields = ["slot_id", "name", "sensor", "measurement", "unit", "instance", "replenishment_id"]
    readonly_fields = fields


class ModelMarketplaceInline(ReadOnly, TabularInline):
    model = ModelMarketplace
    hide_title = True
    extra = 0
    fields = ["marketplace", "friendly_name"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelMarketplace]:
        return super().get_queryset(request).select_related("marketplace")


class SlotProductInline(ReadOnly, TabularInline):
    model = SlotProduct
    hide_title = True
    extra = 0
    fields = ["marketplace", "asin", "title", "quantity", "unit", "active"]
    readonly_fields = fields


@admin.register(DeviceModel)
class DeviceModelAdmin(DraftPages, ModelAdmin):
    """A model as it is live. A new one needs its ID and a few words; all else is a draft."""

    list_display = ["model_id", "name", "manufacturer", "display_category", "shown_state", "has_draft"]
    list_filter = ["drs_state", "display_category"]
    search_fields = ["model_id", "name"]
    search_help_text = "Part of the model ID or of the name"
    inlines = [ModelMarketplaceInline, SlotInline]
    actions_detail = ["edit_draft", "review_draft", "show_readiness"]
    beginning = ["model_id", "name", "manufacturer", "description", "display_category"]
    rest = ["drs_state", "shown_interfaces", "offline_after", "warranty_months", "shown_picture", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeviceModel]:
        drafts = Revision.objects.filter(device_model=OuterRef("pk"), state=Revision.State.DRAFT)
        return super().get_queryset(request).annotate(drafted=Exists(drafts))

    def get_fields(self, request: HttpRequest, obj: DeviceModel | None = None) -> list[str]:
        return [*self.beginning, *(self.rest if obj else [])]

    def get_readonly_fields(self, request: HttpRequest, obj: DeviceModel | None = None) -> list[str]:
        return self.get_fields(request, obj) if obj else []

    def get_inlines(self, request: HttpRequest, obj: DeviceModel | None) -> list[type]:
        return self.inlines if obj else []

    def has_change_permission(self, request: HttpRequest, obj: DeviceModel | None = None) -> bool:
        return False  # what is live is changed by publishing a draft

    def has_view_permission(self, request: HttpRequest, obj: DeviceModel | None = None) -> bool:
        return super().has_view_permission(request, obj) or self.may_edit(request) or self.may_publish(request)

    def has_edit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.may_edit(request)

    def has_publish_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.may_publish(request) or self.may_edit(request)

    def get_urls(self) -> list[URLPattern]:
        return [*self.draft_urls(), *super().get_urls()]

    def response_add(self, request: HttpRequest, obj: DeviceModel, *args: Any, **kwargs: Any) -> HttpResponse:
        if "_popup" in request.POST or not self.may_edit(request):
            return super().response_add(request, obj, *args, **kwargs)
        return HttpResponseRedirect(reverse("admin:devices_model_draft", args=[obj.pk]))

    def get_form(self, request: HttpRequest, obj: DeviceModel | None = None, **kwargs: Any) -> type[ModelForm]:
        form = super().get_form(request, obj, **kwargs)
        if "model_id" in form.base_fields:
            form.base_fields["model_id"].help_text += " Leave what is there, or type the one you have."
        return form

    @display(description="DRS state", label=STATE_COLOURS, ordering="drs_state")
    def shown_state(self, model: DeviceModel) -> tuple[str, str]:
        return model.drs_state, model.get_drs_state_display()

    @display(description="Draft", boolean=True)
    def has_draft(self, model: DeviceModel) -> bool:
        return model.drafted  # type: ignore[attr-defined]

    @display(description="Interfaces")
    def shown_interfaces(self, model: DeviceModel) -> str:
        return ", ".join(entry.key for entry in model.interfaces)

    @display(description="Picture")
    def shown_picture(self, model: DeviceModel) -> SafeString | str:
        if not model.picture_id:
            return "—"
        address = reverse("admin:devices_model_picture", args=[model.picture_id])
        return format_html('<img src="{}" alt="{}" style="max-height: 8rem">', address, model.name)

    @action(description="Edit draft", url_path="edit-draft", permissions=["edit"])
    def edit_draft(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:devices_model_draft", args=[object_id]))

    @action(description="Review and publish", url_path="review-draft", permissions=["publish"])
    def review_draft(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:devices_model_publish", args=[object_id]))

    @action(description="Readiness", url_path="show-readiness", permissions=["view"])
    def show_readiness(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:devices_model_readiness", args=[object_id]))


@admin.register(Slot)
class SlotAdmin(ReadOnly, ModelAdmin):
    """Slots as they are live, with their products."""

    list_display = ["slot_id", "device_model", "name", "sensor", "measurement", "instance", "replenishment_id"]
    list_select_related = ["device_model"]
    search_fields = ["slot_id", "device_model__model_id", "replenishment_id", "products__asin"]
    search_help_text = "Slot ID, model ID, replenishment ID or ASIN"
    inlines = [SlotProductInline]


@admin.register(Marketplace)
class MarketplaceAdmin(ModelAdmin):
    """Where models can be sold. Another country needs a row, no code."""

    list_display = ["code", "name", "locale"]

    def get_readonly_fields(self, request: HttpRequest, obj: Marketplace | None = None) -> list[str]:
        return ["code"] if obj else []


@admin.register(Revision)
class RevisionAdmin(ReadOnly, ModelAdmin):
    """What was published when, by whom and why; a ledger."""

    list_display = ["device_model", "shown_state", "reason", "published_by", "published_at", "devices"]
    list_filter = ["state", "device_model"]
    list_select_related = ["device_model", "published_by"]
    fields = [
        "device_model", "state", "reason", "published_by", "published_at", "edited_by", "edited_at", "devices",
        "told_up_to", "shown_changes",
    ]  # fmt: skip
    readonly_fields = ["shown_changes"]

    @display(description="State", label=REVISION_COLOURS, ordering="state")
    def shown_state(self, revision: Revision) -> tuple[str, str]:
        return revision.state, revision.get_state_display()

    @display(description="Changes")
    def shown_changes(self, revision: Revision) -> SafeString:
        return format_html('<pre style="white-space: pre-wrap">{}</pre>', "\n".join(revision.changes) or "—")
