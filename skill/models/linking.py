"""How a link comes about and ends: each attempt as one traced row (LinkingAttempt), what lets us enable and disable the skill from
our side (Enablement), and which Alexa user is which customer (SkillUser). Never a token or a code in clear."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from skill.fields import EncryptedTextField
from skill.models.delivery import REGIONS


class LinkingAttempt(models.Model):
    """One attempt to link, step by step; an empty time is a step that did not come. Words for it: diagnosis.py."""

    class Way(models.TextChoices):
        ALEXA = "alexa", "From the Alexa app"
        OURS = "ours", "From our pages"

    reference = models.CharField(max_length=12, unique=True, help_text="What the customer is shown where it fails.")
    key = models.CharField(max_length=64, unique=True, help_text="Hash of what makes it one attempt: client and state.")
    way = models.CharField(max_length=5, choices=Way, default=Way.ALEXA)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="linking_attempts"
    )
    network = models.CharField(max_length=50, blank=True, help_text="Where it was opened from.")
    client_id = models.CharField("client ID", max_length=100, blank=True)
    redirect_uri = models.CharField("redirect address", max_length=300, blank=True)
    pkce = models.BooleanField("PKCE", default=False, help_text="Was a code challenge sent?")
    code_hash = models.CharField(max_length=64, blank=True)
    asked = models.TextField(
        blank=True,
        db_default="",
        help_text="The whole request, if it is too long to be handed from page to page; until it is allowed.",
    )
    opened_at = models.DateTimeField("opened", db_default=Now())
    signed_in_at = models.DateTimeField("signed in", null=True, blank=True)
    consented_at = models.DateTimeField("allowed", null=True, blank=True)
    redeemed_at = models.DateTimeField("code redeemed", null=True, blank=True)
    redeem_ms = models.PositiveIntegerField("our token endpoint took, ms", null=True, blank=True)
    granted_at = models.DateTimeField("AcceptGrant came", null=True, blank=True)
    tokens_at = models.DateTimeField("Amazon's tokens stored", null=True, blank=True)
    discovered_at = models.DateTimeField("first Discover", null=True, blank=True)
    reported_at = models.DateTimeField("first report accepted", null=True, blank=True)
    region = models.CharField(max_length=2, choices=REGIONS, blank=True)
    devices_found = models.PositiveIntegerField(null=True, blank=True)
    failure = models.CharField(max_length=32, blank=True, help_text="The first cause of failure (diagnosis.py).")
    failed_at = models.DateTimeField("failed", null=True, blank=True)
    said = models.CharField("words of the other side", max_length=300, blank=True)

    class Meta:
        indexes = [
            models.Index("opened_at", name="attempt_opened"),
            models.Index("user", "opened_at", name="attempt_of_user"),
            models.Index("network", "opened_at", name="attempt_of_network", condition=Q(user=None)),
            models.Index("code_hash", name="attempt_of_code", condition=~Q(code_hash="")),
            models.Index("tokens_at", name="attempt_unreported", condition=Q(reported_at=None)),
        ]

    def __str__(self) -> str:
        return self.reference


class Enablement(models.Model):
    """Amazon's leave to enable and disable the skill for one customer: he linked from our pages (alexa reference 8.4)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="enablement")
    access_token = EncryptedTextField()
    refresh_token = EncryptedTextField(blank=True)
    expires_at = models.DateTimeField()
    host = models.CharField(max_length=200, help_text="Where Amazon told us to ask.")
    enabled_at = models.DateTimeField(db_default=Now())
    disable_at = models.DateTimeField(
        null=True, blank=True, help_text="When to disable the skill; empty: it shall stay enabled."
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    trouble = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [models.Index("disable_at", name="enablement_leaving", condition=Q(disable_at__isnull=False))]

    def __str__(self) -> str:
        return f"enabled for customer #{self.user_id}"


class SkillUser(models.Model):
    """Which Alexa user is which customer, as skill events told us (alexa reference 8.5): a hint, never the only way."""

    user_hash = models.CharField(max_length=64, primary_key=True, help_text="Of Alexa's userId, which is long.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="skill_users")
    linked_at = models.DateTimeField(help_text="Alexa's time of the event that told us.")
    hint = models.CharField(max_length=40, blank=True, help_text="The newest event.")
    hinted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Alexa user of customer #{self.user_id}"
