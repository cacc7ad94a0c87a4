"""The people: customers and staff (e-mail is the login; there is no user name), and alarms with the notices they owe."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.utils import timezone


class UserManager(BaseUserManager["User"]):
    """Makes users; an e-mail address is one person, whatever its capitals."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **extra: Any) -> "User":
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **extra)

    def get_by_natural_key(self, email: str | None) -> "User":
        return self.get(email__iexact=email)


class User(AbstractBaseUser, PermissionsMixin):
    """A customer, or with is_staff a member of the support team."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=128, blank=True)
    is_staff = models.BooleanField(default=False, help_text="May enter the admin.")
    is_active = models.BooleanField(
        default=True, help_text="Switch off instead of deleting: every token of theirs stops working at once."
    )
    date_joined = models.DateTimeField(default=timezone.now)
    leaving_at = models.DateTimeField(
        "to be deleted since",
        null=True,
        blank=True,
        editable=False,
        help_text="Gone once Alexa has been told (leaving.py).",
    )

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_any_case",
                violation_error_message="There is a user with this e-mail address.",
            )
        ]

    def __str__(self) -> str:
        return self.email

    def get_short_name(self) -> str:
        return self.name or self.email.split("@")[0]


class Alarm(models.Model):
    """A condition that a person must look at: opened, counted and closed by `alarms.py`, never by hand."""

    condition = models.CharField(max_length=64)
    title = models.CharField(max_length=128)
    opened_at = models.DateTimeField("since", db_default=Now())
    seen_at = models.DateTimeField("last seen", db_default=Now())
    closed_at = models.DateTimeField("until", null=True, editable=False)
    count = models.PositiveIntegerField("seen so often", default=1)
    evidence = models.JSONField(default=list)
    acknowledged_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, editable=False, related_name="+", verbose_name="taken by"
    )
    acknowledged_at = models.DateTimeField("taken", null=True, editable=False)
    note = models.TextField(blank=True, help_text="Saving it takes the alarm: no more reminders.")

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(fields=["condition"], condition=Q(closed_at=None), name="one_open_alarm")
        ]

    def __str__(self) -> str:
        return self.title


class AlarmNotice(models.Model):
    """One notice to one channel: the outbox. `due_at` is when it will be tried; NULL when there is nothing to do."""

    class Channel(models.TextChoices):
        EMAIL = "email", "e-mail"
        WEBHOOK = "webhook", "webhook"

    class Event(models.TextChoices):
        OPENED = "opened", "opened"
        REMINDED = "reminded", "still open"
        CLOSED = "closed", "closed"

    alarm = models.ForeignKey(Alarm, on_delete=models.CASCADE, related_name="notices")
    channel = models.CharField(max_length=8, choices=Channel.choices)
    event = models.CharField(max_length=8, choices=Event.choices)
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(null=True, db_default=Now())
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [models.Index(fields=["due_at", "id"], condition=Q(due_at__isnull=False), name="notice_due")]

    def __str__(self) -> str:
        return f"{self.alarm} {self.event} by {self.channel}"
