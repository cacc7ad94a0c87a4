"""Make or update the courier in AWS Lambda: role, function, environment, and Alexa's leave to call it. May be repeated.

Credentials as boto3 finds them; they need iam:GetRole, CreateRole, GetRolePolicy, PutRolePolicy,
UpdateAssumeRolePolicy, PassRole, and lambda:GetFunction, CreateFunction, UpdateFunctionCode, UpdateFunctionConfiguration,
GetPolicy, AddPermission, RemovePermission. COURIER_SECRET is taken from the portal's settings and never printed.
"""

import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from skill import courier


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("skill_id", help="amzn1.ask.skill.…, on top of the skill's page in the developer console")
        parser.add_argument(
            "--region",
            action="append",
            choices=[*courier.REGIONS, "all"],
            help="NA us-east-1, EU eu-west-1, FE us-west-2, or all; may be repeated. Default: all",
        )
        parser.add_argument("--name", default="dash-replenishment-courier", help="function name (default: %(default)s)")
        parser.add_argument("--role", help="role name (default: the function's)")
        parser.add_argument("--url", help="where the courier brings directives (default: PUBLIC_URL/skill/directive)")
        parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = _wanted(options)
        chosen = options["region"] or ["all"]
        regions = list(courier.REGIONS) if "all" in chosen else list(dict.fromkeys(chosen))
        try:
            for step in courier.deploy(wanted, regions, dry_run=options["dry_run"]):
                self.stdout.write(f"{step.where:3} {step.what}: {step.done}")
            self.stdout.write("\nInto Build > Smart Home of the developer console:")
            for region in regions:
                arn = courier.address(wanted, region)
                self.stdout.write(f"  {region}  {arn or 'not made yet'}")
        except (ClientError, BotoCoreError, WaiterError) as error:
            raise CommandError(f"AWS: {_without_secret(str(error))}") from error


def _wanted(options: dict[str, Any]) -> courier.Courier:
    """What to deploy. Raises CommandError for what cannot work."""
    if not re.fullmatch(r"amzn1\.ask\.skill\.[A-Za-z0-9-]+", options["skill_id"]):
        raise CommandError(f"{options['skill_id']} is no skill ID; it looks like amzn1.ask.skill.<uuid>.")
    url = options["url"] or f"{settings.PUBLIC_URL}{reverse('skill_directive')}"
    if not url.startswith("https://"):
        raise CommandError(f"{url} is not https: give --url, or set PUBLIC_URL.")
    environment = {"DIRECTIVE_URL": url, "COURIER_SECRET": settings.COURIER_SECRET}
    return courier.Courier(options["name"], options["role"] or options["name"], options["skill_id"], environment)


def _without_secret(text: str) -> str:
    """AWS may quote what it was given."""
    return text.replace(settings.COURIER_SECRET, "••••••••") if settings.COURIER_SECRET else text
