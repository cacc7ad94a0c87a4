"""What the database and the static files need before the processes start, in one process. Idempotent; also for a deployment."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

UNUSED = [
    "redoc",
    "rest_framework",
]  # folders of pages that nobody is shown; they are more than half of all static files


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = ()  # migrate's are these, and the database's

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write("Bringing the database up to date …")
        call_command("migrate", verbosity=0, skip_checks=False)
        call_command("createcachetable", verbosity=0)
        self.stdout.write("Collecting the static files …")
        call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=UNUSED)
        if settings.EMBEDDED:
            self.stdout.write("Making the demonstration's people, coffee machine and link …")
            call_command("seed_demo", verbosity=0)
