"""Sheets of labels for boxes as SVG: A4 with 24 labels, serial number and claim code as text and as QR code.

From the file that import_devices wrote, or from the factory's own list with codes. The sheets hold claim codes, so they
are written for you alone (mode 600): labels.svg, labels-2.svg, …
"""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devices.labels import LabelRefused, read_labels, sheets


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("list", type=Path, help="CSV with the columns serial and claim_code")
        parser.add_argument(
            "--out", type=Path, default=Path("labels.svg"), help="the first sheet (default: labels.svg)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        source, out = options["list"], options["out"]
        if not settings.PUBLIC_URL.startswith("https://"):
            self.stderr.write(self.style.WARNING(f"The QR codes lead to {settings.PUBLIC_URL}: good for a trial only."))
        try:
            with open(source, encoding="utf-8-sig", newline="") as lines:
                count = sum(1 for _ in read_labels(lines))  # all of them first: no half of a list is printed
                lines.seek(0)
                written = [_write(out, number, sheet) for number, sheet in enumerate(sheets(read_labels(lines)), 1)]
        except LabelRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        except OSError as error:
            raise CommandError(f"{error.filename or source}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise CommandError(f"{source} is no text in UTF-8; is it the list?") from error
        names = f"{written[0]} … {written[-1]}" if len(written) > 1 else "".join(map(str, written)) or "nothing"
        self.stdout.write(f"{count} labels: {names}")


def _write(out: Path, number: int, sheet: str) -> Path:
    path = out if number == 1 else out.with_name(f"{out.stem}-{number}{out.suffix}")
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(sheet)
    return path
