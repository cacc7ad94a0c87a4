"""Events of Alexa Smart Properties, parsed and kept: once each by their own ID, whatever number of messages brings them."""

from django.db import models

from notifications.models.messages import Message


class PropertyEvent(models.Model):
    """One event by what it says: repetitions are one row; two that contradict each other (one ID) both count for nothing."""

    event_id = models.CharField("event ID", max_length=255)
    digest = models.CharField(max_length=64, editable=False)
    contradicted = models.BooleanField(default=False, help_text="Another event has this ID and says otherwise.")
    message = models.ForeignKey(
        Message,
        on_delete=models.SET_NULL,
        null=True,
        related_name="property_events",
        help_text="The first that brought it.",
    )
    kind = models.CharField(max_length=520)
    happened_at = models.DateTimeField(help_text="eventTime: Amazon's clock, and the order of things.")
    unit_id = models.CharField("unit ID", max_length=512, blank=True)
    skill_id = models.CharField("skill ID", max_length=512, blank=True)
    endpoint_id = models.CharField("endpoint ID", max_length=512, blank=True)
    automation_id = models.CharField("automation ID", max_length=512, blank=True)
    failed = models.BooleanField(default=False)
    parsed = models.JSONField()

    class Meta:
        ordering = ["happened_at", "event_id"]
        constraints = [models.UniqueConstraint(fields=["event_id", "digest"], name="property_event_once")]
        indexes = [models.Index(fields=["kind", "-happened_at"], name="property_event_newest")]

    def __str__(self) -> str:
        return self.event_id
