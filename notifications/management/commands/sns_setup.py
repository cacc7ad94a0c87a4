"""Set a topic up at AWS: topic, policy, signature version 2, dead-letter queue, https subscription. Idempotent."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from notifications import provision, regions
from notifications.models import Topic
from notifications.wanted import differences


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("arn", nargs="*", help="the topic's ARN; default: SNS_TOPIC_ARNS")
        parser.add_argument(
            "--kind",
            choices=Topic.Kind.values,
            default="",
            help="of a new topic; default: drs. An entered one has its own",
        )
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--dry-run", action="store_true", help="say what would be done")
        what.add_argument("--apply", action="store_true", help="do it; a policy is added to, never changed")
        what.add_argument("--check", action="store_true", help="write down how entered topics differ (drift)")

    def handle(self, *args: Any, **options: Any) -> None:
        arns = options["arn"] or settings.SNS_TOPIC_ARNS
        if not arns:
            raise CommandError("No topic: name its ARN or set SNS_TOPIC_ARNS.")
        try:
            left = sum(self._one(arn, options) for arn in arns)
        except (BotoCoreError, ClientError, provision.ProvisionError) as problem:
            raise CommandError(str(problem)) from problem
        if left and not options["dry_run"]:
            raise CommandError(f"{left} thing(s) are left to a person.")

    def _one(self, arn: str, options: dict[str, Any]) -> int:
        """How many differences are left when it is done."""
        if regions.locate(arn) is None:
            raise CommandError(f"{arn} is not the ARN of an SNS topic in a region that we know.")
        if options["check"]:
            return self._say(arn, "differs", provision.check(_entered(arn)))
        wanted = provision.wanted_for(arn, options["kind"])
        if options["dry_run"]:
            return self._say(arn, "would set right", [d.words for d in differences(wanted, provision.look(wanted))])
        done = list(provision.set_right(wanted))
        self._say(arn, "set right", [difference.words for difference in done if difference.code])
        return self._say(arn, "left to a person", provision.check(_entered(arn)))

    def _say(self, arn: str, what: str, words: list[str]) -> int:
        for line in words:
            self.stdout.write(f"{arn} {what}: {line}")
        if not words:
            self.stdout.write(f"{arn}: nothing {what}")
        return len(words)


def _entered(arn: str) -> Topic:
    """Drift is written down on the topic's row, so there must be one."""
    topic = Topic.objects.filter(arn=arn).first()
    if topic is None:
        raise CommandError(f"{arn} is not entered here: enter it in the admin, or set it up with --apply.")
    return topic
