"""A factory's list that came by upload, to the admin or to the staff API: the same verb, with answers kept in memory.

So an upload is limited; what is larger goes through manage.py import_devices, which keeps nothing in memory.
"""

import csv
import io
from collections.abc import Iterable
from typing import IO, NamedTuple

from devices.factory import Imported, ImportRefused, Secret, import_units
from devices.factory_lines import Fault

LARGEST_UPLOAD = 10 * 1024 * 1024  # bytes; some 150,000 units
FAULTS_SHOWN = 1000


class UploadRefused(Exception):
    """Nothing was imported; the text says why. ``faults`` are the first thousand of ``count``."""

    def __init__(self, sentence: str, faults: list[Fault], count: int) -> None:
        super().__init__(sentence)
        self.faults, self.count = faults, count


class Uploaded(NamedTuple):
    """What was imported, and what was generated for it: nobody can ask for these secrets again."""

    imported: Imported
    secrets: list[Secret]


def import_upload(content: IO[bytes]) -> Uploaded:
    """import_units for an upload of at most LARGEST_UPLOAD bytes; the caller has looked at its size.

    Transactional, idempotent as import_units. If the answer with the secrets is lost, so are they: give these units
    new keys. Raises UploadRefused.
    """
    lines = io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="")
    faults, secrets = _First(), list[Secret]()
    try:
        imported = import_units(lines, on_fault=faults.add, on_secrets=secrets.extend)
    except ImportRefused as refusal:
        raise UploadRefused(str(refusal), faults.kept, faults.count) from refusal
    finally:
        lines.detach()
    return Uploaded(imported, secrets)


def secrets_csv(secrets: Iterable[Secret]) -> str:
    """As manage.py import_devices writes them, for print_labels and for the factory."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(Secret._fields)
    lines.writerows(secrets)
    return text.getvalue()


class _First:
    """Keeps the first faults and counts all of them."""

    def __init__(self) -> None:
        self.kept: list[Fault] = []
        self.count = 0

    def add(self, fault: Fault) -> None:
        self.count += 1
        if len(self.kept) < FAULTS_SHOWN:
            self.kept.append(fault)
