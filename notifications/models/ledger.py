"""What Dash said, parsed: immutable, and the source of every order, registration and subscription."""

from django.db import models

from notifications.models.messages import Message
from notifications.models.orders import Order
from notifications.models.registrations import DrsRegistration


class Notification(models.Model):
    """A Dash notification as we understood it; states are folds over all of a key's notifications."""

    message = models.OneToOneField(
        Message,
        on_delete=models.SET_NULL,
        null=True,
        related_name="notification",
        help_text="Empty once the message is pruned: what was said lives as long as its order.",
    )
    order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, blank=True, related_name="notifications")
    registration = models.ForeignKey(
        DrsRegistration, on_delete=models.PROTECT, null=True, blank=True, related_name="notifications"
    )
    kind = models.CharField(max_length=128)
    notification_id = models.CharField("notification ID", max_length=255, db_index=True)
    notified_at = models.DateTimeField(help_text="notificationTime: Amazon's clock, and the order of things.")
    serial_number = models.CharField(max_length=255, blank=True, db_index=True)
    version = models.CharField(max_length=1, blank=True, help_text="By its structure; empty where there is only one.")
    digest = models.CharField(max_length=64, editable=False)
    contradicted = models.BooleanField(default=False, help_text="Another notification has this ID and says otherwise.")
    parsed = models.JSONField()

    class Meta:
        ordering = ["notified_at", "notification_id"]
        permissions = [("rebuild_notification", "Can have orders and registrations derived again")]

    def __str__(self) -> str:
        return self.notification_id
