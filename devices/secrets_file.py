"""The file in which generated keys and claim codes are written, once, readable by its owner alone."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from devices.factory import Secret


class KeptInPart(Exception):
    """The keys are safe, and under the name that the text says."""


class SecretsFile:
    """CSV with serial, model, key, claim_code, of mode 600. Nothing is made until there is something to write.

    It is whole and on the disk before the registry knows its units (`write`), under a name ending in ``.part``, and
    takes its own name afterwards (`keep`): whatever is cut short in between, no key is lost, and no file pretends.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.part = path, path.with_name(f"{path.name}.part")
        self.made = False

    def write(self, secrets: Iterable[Secret]) -> None:
        """Write all of them through to the disk, or leave no file. Raises FileExistsError rather than touch a file that is there."""
        if self.path.exists():
            raise FileExistsError(f"{self.path} exists already.")
        handle = os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.made = True
        try:
            self._fill(handle, secrets)
        except BaseException:
            self.discard()
            raise

    def _fill(self, handle: int, secrets: Iterable[Secret]) -> None:
        with open(handle, "w", encoding="ascii", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(Secret._fields)
            lines.writerows(secrets)
            file.flush()
            os.fsync(file.fileno())

    def keep(self) -> bool:
        """Give the file its name; False if nothing was generated. Raises KeptInPart: the units are registered, so their keys stay."""
        if not self.made:
            return False
        try:
            os.link(self.part, self.path)  # unlike a rename, this never replaces a file
            self.part.unlink()
        except OSError as error:
            raise KeptInPart(
                f"The keys are in {self.part}, whole; it could not get its own name: {error.strerror}."
            ) from error
        return True

    def discard(self) -> None:
        """Nothing was imported, so these keys are nobody's. Idempotent."""
        if self.made:
            self.part.unlink(missing_ok=True)
            self.made = False
