"""Put what SNS gave up on (the dead-letter queue) through the same verification and inbox; nothing is counted twice."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from notifications.management.commands.sns_pull import drained
from notifications.models import Message


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", action="append", help="a queue's URL; default: SNS_DEAD_LETTER_URLS")

    def handle(self, *args: Any, **options: Any) -> None:
        found = options["queue"] or settings.SNS_DEAD_LETTER_URLS
        if not found:
            raise CommandError("No dead-letter queue: name one with --queue or set SNS_DEAD_LETTER_URLS.")
        self.stdout.write(drained(found, Message.Way.REDRIVE))
