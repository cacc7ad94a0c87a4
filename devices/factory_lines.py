"""One line of a factory's list: what it may say, how it is tidied, and what is told about a line that cannot be taken.

Text in, text out: a good line becomes the line that COPY takes, with hashes in place of secrets, and nothing where one
is to be made. No query here.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from devices.credentials import CLAIM_CODE_LENGTH, SHORTEST_KEY, CodeHasher, hash_key, peppers, tidy_code
from devices.models import SERIAL_PATTERN

GENERATE = "generate"
REQUIRED = ("serial", "model", "key", "claim_code")
OPTIONAL = ("mac", "firmware")
MADE_KEY, MADE_CODE = 1, 2  # bits of the column `made`
_MADE_BOTH = ("", "", "", MADE_KEY | MADE_CODE)  # as LineReader._own says it

_serial_fits = re.compile(SERIAL_PATTERN).fullmatch
_key_fits = re.compile(rf"[!-~]{{{SHORTEST_KEY},256}}").fullmatch
_code_fits = re.compile(rf"(?!GENERATE\b)[A-Z0-9]{{{CLAIM_CODE_LENGTH},32}}").fullmatch
_MAC_PATTERN = rf"(?:{':'.join(['[0-9A-F]{2}'] * 6)})?"
_mac_fits = re.compile(_MAC_PATTERN).fullmatch
_FIRMWARE_PATTERN = r"[ -\[\]-~]{0,64}"  # printable ASCII without the backslash, which COPY reads
_firmware_fits = re.compile(_FIRMWARE_PATTERN).fullmatch
_facts_fit = re.compile(rf"{SERIAL_PATTERN}\t{_MAC_PATTERN}\t{_FIRMWARE_PATTERN}").fullmatch  # all three in one look


class Fault(NamedTuple):
    """What is wrong in which line; the header is line 1."""

    line: int
    field: str
    reason: str


class HeaderRefused(ValueError):
    """The first line does not say what the columns are."""


@dataclass(frozen=True)
class Model:
    """What a line needs of the model that it names."""

    pk: int
    model_id: str
    name: str


class LineReader:
    """Iterates over a list: each line as text for COPY, or its Faults. Constant memory.

    ``models`` by model ID. The order of COPY's columns: line, serial, model, name, key, code, old_codes, mac,
    firmware, made. Raises HeaderRefused at the first step.
    """

    def __init__(self, source: Iterable[str], models: dict[str, Model]) -> None:
        self._rows = csv.reader(source, strict=True)
        self._models = models
        self._hash_code, *self._old_hashers = [CodeHasher(pepper) for pepper in peppers()]

    @property
    def line(self) -> int:
        """The number of the line that was read last."""
        return self._rows.line_num

    def __iter__(self) -> Iterator[str | list[Fault]]:
        try:
            pick, width = _columns(next(self._rows, []))
            for row in self._rows:
                if len(row) == width:
                    row.append("")
                    yield self._read(*pick(row))
                elif row:
                    reason = f"This line has {len(row)} columns, the first line has {width}."
                    yield [Fault(self._rows.line_num, "", reason)]
        except csv.Error as error:
            yield [Fault(self._rows.line_num, "", f"This is not CSV, and what follows was not read: {error}.")]

    def _read(self, serial: str, model: str, key: str, code: str, mac: str, firmware: str) -> str | list[Fault]:
        known = self._models.get(model)
        if not known or not _facts_fit(f"{serial}\t{mac}\t{firmware}"):
            tidy = _tidy_mac(mac)
            judge = self._faults if tidy == mac else self._read
            return judge(serial, model, key, code, tidy, firmware)
        if key == code == GENERATE:
            hashes = _MADE_BOTH
        else:
            hashes = self._own(serial, key, code)
            if not hashes:
                return self._faults(serial, model, key, code, mac, firmware)
        key_hash, code_hash, old, made = hashes
        return (
            f"{self._rows.line_num}\t{serial}\t{known.pk}\t{known.name}\t{key_hash}\t{code_hash}\t{{{old}}}\t"
            f"{mac}\t{firmware}\t{made}\n"
        )

    def _own(self, serial: str, key: str, code: str) -> tuple[str, str, str, int] | None:
        """How key and code are kept that the factory brought, the code in older ways too, and what is to be made."""
        key_hash = code_hash = old = ""
        made = 0
        if key == GENERATE:
            made = MADE_KEY
        elif _key_fits(key):
            key_hash = hash_key(key)
        else:
            return None
        if code == GENERATE:
            return key_hash, code_hash, old, made | MADE_CODE
        code = code if _code_fits(code) else tidy_code(code)
        old = ",".join([hasher(serial, code) for hasher in self._old_hashers])
        return (key_hash, self._hash_code(serial, code), old, made) if _code_fits(code) else None

    def _faults(self, serial: str, model: str, key: str, code: str, mac: str, firmware: str) -> list[Fault]:
        """Everything that is wrong with a line. Never what a secret was."""
        if not _serial_fits(serial):
            return [
                self._fault("serial", "A serial number has 1 to 64 letters, digits, dots, underscores and hyphens.")
            ]
        good_key = key == GENERATE or _key_fits(key)
        good_code = code == GENERATE or _code_fits(tidy_code(code))
        judged = [
            ("model", model in self._models, f"There is no model {model[:64]!r} here."),
            ("key", good_key, f'A key has {SHORTEST_KEY} to 256 printable ASCII signs, or is "generate".'),
            ("claim_code", good_code, 'A claim code has 8 to 32 letters and digits, or is "generate".'),
            ("mac", _mac_fits(mac), "A MAC address has 12 hexadecimal digits."),
            ("firmware", _firmware_fits(firmware), "A firmware version has up to 64 printable ASCII signs."),
        ]
        return [self._fault(field, reason) for field, good, reason in judged if not good]

    def _fault(self, field: str, reason: str) -> Fault:
        return Fault(self._rows.line_num, field, reason)


def _columns(header: list[str]) -> tuple[itemgetter, int]:  # type: ignore[type-arg]
    """How to bring a row (with one empty text behind it) into our order of columns, and how many it must have."""
    names = [name.strip().lower().replace(" ", "_") for name in header]
    if missing := [name for name in REQUIRED if name not in names]:
        raise HeaderRefused(f"The first line must name the columns; there is no {', '.join(missing)}.")
    if strange := [name for name in names if name not in REQUIRED + OPTIONAL or names.count(name) > 1]:
        raise HeaderRefused(f"The first line has a column too many: {strange[0][:64]!r}.")
    places = [names.index(name) if name in names else len(names) for name in REQUIRED + OPTIONAL]
    return itemgetter(*places), len(names)


def _tidy_mac(mac: str) -> str:
    digits = re.sub(r"[:.\-\s]", "", mac).upper()
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))
