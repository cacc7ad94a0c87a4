"""What the skill knows: who linked (AlexaGrant), what Alexa knows (Endpoint), what she must be told once (Event), and how each of
Amazon's doors is doing (Gateway). How it is delivered stands in delivery.py."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from skill.alexa.discovery import LARGE_ANSWER_BYTES
from skill.fields import EncryptedTextField

REGIONS = [("NA", "North America"), ("EU", "Europe, India"), ("FE", "Far East, Australia")]


class AlexaGrantManager(models.Manager["AlexaGrant"]):
    """Leaves the tokens where they are: who needs them says so, and a key that is missing hinders nothing else."""

    def get_queryset(self) -> models.QuerySet["AlexaGrant"]:
        return super().get_queryset().defer("access_token", "refresh_token")


class AlexaGrant(models.Model):
    """What AcceptGrant gave us: the right to send one customer's events to one region (alexa reference 4 and 5)."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        DORMANT = "dormant", "Dormant: another region was linked later"
        CLOSING = "closing", "Closing: announcing the deletions"
        CLOSED = "closed", "Closed"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="alexa_grants")
    region = models.CharField(max_length=2, choices=REGIONS)
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    generation = models.PositiveIntegerField(
        default=1, help_text="Rises with every AcceptGrant and every stored refresh."
    )
    access_token = EncryptedTextField(blank=True)
    refresh_token = EncryptedTextField(blank=True)
    expires_at = models.DateTimeField(help_text="When the access token ends.")
    code_hash = models.CharField(max_length=64, blank=True)
    refresh_leased_until = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField()
    discovered_at = models.DateTimeField(null=True, blank=True)
    discovered_bytes = models.PositiveIntegerField(
        null=True, blank=True, help_text="How large the last answer to Discover was."
    )
    closing_until = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True, help_text="Why it is not active, in words.")
    trouble = models.CharField(max_length=300, blank=True, help_text="What Login with Amazon said last, if it refused.")
    other_regions = models.CharField(
        max_length=300,
        blank=True,
        help_text="What they said when this region did not know the customer. Asked once a link.",
    )

    objects = AlexaGrantManager()

    class Meta:
        verbose_name = "Alexa link"
        indexes = [
            models.Index("closing_until", name="grant_closing", condition=Q(state="closing")),
            models.Index("discovered_bytes", name="grant_large", condition=Q(discovered_bytes__gte=LARGE_ANSWER_BYTES)),
        ]
        constraints = [
            models.UniqueConstraint("user", "region", name="one_grant_per_region"),
            models.UniqueConstraint("user", condition=Q(state="active"), name="one_active_grant"),
            models.CheckConstraint(condition=~Q(state="closing") | Q(closing_until__isnull=False), name="closing_ends"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.get_region_display()}"


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    """Sets of endpoints."""

    def live(self) -> "EndpointQuerySet":
        """Those that Alexa is told about."""
        return self.filter(due_at__isnull=False, wanted=True)


class Endpoint(models.Model):
    """A device as one customer's Alexa knows it: the one unit of claiming. Who holds the lease speaks for it, nobody else.

    Written by statements in delivery.py and endpoints.py, compared with the database's clock only.
    """

    grant = models.ForeignKey(  # found by endpoint_once_per_grant; every index more is written to with every report
        AlexaGrant, on_delete=models.CASCADE, related_name="endpoints", db_index=False
    )
    device = models.ForeignKey("devices.Device", null=True, on_delete=models.SET_NULL, related_name="endpoints")
    endpoint_id = models.CharField("endpointId", max_length=64, help_text="Belongs to the ownership: device and claim.")
    region = models.CharField(max_length=2, choices=REGIONS)
    wanted = models.BooleanField(default=True, help_text="Should Alexa know it? If not, a DeleteReport goes out.")
    due_at = models.DateTimeField(null=True, blank=True, help_text="When to look at it next; empty: nothing to say.")
    daily_at = models.DateTimeField(null=True, blank=True, help_text="When the daily report comes due.")
    not_before = models.DateTimeField(null=True, blank=True, help_text="Back-off: no reading bypasses it.")
    version = models.BigIntegerField(default=1, help_text="Rises with every change of what Alexa should know.")
    changed = models.JSONField(
        default=dict, blank=True, help_text="Property key → [version, cause] of what changed since the last report."
    )
    lease = models.UUIDField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    announced_digest = models.CharField(
        max_length=64, blank=True, help_text="Of the description that Alexa accepted last."
    )
    left_out = models.CharField(
        max_length=300,
        blank=True,
        db_default="",
        help_text="Why Alexa is not told of the device as it is now: she would refuse it.",
    )
    sent_at = models.DateTimeField("last state report", null=True, blank=True)
    reported_at = models.DateTimeField("last whole inventory report", null=True, blank=True)
    duty = models.BigIntegerField(default=0, help_text="Two bits a day for 31 days (duty.py).")
    owed_since = models.DateTimeField(
        db_default=Now(),
        help_text="Since when Amazon is owed a report a day: the link, or the last look that found no level she knows.",
    )
    silent_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when a daily report had to leave out a sensor that has no reading."
    )
    missed_at = models.DateTimeField(
        null=True, blank=True, help_text="The last day that was noted as missed and is not made good yet."
    )
    silent_missed_at = models.DateTimeField(
        null=True, blank=True, help_text="The same of a sensor that has no reading; its days are its own."
    )
    last_code = models.CharField("Amazon's answer", max_length=64, blank=True)
    last_text = models.CharField("Amazon's words", max_length=300, blank=True)
    refused = models.BooleanField(
        db_default=False, help_text="Is that the answer to the last daily report? Then it stays until the next."
    )

    objects = EndpointQuerySet.as_manager()

    class Meta:
        permissions = [("resend_endpoint", "Can report an endpoint to Alexa now")]
        constraints = [models.UniqueConstraint("grant", "endpoint_id", name="endpoint_once_per_grant")]
        indexes = [
            models.Index("region", "due_at", name="endpoint_due", condition=Q(due_at__isnull=False)),
            models.Index("left_out", name="endpoint_left_out", condition=~Q(left_out="")),
            models.Index(
                "id",
                name="endpoint_in_trouble",
                condition=Q(due_at__isnull=False, wanted=True) & (~Q(last_code="") | Q(silent_since__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return self.endpoint_id


class Miss(models.Model):
    """One sensor for one day of 24 hours that ended without a report, and why. Written by misses.py, kept for proof."""

    class Reason(models.TextChoices):
        NO_READING = "no_reading", "No reading yet"
        REFUSED = "refused", "Amazon refused or did not answer"
        LINK = "link", "The link is broken"
        LATE = "late", "We were late"

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="misses")
    region = models.CharField(max_length=2, choices=REGIONS)
    sensor = models.CharField(max_length=128, help_text="Instance of the level sensor that was not reported.")
    deadline_at = models.DateTimeField("owed by", help_text="24 hours after the report before, or after the link.")
    reason = models.CharField(max_length=10, choices=Reason)
    code = models.CharField("Amazon's answer", max_length=64, blank=True)
    text = models.CharField("Amazon's words", max_length=300, blank=True)
    noticed_at = models.DateTimeField(db_default=Now())
    reported_at = models.DateTimeField("reported after all", null=True, blank=True)

    class Meta:
        verbose_name = "missed report"
        indexes = [models.Index("deadline_at", "id", name="miss_deadline")]

    def __str__(self) -> str:
        return f"{self.sensor} by {self.deadline_at:%Y-%m-%d %H:%M}"


class Event(models.Model):
    """One thing to tell Alexa once, in order per endpoint: the outbox, written in the transaction of its cause."""

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting: the device has not confirmed yet"
        PENDING = "pending", "Pending"
        SENT = "sent", "Sent"
        PARKED = "parked", "Parked: Amazon refused it"
        CANCELLED = "cancelled", "Cancelled: the link was closed, or staff let it go"
        EXPIRED = "expired", "Expired: too late to be of use"

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="events")
    message_id = models.UUIDField("messageId", default=uuid.uuid4, unique=True, editable=False)
    namespace = models.CharField(max_length=64)
    name = models.CharField(max_length=64)
    instance = models.CharField(max_length=64, blank=True)
    correlation_token = models.TextField("correlationToken", blank=True, help_text="Of the directive that it answers.")
    payload = models.JSONField(help_text="While it waits: the state that answers the directive.")
    status = models.CharField(max_length=9, choices=Status, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    first_tried_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when we try; anew when staff resend it."
    )
    resent_at = models.DateTimeField(null=True, blank=True, help_text="When staff last had it tried anew.")
    last_code = models.CharField("Amazon's answer", max_length=64, blank=True)
    last_text = models.CharField("Amazon's words", max_length=300, blank=True)

    class Meta:
        permissions = [("resend_event", "Can have a parked event told again, or let it go")]
        indexes = [
            models.Index("endpoint", "id", name="event_pending", condition=Q(status="pending")),
            models.Index("settled_at", name="event_parked", condition=Q(status="parked")),
            models.Index("expires_at", name="event_waiting", condition=Q(status="waiting")),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.message_id}"


class Gateway(models.Model):
    """How one of Amazon's doors is doing: a token bucket and a breaker shared by all workers. LWA has a row too."""

    name = models.CharField(max_length=3, primary_key=True, choices=[*REGIONS, ("LWA", "Login with Amazon")])
    rate = models.FloatField(
        default=100, help_text="Requests per second that we allow ourselves; halved at 429, creeps up."
    )
    allowance = models.FloatField(default=0)
    refilled_at = models.DateTimeField(db_default=Now())
    slowed_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    open_until = models.DateTimeField(null=True, blank=True, help_text="Breaker: nothing is sent before.")
    trouble = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.get_name_display()


class AnswerCount(models.Model):
    """How often a door gave an answer in an hour, or how long it took: counted by delivery, read by boards and metrics.

    `label`: Amazon's code (`ACCEPTED` for none), or the upper bound of a time in seconds.
    """

    hour = models.DateTimeField()
    door = models.CharField(max_length=3)
    kind = models.CharField(max_length=7, choices=[("answer", "Answer"), ("seconds", "Seconds on the wire")])
    label = models.CharField(max_length=64)
    count = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint("hour", "door", "kind", "label", name="one_count")]

    def __str__(self) -> str:
        return f"{self.door} {self.label}: {self.count}"
