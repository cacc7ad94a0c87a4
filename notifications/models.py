"""What SNS told us, and what came of it: topics, messages, Dash notifications, orders.

Here: columns, constraints and questions to one row or a set. How a row comes and changes: `inbox.py`, `orders.py`,
`topics.py`. Not here: what a message means (`drs.py`).
"""

import json
from typing import Any, Self

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.db.models.expressions import DatabaseDefault
from django.db.models.functions import Now

from devices.models import Device, Slot
from notifications import regions, sns


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.TOKEN_KEYS])


class Topic(models.Model):
    """An SNS topic that staff entered. Messages of any other topic are refused."""

    class Kind(models.TextChoices):
        DRS = "drs", "Dash Replenishment"
        ASP = "asp", "Smart Properties"

    class Subscription(models.TextChoices):
        NONE = "none", "not asked for"
        PENDING = "pending", "asked for, confirmation expected"
        CONFIRMED = "confirmed", "confirmed"
        UNSUBSCRIBED = "unsubscribed", "unsubscribed"

    arn = models.CharField("ARN", max_length=512, unique=True)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.DRS)
    signature_version = models.CharField(
        "lowest signature version",
        max_length=1,
        choices=[("1", "1 (SHA-1) or 2"), ("2", "2 (SHA-256) only")],
        default="1",
        help_text="Set to 2 as soon as the topic signs with version 2.",
    )
    subscription = models.CharField(
        max_length=16,
        choices=Subscription.choices,
        default=Subscription.NONE,
        help_text="Set to “asked for” just before you subscribe this portal's address.",
    )
    subscription_arn = models.CharField("subscription ARN", max_length=512, blank=True, editable=False)
    subscription_at = models.DateTimeField("subscription changed", null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["arn"]

    def __str__(self) -> str:
        return self.arn.rsplit(":", 1)[-1]

    def clean(self) -> None:
        if regions.locate(self.arn) is None:
            raise ValidationError({"arn": "This is not the ARN of an SNS topic in a region that we know."})

    @property
    def region(self) -> str:
        return self.arn.split(":")[3]

    def rules(self) -> sns.TopicRules:
        return sns.TopicRules(self.arn, self.signature_version)


class MessageQuerySet(models.QuerySet["Message"]):
    """Questions to the inbox."""

    def due(self) -> Self:
        """What waits and whose time has come, oldest first, by the database's clock."""
        return self.filter(due_at__lte=Now()).order_by("due_at", "id")

    def insert_once(self, message: "Message") -> bool:
        """Store it unless this topic's message is there already; True when it was new. One statement."""
        fields = [field for field in self.model._meta.concrete_fields if not field.primary_key]
        values = [field.pre_save(message, True) for field in fields]
        marks = ["DEFAULT" if isinstance(value, DatabaseDefault) else "%s" for value in values]
        sent = [field.get_db_prep_save(value, connection) for field, value in zip(fields, values, strict=True)]
        columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {connection.ops.quote_name(self.model._meta.db_table)} ({columns}) "  # noqa: S608 (our own names)
                f"VALUES ({', '.join(marks)}) ON CONFLICT (topic_id, message_id) DO NOTHING RETURNING id",
                [value for value, mark in zip(sent, marks, strict=True) if mark == "%s"],
            )
            row = cursor.fetchone()
        message.pk = row[0] if row else None
        return row is not None


class Message(models.Model):
    """One SNS message, verified and kept. `due_at` is when it will be looked at; NULL when there is nothing to do."""

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        DONE = "done", "done"
        UNUSED = "unused", "not yet used"
        HELD = "held", "held for a person"
        QUARANTINED = "quarantined", "not understood"

    class Kind(models.TextChoices):
        NOTIFICATION = "Notification", "Notification"
        CONFIRMATION = "SubscriptionConfirmation", "Subscription confirmation"
        UNSUBSCRIBE = "UnsubscribeConfirmation", "Unsubscribe confirmation"

    topic = models.ForeignKey(Topic, on_delete=models.PROTECT, related_name="messages", db_index=False)
    message_id = models.CharField("message ID", max_length=36)
    kind = models.CharField(max_length=24, choices=Kind.choices)
    subject = models.TextField(blank=True)
    sent_at = models.DateTimeField(help_text="The Timestamp that Amazon signed.")
    received_at = models.DateTimeField(db_default=Now(), help_text="Our clock.")
    body = models.TextField(help_text="The message with its links and token masked.")
    sealed = models.BinaryField(
        null=True, help_text="Token and SubscribeURL, encrypted, until they are of no more use."
    )
    verdicts = models.JSONField(
        default=dict, help_text="What the checks found, since a masked body cannot be verified again."
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    reason = models.TextField(blank=True, help_text="Why it is where it is.")
    due_at = models.DateTimeField(null=True, db_default=Now())
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, help_text="What went wrong the last time.")

    objects = MessageQuerySet.as_manager()

    class Meta:
        permissions = [("replay_message", "Can have a message processed again")]
        constraints = [models.UniqueConstraint(fields=["message_id", "topic"], name="message_stored_once")]
        indexes = [
            models.Index(fields=["due_at", "id"], condition=Q(due_at__isnull=False), name="message_due"),
            models.Index(fields=["-received_at"], name="message_newest"),
        ]

    def __str__(self) -> str:
        return self.message_id

    @property
    def text(self) -> str:
        """The published text, as Amazon signed it."""
        return str(json.loads(self.body)["Message"])

    @property
    def attributes(self) -> object:
        """MessageAttributes: not signed, a hint at best."""
        return json.loads(self.body).get("MessageAttributes")

    def seal(self, secrets: dict[str, str]) -> None:
        self.sealed = _keys().encrypt(json.dumps(secrets).encode()) if secrets else None

    def unseal(self) -> dict[str, str]:
        """Token and SubscribeURL, or nothing once they were forgotten."""
        opened: dict[str, str] = json.loads(_keys().decrypt(bytes(self.sealed))) if self.sealed else {}
        return opened

    def settle(self, state: State, reason: str = "") -> None:
        """Nothing more to do: say why, and forget what was secret unless a person may still need it."""
        self.state, self.reason, self.error, self.due_at = state, reason, "", None
        if state != self.State.HELD:
            self.sealed = None
        self.save(update_fields=["state", "reason", "error", "due_at", "sealed"])


