"""SNS messages, verified and kept. How one comes and what is done with it: `inbox.py`."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import Q
from django.db.models.functions import Now

from devices.bound import bound_cursor
from notifications.models.topics import Topic

EARLIER = timedelta(minutes=1)
FAILING = 5  # attempts; from then on a message that cannot be processed is for a person
_KEEP = "SELECT notifications_keep_message(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"  # made by migration 0001
_SETTLE = """
UPDATE notifications_message AS m SET state = u.state, reason = u.reason, error = '', due_at = NULL,
  sealed = CASE u.state WHEN 'held' THEN m.sealed END
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS u(id, state, reason) WHERE m.id = u.id
"""


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.TOKEN_KEYS])


def seal(secrets: dict[str, str]) -> bytes | None:
    """Encrypted, for `Message.sealed`."""
    return _keys().encrypt(json.dumps(secrets).encode()) if secrets else None


class Arrival(NamedTuple):
    """A verified message as it is to be kept; `verdicts` is JSON, and one that waits is due now."""

    topic: int
    message_id: str
    kind: str
    subject: str
    sent_at: datetime
    came_by: str
    sealed: bytes | None
    verdicts: str
    state: str
    reason: str
    waits: bool
    body: str


class MessageQuerySet(models.QuerySet["Message"]):
    """Questions to the inbox."""

    def keep(self, arrival: Arrival) -> bool:
        """Store it and its body unless this topic's message is there already; True when it was new. One statement."""
        with bound_cursor() as cursor:
            [kept] = cursor.execute(_KEEP, arrival).fetchone()
        return kept is not None

    def due(self) -> Self:
        """What waits and whose time has come, oldest first, by the database's clock."""
        return self.filter(due_at__lte=Now()).order_by("due_at", "id")

    def with_bodies(self, messages: "Iterable[Message]") -> "list[Message]":
        """These messages with their bodies, which are one statement more; the partitions of earlier days stay closed."""
        found = list(messages)
        first = min((message.received_at for message in found), default=None)
        rows = MessageBody.objects.filter(message_id__in=[message.pk for message in found])
        if first:
            bodies = dict(rows.filter(received_at__gte=first - EARLIER).values_list("message_id", "body"))
            for message in found:
                message.body = bodies.get(message.pk)
        return found

    def settle(self, verdicts: "Sequence[tuple[Message, Message.State, str]]") -> None:
        """Nothing more to do with these: say why, and forget what was secret unless a person may still need it. One statement."""
        for message, state, reason in verdicts:
            message.state, message.reason, message.error, message.due_at = state, reason, "", None
            message.sealed = message.sealed if state == Message.State.HELD else None
        if verdicts:
            columns = zip(*((message.pk, str(state), reason) for message, state, reason in verdicts), strict=True)
            with connection.cursor() as cursor:
                cursor.execute(_SETTLE, [list(column) for column in columns])


class Message(models.Model):
    """One SNS message, verified and kept. `due_at` is when it will be looked at; NULL when there is nothing to do."""

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        DONE = "done", "done"
        UNUSED = "unused", "not yet used"
        HELD = "held", "held for a person"
        QUARANTINED = "quarantined", "not understood"
        ASIDE = "aside", "set aside by a person"

    class Kind(models.TextChoices):
        NOTIFICATION = "Notification", "Notification"
        CONFIRMATION = "SubscriptionConfirmation", "Subscription confirmation"
        UNSUBSCRIBE = "UnsubscribeConfirmation", "Unsubscribe confirmation"

    class Way(models.TextChoices):
        HTTPS = "https", "the HTTPS door"
        SQS = "sqs", "a queue"
        REDRIVE = "redrive", "the dead-letter queue"

    topic = models.ForeignKey(Topic, on_delete=models.PROTECT, related_name="messages", db_index=False)
    message_id = models.CharField("message ID", max_length=36)
    kind = models.CharField(max_length=24, choices=Kind.choices)
    subject = models.TextField(blank=True)
    sent_at = models.DateTimeField(help_text="The Timestamp that Amazon signed.")
    received_at = models.DateTimeField(db_default=Now(), help_text="Our clock.")
    came_by = models.CharField("came first by", max_length=8, choices=Way.choices, default=Way.HTTPS)
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
            models.Index(fields=["topic", "received_at"], name="message_of_topic"),
            models.Index(fields=["state"], condition=Q(state__in=["held", "quarantined"]), name="message_for_a_person"),
        ]

    def __str__(self) -> str:
        return self.message_id

    def save(self, *args: Any, **options: Any) -> None:
        """A row that is made this way is kept with its body, too."""
        if not self._state.adding or self._body is None:
            super().save(*args, **options)
            return
        with transaction.atomic():
            super().save(*args, **options)
            MessageBody.objects.create(message=self, body=self._body)

    _body: str | None = None
    _body_is_known = False

    @property
    def body(self) -> str | None:
        """The message with its links and token masked; None once it is pruned."""
        if not self._body_is_known and self.pk:
            # It was put there with the row or moved on later: the partitions of earlier days need not be opened.
            found = MessageBody.objects.filter(message_id=self.pk, received_at__gte=self.received_at - EARLIER)
            self.body = found.values_list("body", flat=True).first()
        return self._body

    @body.setter
    def body(self, body: str | None) -> None:
        self._body, self._body_is_known = body, True

    @property
    def document(self) -> dict[str, Any]:
        """The body's JSON; empty once it is pruned."""
        found: dict[str, Any] = json.loads(self.body or "{}")
        return found

    @property
    def text(self) -> str:
        """The published text, as Amazon signed it."""
        return str(self.document["Message"])

    @property
    def attributes(self) -> object:
        """MessageAttributes: not signed, a hint at best."""
        return self.document.get("MessageAttributes")

    def unseal(self) -> dict[str, str]:
        """Token and SubscribeURL, or nothing once they were forgotten."""
        opened: dict[str, str] = json.loads(_keys().decrypt(bytes(self.sealed))) if self.sealed else {}
        return opened

    def settle(self, state: State, reason: str = "") -> None:
        """Nothing more to do: say why, and forget what was secret unless a person may still need it."""
        Message.objects.settle([(self, state, reason)])


class MessageBody(models.Model):
    """A message's body, apart from its row: a table partitioned by day, so that forgetting a day is dropping a partition.

    No constraint ties it to the message, for a partition is dropped whole; `received_at` is when it was put here.
    """

    message = models.OneToOneField(
        Message, on_delete=models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="+"
    )
    received_at = models.DateTimeField(db_default=Now())
    body = models.TextField()

    def __str__(self) -> str:
        return f"body of {self.message_id}"


class SigningCertificate(models.Model):
    """A certificate that signed messages, whole: each message names its fingerprint, and Amazon takes old ones away."""

    sha256 = models.CharField("SHA-256", max_length=64, primary_key=True)
    pem = models.TextField("PEM")

    def __str__(self) -> str:
        return self.sha256
