"""A description on its way to the live rows: drafts and what was published, pictures, what staff checked by hand.

A draft is one JSON snapshot of the whole description (catalogue/description.py); it becomes live only by catalogue.publish.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q

from devices.models.products import DeviceModel


class Picture(models.Model):
    """A picture of a model, known by what is in it; never changed. Kept here: it is small, and every web process has it."""

    digest = models.CharField(max_length=64, primary_key=True, editable=False)
    media_type = models.CharField(max_length=16)
    content = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.media_type}, {len(self.content)} bytes"


class Revision(models.Model):
    """One description of a model: the draft that staff work on, or one that was published, with who and why.

    ``told_up_to``: the last device ID that was told of the publication; NULL when all were, or none had to be. ``former_name``:
    what units are called that nobody named, if the publication gives the model another name; they follow it.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        PUBLISHED = "published", "Published"
        DISCARDED = "discarded", "Discarded"

    device_model = models.ForeignKey(DeviceModel, on_delete=models.CASCADE, related_name="revisions")
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    snapshot = models.JSONField()
    changes = models.JSONField(default=list, help_text="What the publication changed, in words.")
    reason = models.CharField(max_length=500, blank=True)
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    devices = models.PositiveBigIntegerField(default=0, help_text="Owned devices that were to be told.")
    told_up_to = models.BigIntegerField(null=True, blank=True)
    former_name = models.CharField(max_length=128, blank=True, default="", editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    edited_at = models.DateTimeField(auto_now=True)
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["device_model"], condition=Q(state="draft"), name="one_draft_per_model")
        ]
        indexes = [models.Index(fields=["id"], condition=Q(told_up_to__isnull=False), name="revision_to_be_told")]

    def __str__(self) -> str:
        return f"{self.device_model.model_id} #{self.pk}"


class HandCheck(models.Model):
    """A line of the readiness checklist that only a person can tick, with what they saw."""

    device_model = models.ForeignKey(DeviceModel, on_delete=models.CASCADE, related_name="hand_checks")
    item = models.CharField(max_length=64)
    note = models.CharField(max_length=500)
    checked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    checked_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["item"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["device_model", "item"], name="hand_check_once_per_model")]

    def __str__(self) -> str:
        return self.item
