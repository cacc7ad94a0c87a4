"""manage.py iot_setup: makes things, policy, rule and destination at AWS IoT, or says what it would make."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from devices import iot, iot_provisioning
from devices.iot_provisioning import Step
from devices.models import Device, DeviceModel

SHOWN = 20  # things by name; the others are counted


class Command(BaseCommand):
    help = (
        "Makes what AWS IoT needs to talk with the portal. May be repeated. Credentials as boto3 finds them; needs "
        "AWS_IOT_REGIONS, AWS_IOT_ACCOUNT and IOT_SECRETS. AWS_ENDPOINT_URL points it at a test server."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would be done")
        parser.add_argument("--model", help="things for the units of this model ID only")
        parser.add_argument("--serial", action="append", help="things for these units only")
        parser.add_argument("--url", help="the door as AWS sees it (default: PUBLIC_URL and /api/v1/iot)")
        parser.add_argument("--no-destination", action="store_true", help="leave the HTTP destination to AWS's console")

    def handle(self, *args: Any, **options: Any) -> None:
        self._expect_settings()
        _expect_units(options)
        url = options["url"] or f"{settings.PUBLIC_URL}{reverse('aws_iot')}"
        try:
            self._set_up(url, options)
        except (ClientError, BotoCoreError) as error:
            raise CommandError(f"AWS IoT: {error}") from error

    def _set_up(self, url: str, options: dict[str, Any]) -> None:
        client, dry_run = iot.control_client(), options["dry_run"]
        region, account = settings.AWS_IOT_REGIONS[0], settings.AWS_IOT_ACCOUNT
        self._say(iot_provisioning.policy(client, region, account, dry_run=dry_run))
        if not options["no_destination"]:
            self._say(iot_provisioning.destination(client, url, dry_run=dry_run))
        self._say(iot_provisioning.rule(client, url, settings.IOT_SECRETS[0], dry_run=dry_run))
        self._say_many(iot_provisioning.things(client, _serials(options), dry_run=dry_run))

    def _expect_settings(self) -> None:
        needed = ("AWS_IOT_REGIONS", "AWS_IOT_ACCOUNT", "IOT_SECRETS")
        if missing := [name for name in needed if not getattr(settings, name)]:
            raise CommandError(f"Set {', '.join(missing)} first.")

    def _say(self, step: Step) -> None:
        self.stdout.write(f"{step.what}: {step.done}")

    def _say_many(self, steps: Iterable[Step]) -> None:
        counts: Counter[str] = Counter()
        for step in steps:
            counts[step.done] += 1
            if sum(counts.values()) <= SHOWN:
                self._say(step)
            elif sum(counts.values()) % 1000 == 0:
                self.stdout.write(f"{sum(counts.values())} things so far")
        self.stdout.write("things: " + (", ".join(f"{n} {done}" for done, n in sorted(counts.items())) or "none"))


def _expect_units(options: dict[str, Any]) -> None:
    """What was typed is there: a slip of the fingers is not "nothing to do"."""
    if options["model"] and not DeviceModel.objects.filter(model_id=options["model"]).exists():
        raise CommandError(f"No model has the ID {options['model']}.")
    serials = set(options["serial"] or [])
    known = Device.objects.filter(serial_number__in=serials).values_list("serial_number", flat=True)
    if missing := sorted(serials.difference(known)):
        raise CommandError(f"Not registered: {', '.join(missing)}.")


def _serials(options: dict[str, Any]) -> Iterable[str]:
    units = Device.objects.order_by("pk")
    if options["model"]:
        units = units.filter(device_model__model_id=options["model"])
    if options["serial"]:
        units = units.filter(serial_number__in=options["serial"])
    return units.values_list("serial_number", flat=True).iterator(chunk_size=2000)