class OrderQuerySet(models.QuerySet["Order"]):
    """Questions to the orders."""

    def shown_to(self, user: Any) -> Self:
        """Orders of the customer's devices, without those that were ordered before the device was theirs."""
        return self.filter(device__owner=user, first_at__gte=F("device__claimed_at"))

    def find_devices(self) -> int:
        """Give orders that came before their device or slot was registered what they lack; the number found.

        Idempotent, two statements.
        """
        devices = Device.objects.filter(
            serial_number=OuterRef("serial_number"), device_model__model_id=OuterRef("model_id")
        )
        slots = Slot.objects.filter(device_model__model_id=OuterRef("model_id"), slot_id=OuterRef("slot_name"))
        found = self.filter(Exists(devices), device=None).update(device=Subquery(devices.values("pk")[:1]))
        return found + self.filter(Exists(slots), slot=None).update(slot=Subquery(slots.values("pk")[:1]))


class Order(models.Model):
    """What Amazon is sending for one slot of one device: derived from its notifications, never edited."""

    class State(models.TextChoices):
        UNCLEAR = "UNCLEAR", "unclear"
        PLACED = "PLACED", "placed"
        CANCELLED = "CANCELLED", "cancelled"
        SHIPPED = "SHIPPED", "shipped"

    instance_id = models.CharField("instance ID", max_length=255, unique=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.UNCLEAR)
    conflict = models.BooleanField(default=False, help_text="Amazon said both shipped and cancelled.")
    device = models.ForeignKey(Device, on_delete=models.SET_NULL, null=True, blank=True, related_name="orders")
    slot = models.ForeignKey(Slot, on_delete=models.SET_NULL, null=True, blank=True, related_name="orders")
    serial_number = models.CharField(max_length=255, blank=True)
    model_id = models.CharField("model ID", max_length=255, blank=True)
    slot_name = models.CharField("slot ID", max_length=255, blank=True)
    first_at = models.DateTimeField("first heard of", null=True, help_text="Amazon's clock.")
    placed_at = models.DateTimeField(null=True, help_text="Empty when Amazon never said that it was placed.")
    last_at = models.DateTimeField("last heard of", null=True)
    estimated_delivery = models.DateTimeField(null=True)

    objects = OrderQuerySet.as_manager()

    class Meta:
        ordering = [F("last_at").desc(nulls_last=True), "-id"]
        indexes = [
            models.Index(fields=["device", "-last_at"], name="order_of_device"),
            models.Index(fields=["serial_number"], condition=Q(device__isnull=True), name="order_without_device"),
        ]

    def __str__(self) -> str:
        return self.instance_id


class OrderItem(models.Model):
    """One product of an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="items")
    place = models.PositiveSmallIntegerField(help_text="Where Amazon lists it, from 0.")
    asin = models.CharField("ASIN", max_length=64, blank=True)
    quantity = models.DecimalField(max_digits=18, decimal_places=6)
    unit = models.CharField(max_length=64)
    estimated_delivery = models.DateTimeField(null=True)

    class Meta:
        ordering = ["order_id", "place"]
        constraints = [models.UniqueConstraint(fields=["order", "place"], name="order_item_once")]

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} {self.unit} {self.asin}".strip()


class Notification(models.Model):
    """A Dash notification as we understood it; an order's state is the fold of all of its notifications."""

    message = models.OneToOneField(Message, on_delete=models.PROTECT, related_name="notification")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, blank=True, related_name="notifications")
    kind = models.CharField(max_length=128)
    notification_id = models.CharField("notification ID", max_length=255, db_index=True)
    notified_at = models.DateTimeField(help_text="notificationTime: Amazon's clock, and the order of things.")
    serial_number = models.CharField(max_length=255, blank=True, db_index=True)
    digest = models.CharField(max_length=64, editable=False)
    contradicted = models.BooleanField(default=False, help_text="Another notification has this ID and says otherwise.")
    parsed = models.JSONField()

    class Meta:
        ordering = ["notified_at", "notification_id"]

    def __str__(self) -> str:
        return self.notification_id
