"""Topics that staff entered, and our subscription to each."""

from django.core.exceptions import ValidationError
from django.db import models

from notifications import regions, sns


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
    told = models.CharField(
        max_length=128, blank=True, editable=False, help_text="A hash of the user and password that SNS was told."
    )
    drift = models.JSONField(default=list, editable=False, help_text="In what AWS differs from what should be there.")
    drift_checked_at = models.DateTimeField(null=True, editable=False)
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
