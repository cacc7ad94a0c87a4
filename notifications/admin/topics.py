"""Topics in the admin."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from notifications.models import Topic


@admin.register(Topic)
class TopicAdmin(ModelAdmin):
    list_display = ["arn", "kind", "signature_version", "subscription", "subscription_at", "drift_checked_at"]
    list_filter = ["kind", "subscription"]
    search_fields = ["arn"]
    search_help_text = "Part of the ARN"
    said = ["kind", "signature_version", "subscription"]
    found = ["subscription_arn", "subscription_at", "shown_drift", "drift_checked_at"]

    @display(description="Drift")
    def shown_drift(self, topic: Topic) -> str:
        """In what AWS differs from what should be there."""
        return "\n".join(map(str, topic.drift)) or ("none" if topic.drift_checked_at else "not looked at")

    def get_fields(self, request: HttpRequest, obj: Topic | None = None) -> list[str]:
        return ["arn", *self.said, *(self.found if obj else [])]

    def get_readonly_fields(self, request: HttpRequest, obj: Topic | None = None) -> list[str]:
        """A topic's messages were verified for its ARN: another ARN is another topic."""
        return ["arn", *self.found] if obj else []
