"""The demonstration's people, coffee machine, OAuth client and topic. Idempotent; only on embedded defaults."""

import json
import os
import secrets
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from devices import catalogue, registry
from devices.models import Device, DeviceModel
from notifications.models import Topic
from portal.models import User
from portal.preparations import SANDBOX_ACCOUNT
from skill import enablement
from skill.models import Application

PICTURE = settings.BASE_DIR / "portal" / "static" / "portal" / "crema-20.png"
DEMO_CODE = "BREW7777"
PASSWORDS = {"alice@example.com": "coffee-please", "staff@example.com": "support-please"}
DASH = "arn:aws:sns:us-east-1:000000000000:dash-sandbox"
PROPERTIES = "arn:aws:sns:us-east-1:000000000000:properties-sandbox"


class Command(BaseCommand):
    help = __doc__

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.EMBEDDED:
            raise CommandError("seed_demo makes accounts with known passwords; it runs with EMBEDDED=1 only.")
        self.known: dict[str, str] = {}
        alice = self._user("alice@example.com", name="Alice")
        self._user("staff@example.com", name="Sam from support", is_staff=True, is_superuser=True)
        _machine(_model(), alice)
        _alexa_client()
        for arn in (DASH, *settings.SNS_TOPIC_ARNS):
            _topic(arn)
        _topic(PROPERTIES, kind=Topic.Kind.ASP)
        (settings.DATA_DIR / "accounts.json").write_text(json.dumps(self.known))  # for the banner of `make run`
        if options["verbosity"]:
            self.stdout.write("The demonstration is there: alice@example.com, staff@example.com, one coffee machine.")

    def _user(self, email: str, **extra: Any) -> User:
        """Its password is among the known ones if it still has the one that everybody knows."""
        password = PASSWORDS[email]
        user = User.objects.filter(email=email).first()
        has_it = user is None or user.check_password(password)  # a fifth of a second: it is slow on purpose
        user = user or User.objects.create_user(email, password, **extra)
        EmailAddress.objects.get_or_create(user=user, email=email, defaults={"verified": True, "primary": True})
        if has_it and settings.PUBLIC_URL.startswith("https://"):
            self._replace_password(user)
        elif has_it:
            self.known[email] = password
        return user

    def _replace_password(self, user: User) -> None:
        """At an https address strangers come by, and everybody knows the password that the README tells."""
        password = secrets.token_urlsafe(12)
        user.set_password(password)
        user.save(update_fields=["password"])
        self.stdout.write(f"{user.email} has the password {password} (said only once) at {settings.PUBLIC_URL}")


def _topic(arn: str, **extra: Any) -> None:
    """Subscribed, if it is the sandbox's; Amazon will still ask whether one of hers is to be."""
    asked = Topic.Subscription.CONFIRMED if SANDBOX_ACCOUNT in arn else Topic.Subscription.PENDING
    Topic.objects.get_or_create(arn=arn, defaults={"subscription": asked} | extra)


def _model() -> DeviceModel:
    model, _ = DeviceModel.objects.get_or_create(
        model_id="CREMA-20",
        defaults={
            "name": "Crema 20",
            "manufacturer": "Nordkap Home",
            "description": "Espresso machine by Nordkap Home, connected by Wi-Fi",
            "display_category": "COFFEE_MAKER",
            "capabilities": ["PowerController", "DoorbellEventSource"],
            "picture": catalogue.keep_picture(PICTURE.read_bytes()),
        },
    )
    model.marketplaces.get_or_create(marketplace_id="US", defaults={"friendly_name": "Crema 20"})
    slot, _ = model.slots.get_or_create(
        slot_id="beans",
        defaults={
            "name": "Coffee beans",
            "sensor": "level",
            "measurement": "Percentage",
            "instance": "Beans.Hopper",
            "replenishment_id": "arn:alexa:smarthome:drs:sensor:6a1f0c52-93d4-4c0e-8a55-0d5b6f2f7711",
        },
    )
    slot.products.get_or_create(
        marketplace="US",
        asin="B0CREMABNS",
        defaults={"title": "Nordkap espresso beans, 1 kg", "quantity": 1, "unit": "count"},
    )
    return model


def _machine(model: DeviceModel, owner: User) -> None:
    serial = os.environ.get("DEVICE_SERIAL", "CRM20-DEMO1")
    if not Device.objects.filter(serial_number=serial).exists():
        registry.register(
            serial, model, name="Kitchen espresso", key=settings.EMBEDDED_SECRETS["DEVICE_KEY"], claim_code=DEMO_CODE
        )
        registry.claim(owner, serial, DEMO_CODE)


def _alexa_client() -> None:
    """The sandbox's Alexa as our OAuth client."""
    address = f"http://127.0.0.1:{settings.SANDBOX_PORT}/api/skill/link/{settings.ALEXA_VENDOR_ID}"
    Application.objects.update_or_create(
        client_id=settings.EMBEDDED_SECRETS["LINK_CLIENT_ID"],
        defaults={
            "name": "Alexa",
            "client_type": Application.CLIENT_CONFIDENTIAL,
            "authorization_grant_type": Application.GRANT_AUTHORIZATION_CODE,
            "client_secret": settings.EMBEDDED_SECRETS["LINK_CLIENT_SECRET"],
            "redirect_uris": f"{address} {enablement.return_address()}",
        },
    )
