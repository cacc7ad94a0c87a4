"""Encrypt everything that TOKEN_KEYS protects anew with the first of its keys. Put a new key in front, restart the portal, run this,
then take the old key away. May be stopped and run again, and runs beside the portal; says what no key opens."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal import key_rotation


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=500, help="Rows a statement (default: %(default)s).")
        parser.add_argument("--dry-run", action="store_true", help="Count only; change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch"] < 1:
            raise CommandError("--batch must be at least 1.")
        tallies: dict[str, key_rotation.Tally] = {}
        for tally in key_rotation.rotate(options["batch"], dry_run=options["dry_run"]):
            tallies[tally.column] = tally
            if options["verbosity"] > 1:
                self.stdout.write(f"{tally.column}: {tally.seen} looked at")
        for tally in tallies.values():
            self.stdout.write(_line(tally, options["dry_run"]))
        if lost := sum(tally.lost for tally in tallies.values()):
            raise CommandError(
                f"{lost} values are opened by no key of TOKEN_KEYS: put the missing key back at the end of the list and run this again. "
                "Without it those customers must link again."
            )


def _line(tally: key_rotation.Tally, dry_run: bool) -> str:
    words = f"{tally.column}: {tally.seen} sealed, {tally.rotated} {'to rotate' if dry_run else 'rotated'}"
    if tally.overtaken:
        words += f", {tally.overtaken} changed meanwhile by the portal itself"
    if tally.lost:
        words += f", {tally.lost} lost (ids {', '.join(map(str, tally.lost_ids))})"
    return words
