"""Shows what a model's draft would change and what lint says of it; with --yes and a reason publishes it.

With --from FILE the draft becomes what stands in a JSON file first; --export prints what is live as such a file.
"""

import json
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices import catalogue
from devices.models import DeviceModel, Revision


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", metavar="MODEL", help="model ID")
        parser.add_argument("--from", dest="file", type=Path, help="make this description the draft first")
        parser.add_argument("--export", action="store_true", help="print what is live as JSON and do nothing else")
        parser.add_argument("--reason", default="", help="why; it stays in the log")
        parser.add_argument("--by", metavar="EMAIL", help="in whose name")
        parser.add_argument("--yes", action="store_true", help="publish")

    def handle(self, *args: Any, **options: Any) -> None:
        model = DeviceModel.objects.filter(model_id=options["model"]).first()
        if model is None:
            raise CommandError(f"There is no model {options['model']}.")
        if options["export"]:
            self.stdout.write(json.dumps(catalogue.live(model).to_json(), indent=2, ensure_ascii=False))
            return
        by = _person(options["by"])
        draft = self._draft(model, options["file"], by)
        self._show(model, draft)
        if options["yes"]:
            self._publish(draft, options["reason"], by)

    def _draft(self, model: DeviceModel, file: Path | None, by: Any) -> Revision:
        if file is None:
            if draft := model.revisions.filter(state=Revision.State.DRAFT).first():
                return draft
            raise CommandError(f"{model} has no draft. Make one in the admin, or give a file with --from.")
        try:
            description = catalogue.Description.from_json(json.loads(file.read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise CommandError(f"{file}: {error}") from error
        draft = catalogue.open_draft(model, by)
        seen = catalogue.Description.from_json(draft.snapshot).digest()
        return catalogue.save_draft(draft, description, seen, by)

    def _show(self, model: DeviceModel, draft: Revision) -> None:
        findings, changes = catalogue.review(model, catalogue.Description.from_json(draft.snapshot))
        for item in (*findings, *changes):
            self.stdout.write(str(item))
        reach = catalogue.touched(model, changes)
        self.stdout.write(f"{len(changes)} change(s), {len(findings)} finding(s); touches {reach}.")

    def _publish(self, draft: Revision, reason: str, by: Any) -> None:
        try:
            done = catalogue.publish(draft, reason, by, seconds=float("inf"))
        except catalogue.PublishRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(self.style.SUCCESS(f"Published. It touches {done.reach}."))


def _person(email: str | None) -> Any:
    if email is None:
        return None
    person = get_user_model().objects.filter(email=email).first()
    if person is None:
        raise CommandError(f"Nobody here has the address {email}.")
    return person
