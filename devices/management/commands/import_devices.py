"""A factory's list of units into the registry: all of it or nothing, and again without change.

CSV with a header: serial, model, key, claim_code and, if wanted, mac and firmware. "generate" as key or claim code has
one made; what was generated is written once to a file that only you can read. Faults are listed by line in a file.
"""

import csv
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from devices.factory import Imported, ImportRefused, import_units
from devices.factory_lines import Fault
from devices.secrets_file import KeptInPart, SecretsFile


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("list", type=Path, help="the CSV file")
        parser.add_argument("--secrets", type=Path, help="where generated keys go (default: LIST.secrets-<time>.csv)")
        parser.add_argument("--errors", type=Path, help="where faults are listed (default: LIST.errors.csv)")

    def handle(self, *args: Any, **options: Any) -> None:
        source: Path = options["list"]
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        sheet = SecretsFile(options["secrets"] or source.with_name(f"{source.name}.secrets-{stamp}.csv"))
        faults = FaultsFile(options["errors"] or source.with_name(f"{source.name}.errors.csv"))
        try:
            with faults, open(source, encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
                done = self._import(lines, sheet, faults)
        except ImportRefused as refusal:
            sheet.discard()
            listed = f" They are listed in {faults.path}." if faults.count else ""
            raise CommandError(f"{refusal}{listed}") from refusal
        except OSError as error:
            sheet.discard()
            raise CommandError(f"{error.filename or source}: {error.strerror or error}") from error
        except DatabaseError as error:
            raise CommandError(f"The database failed: {str(error).strip()}{_in_doubt(sheet)}") from error
        self._say(done, sheet)

    def _import(self, lines: TextIO, sheet: SecretsFile, faults: "FaultsFile") -> Imported:
        bar = ProgressBar(lines)
        try:
            return import_units(lines, on_fault=faults.add, on_secrets=sheet.write, progress=bar.show)
        finally:
            bar.clear()

    def _say(self, done: Imported, sheet: SecretsFile) -> None:
        self.stdout.write(f"{done.listed} units listed: {done.added} new, {done.listed - done.added} there before.")
        try:
            kept = sheet.keep()
        except KeptInPart as trouble:
            raise CommandError(
                f"The units are registered. {trouble} Rename it yourself, and keep it safe."
            ) from trouble
        if kept:
            text = f"Keys and codes of {done.generated} units are in {sheet.path}; they are nowhere else. Keep it safe."
            self.stdout.write(self.style.WARNING(text))


def _in_doubt(sheet: SecretsFile) -> str:
    """If the connection broke in the very commit, nobody knows yet whether the keys are in force."""
    if not sheet.made:
        return ""
    return f"\nImport the list again. If it then says that no unit is new, the keys in {sheet.part} are the right ones."


class FaultsFile:
    """Faults as CSV: line, field, reason. Made with the first of them; one of an earlier run is removed."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self._file: TextIO | None = None

    def __enter__(self) -> "FaultsFile":
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def add(self, fault: Fault) -> None:
        if not self.count:
            self._file = open(self.path, "w", encoding="utf-8", errors="replace", newline="")  # noqa: SIM115
            self._lines = csv.writer(self._file, lineterminator="\n")
            self._lines.writerow(Fault._fields)
        self._lines.writerow(fault)
        self.count += 1


class ProgressBar:
    """One line on a terminal that changes; nothing at all elsewhere."""

    WIDTH = 30
    EVERY = 0.2  # seconds

    def __init__(self, lines: TextIO, terminal: TextIO | None = None) -> None:
        self._terminal = terminal or sys.stderr
        self._lines, self._size = lines, max(Path(lines.name).stat().st_size, 1)
        self._started = self._shown = time.monotonic()
        self._stage = ""

    def show(self, stage: str, count: int) -> None:
        now = time.monotonic()
        if not self._terminal.isatty() or (stage == self._stage and now - self._shown < self.EVERY):
            return
        self._stage, self._shown = stage, now
        part = self._lines.buffer.tell() / self._size
        filled = int(part * self.WIDTH)
        rate = count / max(now - self._started, 0.001)
        bar = f"[{'#' * filled}{'.' * (self.WIDTH - filled)}] {part:4.0%}  {stage}, {count:,} units"
        self._terminal.write(f"\r\x1b[K{bar}{f', {rate:,.0f}/s' if stage == 'reading' else ''}")
        self._terminal.flush()

    def clear(self) -> None:
        if self._terminal.isatty():
            self._terminal.write("\r\x1b[K")
