"""What Alexa sees of a customer: each device with its verdict, and how it differs from what was announced. Exit code 1 if anything is
wrong. No token is in it."""

import json
import sys
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from skill import alexa_view
from skill.alexa_view import Seen, View


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="the customer's e-mail address")
        parser.add_argument("--json", action="store_true", help="everything, with the exact answer to Discover")

    def handle(self, *args: Any, **options: Any) -> None:
        users = get_user_model()
        try:
            view = alexa_view.look(users.objects.get_by_natural_key(options["email"]))
        except users.DoesNotExist as error:
            raise CommandError(f"There is no customer {options['email']}.") from error
        if options["json"]:
            self.stdout.write(json.dumps(view.as_json(), indent=2, cls=DjangoJSONEncoder))
        else:
            self.stdout.write(_text(view))
        if view.wrong:
            sys.exit(1)


def _text(view: View) -> str:
    told = len(view.answer["event"]["payload"]["endpoints"])
    head = f"{view.customer}: {view.link}\nDiscover.Response: {told} endpoints, {view.bytes:,} bytes\n"
    wrong = [f"! {line}" for line in view.wrong] or ["Nothing is wrong."]
    return "\n".join([head, *(_line(seen) for seen in view.devices), *wrong])


def _line(seen: Seen) -> str:
    due = f", due {seen.due_at:%Y-%m-%d %H:%M:%S} UTC" if seen.due_at else ""
    faults = "".join(f"\n    ! {fault}" for fault in seen.faults)
    mark = "!" if seen.wrong else " "
    return f"{mark} {seen.serial_number} {seen.name} ({seen.endpoint_id}), {seen.bytes} bytes\n    {seen.difference}{due}{faults}"
