"""How far a model is on its way to Amazon's certification: what is done, what is missing, what to do."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from devices.models import DeviceModel
from devices.readiness import Line, checklist

MARKS = {"done": "[x]", "missing": "[ ]", "by hand": "[?]"}


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", metavar="MODEL", help="model ID")
        parser.add_argument("--missing", action="store_true", help="only what is not done")

    def handle(self, *args: Any, **options: Any) -> None:
        model = DeviceModel.objects.filter(model_id=options["model"]).first()
        if model is None:
            raise CommandError(f"There is no model {options['model']}.")
        lines = checklist(model, timezone.now())
        for line in lines:
            if line.status != "done" or not options["missing"]:
                self.stdout.write(_text(line))
        done = sum(line.status == "done" for line in lines)
        self.stdout.write(f"{model}: {done} of {len(lines)} done, {model.get_drs_state_display()}")


def _text(line: Line) -> str:
    follows = line.todo or line.note
    return f"{MARKS[line.status]} {line.where}: {line.title}{f'. {follows}' if follows else ''}"
