"""Have parked events told to Alexa again, for example after a bug of ours is mended. Each keeps its messageId."""

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet

from skill import parked
from skill.models import Event

AT_ONCE = 1000


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--message-id", action="append", type=uuid.UUID, default=[], help="This event; may be repeated."
        )
        parser.add_argument("--code", help="Those that Amazon refused with this code.")
        parser.add_argument("--name", help="Those of this name, for example InventoryConsumed.")
        parser.add_argument("--all", action="store_true", help="Every parked event.")
        parser.add_argument("--dry-run", action="store_true", help="Only count them.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not any(options[name] for name in ("message_id", "code", "name", "all")):
            raise CommandError("Say which: --message-id, --code, --name or --all.")
        ids = list(_chosen(options).values_list("pk", flat=True))
        if options["dry_run"]:
            self.stdout.write(f"{len(ids)} parked events would be told again.")
            return
        count = sum(parked.resend(ids[start : start + AT_ONCE]) for start in range(0, len(ids), AT_ONCE))
        self.stdout.write(f"{count} of {len(ids)} parked events will be told again; the others have no active link.")


def _chosen(options: dict[str, Any]) -> QuerySet[Event]:
    events = Event.objects.filter(status=Event.Status.PARKED).order_by("pk")
    if options["message_id"]:
        events = events.filter(message_id__in=options["message_id"])
    if options["code"]:
        events = events.filter(last_code=options["code"])
    return events.filter(name=options["name"]) if options["name"] else events
