"""Events of Alexa Smart Properties, parsed and kept: once each by their own ID, whatever number of messages brings them."""

from django.db import models
from django.db.models import Q

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
    aside = models.BooleanField("set aside", default=False, help_text="A person has seen that it failed.")
    parsed = models.JSONField()

    class Meta:
        ordering = ["happened_at", "event_id"]
        constraints = [models.UniqueConstraint(fields=["event_id", "digest"], name="property_event_once")]
        indexes = [
            models.Index(fields=["kind", "-happened_at"], name="property_event_newest"),
            models.Index(
                fields=["automation_id", "happened_at"], condition=~Q(automation_id=""), name="property_event_runs"
            ),
            models.Index(fields=["automation_id"], condition=Q(failed=True, aside=False), name="property_event_failed"),
        ]

    def __str__(self) -> str:
        return self.event_id


class PropertyOperation(models.Model):
    """One thing that we want of Smart Properties: a device in its unit, or a role given or taken. How: `operations.py`.

    A device's row is there when its unit is planned or its set-up was heard of, whichever comes first, and is due when both
    are. `version` rises with whatever changes what is to be asked; a device set up anew is due anew.
    """

    class Kind(models.TextChoices):
        ASSOCIATE = "associate", "device into its unit"
        ASSIGN = "assign", "give a role"
        REVOKE = "revoke", "take a role away"

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        QUEUED = "queued", "its turn comes"
        ASKED = "asked", "asked, Amazon's event expected"
        DONE = "done", "done"
        FAILED = "failed", "refused by Amazon"
        WITHDRAWN = "withdrawn", "withdrawn"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    state = models.CharField(max_length=12, choices=State.choices, default=State.WAITING)
    unit_id = models.CharField("unit ID", max_length=512, blank=True)
    endpoint_id = models.CharField("endpoint ID", max_length=512, blank=True)
    serial_number = models.CharField(max_length=255, blank=True)
    principal_id = models.CharField("principal ID", max_length=512, blank=True, help_text="amzn1.account.…")
    role_id = models.CharField("role ID", max_length=512, blank=True)
    propagate = models.BooleanField(default=False, help_text="In the unit's sub-units, too; then an event says when.")
    set_up_at = models.DateTimeField(
        "set up", null=True, editable=False, help_text="The newest set-up, by Amazon's time."
    )
    found_at = models.DateTimeField(
        "found",
        null=True,
        editable=False,
        help_text="Amazon knew the device though no set-up was told: as good as one.",
    )
    served_at = models.DateTimeField(
        null=True, editable=False, help_text="The set-up after which it was put into its unit."
    )
    identified = models.BooleanField(default=False, editable=False, help_text="Amazon was asked for its serial number.")
    asked_at = models.DateTimeField("asked", null=True, editable=False)
    reason = models.TextField(blank=True, help_text="Why it is where it is.")
    version = models.PositiveIntegerField(default=0, editable=False)
    due_at = models.DateTimeField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "unit or role"
        verbose_name_plural = "units and roles"
        ordering = ["-id"]
        permissions = [("manage_subscriptions", "Can subscribe to Smart Properties' events")]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint_id"],
                condition=Q(kind="associate") & ~Q(endpoint_id=""),
                name="one_unit_of_an_endpoint",
            ),
            models.UniqueConstraint(
                fields=["serial_number"],
                condition=Q(kind="associate") & ~Q(serial_number=""),
                name="one_unit_of_a_serial",
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="property_operation_due")]

    def __str__(self) -> str:
        if self.kind == self.Kind.ASSOCIATE:
            return f"{self.endpoint_id or self.serial_number} → {self.unit_id or 'no unit planned'}"
        return f"{self.get_kind_display()}: {self.role_id} of {self.principal_id}"


class EndpointAlias(models.Model):
    """Another name of a device: association may change its endpoint ID, and later events may still say the old one."""

    alias = models.CharField(max_length=512, unique=True)
    endpoint_id = models.CharField("endpoint ID", max_length=512, db_index=True)

    def __str__(self) -> str:
        return self.alias
