"""Take SNS messages from SQS queues, the second way in beside the HTTPS door. Runs until it is told to stop."""

import logging
import signal
from collections import Counter
from threading import Event, Thread
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections

from notifications import queues
from notifications.models import Message

log = logging.getLogger(__name__)

PAUSE = 5.0  # seconds after Amazon's or our own trouble


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", action="append", help="a queue's URL; default: SNS_QUEUE_URLS")
        parser.add_argument("--once", action="store_true", help="stop when the queues are empty")

    def handle(self, *args: Any, **options: Any) -> None:
        found = options["queue"] or settings.SNS_QUEUE_URLS
        if not found:
            raise CommandError("No queue: name one with --queue or set SNS_QUEUE_URLS.")
        self.stopping = Event()
        if options["once"]:
            self.stdout.write(drained(found, Message.Way.SQS))
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        threads = [Thread(target=self._keep_on, args=[queue]) for queue in found]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]

    def _keep_on(self, queue: str) -> None:
        """Until told to stop, whatever happens: a thread that ends leaves its queue to nobody."""
        while not self.stopping.is_set():
            try:
                for _ in queues.batches(queue, Message.Way.SQS, queues.LONG_POLL):
                    close_old_connections()  # one that the database ended fails once, and is then renewed
                    if self.stopping.is_set():
                        return
            except Exception:
                log.exception("The queue %s could not be read; again in %s s", queue, PAUSE)
                self.stopping.wait(PAUSE)


def drained(addresses: list[str], way: Message.Way) -> str:
    """All that these queues have is taken; how many of each outcome, in words."""
    try:
        tally = sum((queues.drain(queue, way) for queue in addresses), Counter())
    except (BotoCoreError, ClientError, ValueError) as problem:
        raise CommandError(f"The queue cannot be read: {problem}") from problem
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(tally.items())) or "nothing"
