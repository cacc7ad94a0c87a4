"""Take SNS messages from SQS queues, the second way in beside the HTTPS door. Runs until it is told to stop."""

import signal
import time
from collections import Counter
from threading import Event, Thread
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections

from notifications import queues
from notifications.models import Message

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
            self._report(sum((self._drain(queue, again=False) for queue in found), Counter()))
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        threads = [Thread(target=self._keep_on, args=[queue]) for queue in found]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]

    def _drain(self, queue: str, *, again: bool) -> Counter[str]:
        wait = queues.LONG_POLL if again else 0
        return queues.drain(queue, Message.Way.SQS, wait, self.stopping.is_set, lambda: again)

    def _keep_on(self, queue: str) -> None:
        while not self.stopping.is_set():
            try:
                close_old_connections()
                self._drain(queue, again=True)
            except (BotoCoreError, ClientError) as problem:
                self.stderr.write(f"{queue}: {problem}")
                time.sleep(PAUSE)

    def _report(self, tally: Counter[str]) -> None:
        self.stdout.write(", ".join(f"{count} {outcome}" for outcome, count in sorted(tally.items())) or "nothing")
