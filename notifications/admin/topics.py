"""Topics in the admin."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from notifications.models import Topic


@admin.register(Topic)
class TopicAdmin(ModelAdmin):
    list_display = ["arn", "kind", "signature_version", "subscription", "subscription_at", "drift_checked_at"]
    list_filter = ["kind", "subscription"]
    search_fields = ["arn"]
    readonly_fields = ["subscription_arn", "subscription_at", "drift", "drift_checked_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Topic | None = None) -> list[str]:
        """A topic's messages were verified for its ARN: another ARN is another topic."""
        return [*self.readonly_fields, "arn"] if obj else self.readonly_fields
