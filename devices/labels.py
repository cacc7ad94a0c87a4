"""Labels for boxes: serial number and claim code as text and as a QR code, sheets of them as SVG to be printed.

A sheet is A4 with 3 x 8 labels of 70 x 36 mm, the size of common sheets of stickers; print it at 100 %. The QR code
carries a link that fills the claim form in. Claim codes are kept nowhere, so labels are made from the file that the
import wrote, or from the factory's own list.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import segno
from django.conf import settings
from django.urls import reverse

from devices.credentials import CLAIM_CODE_LENGTH, tidy_code
from devices.factory_lines import GENERATE

PAGE = (210, 297)  # mm, A4
GRID = (3, 8)
LABEL = (70, 36)  # mm
TOP = (PAGE[1] - GRID[1] * LABEL[1]) / 2
QR = 28  # mm, with its quiet zone
QUIET = 4  # modules around a QR code (ISO/IEC 18004)
SHORT_SERIAL, SERIAL_LINE = 18, 24  # characters that fit in a line of large and of small print
SHORT_CODE, CODE_LINE = 14, 20  # of a claim code with its hyphens: three groups of large print, four of small
PER_SHEET = GRID[0] * GRID[1]


class LabelRefused(ValueError):
    """A list from which no label can be printed; the text says which line and why."""


class Label(NamedTuple):
    """What stands on one box."""

    serial: str
    claim_code: str


def read_labels(source: Iterable[str]) -> Iterator[Label]:
    """Labels from CSV with at least the columns serial and claim_code. Raises LabelRefused."""
    rows = csv.DictReader(source)
    if missing := {"serial", "claim_code"} - set(rows.fieldnames or []):
        raise LabelRefused(f"The first line must name the columns; there is no {', '.join(sorted(missing))}.")
    for row in rows:
        code = row["claim_code"] or ""
        if not row["serial"] or code == GENERATE or len(tidy_code(code)) < CLAIM_CODE_LENGTH:
            reason = (
                "no serial number or no claim code. Codes that were generated are in the file that the import wrote"
            )
            raise LabelRefused(f"Line {rows.line_num} has {reason}.")
        yield Label(row["serial"], tidy_code(code))


def claim_link(label: Label) -> str:
    """The address that a phone opens: the claim form, filled in."""
    query = urlencode({"serial": label.serial, "code": label.claim_code})
    return f"{settings.PUBLIC_URL}{reverse('add_device')}?{query}"


def sheets(labels: Iterable[Label]) -> Iterator[str]:
    """One SVG document after the other, each with up to 24 labels. Constant memory."""
    waiting = iter(labels)
    while page := list(islice(waiting, PER_SHEET)):
        yield _sheet(page)


def qr_code(label: Label) -> segno.QRCode:
    """A QR code of the claim link; level M, so that a scratch does no harm."""
    return segno.make(claim_link(label), error="m", micro=False)


def grouped(code: str) -> str:
    """A claim code as it is easy to read: in fours."""
    return "-".join(code[place : place + 4] for place in range(0, len(code), 4))


def _sheet(labels: list[Label]) -> str:
    width, height = PAGE
    drawn = "".join(_at(place, label) for place, label in enumerate(labels))
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}"'
        f' font-family="sans-serif"><rect width="{width}" height="{height}" fill="#fff"/>\n{drawn}</svg>\n'
    )


def _at(place: int, label: Label) -> str:
    row, column = divmod(place, GRID[0])
    x, y = column * LABEL[0], TOP + row * LABEL[1]
    return f'<g transform="translate({x} {y:g})">{_drawn(label)}</g>\n'


def _drawn(label: Label) -> str:
    """QR code on the left; on the right the same as text, a long serial number in up to three lines, a long code in two."""
    texts = [
        _text(8, 2.4, settings.SITE_NAME),
        _text(13, 2.2, "S/N"),
        *_serial(label.serial),
        _text(26, 2.2, "Claim code"),
        *_code(grouped(label.claim_code)),
    ]
    return f'<svg x="3" y="4" width="{QR}" height="{QR}" {_modules(label)}</svg>{"".join(texts)}'


def _serial(serial: str) -> list[str]:
    if len(serial) <= SHORT_SERIAL:
        return [_text(17.5, 3, serial, strong=True)]
    parts = [serial[place : place + SERIAL_LINE] for place in range(0, len(serial), SERIAL_LINE)]
    return [_text(16.4 + 2.9 * line, 2.4, part, strong=True) for line, part in enumerate(parts)]


def _code(code: str) -> list[str]:
    if len(code) <= SHORT_CODE:
        return [_text(30.5, 3.6, code, strong=True)]
    parts = [code[place : place + CODE_LINE] for place in range(0, len(code), CODE_LINE)]
    return [_text(29.4 + 2.9 * line, 2.4, part, strong=True) for line, part in enumerate(parts)]


def _text(y: float, size: float, text: str, strong: bool = False) -> str:
    face = ' font-family="monospace" font-weight="bold"' if strong else ""
    return f'<text x="{QR + 4}" y="{y:g}" font-size="{size}"{face}>{escape(text)}</text>'


def _modules(label: Label) -> str:
    """The rest of the tag with its view box, then the dark modules as one path."""
    code, drawn = qr_code(label), io.BytesIO()
    code.save(drawn, kind="svg", xmldecl=False, svgns=False, nl=False, omitsize=True, border=QUIET, svgclass=None)
    return drawn.getvalue().decode().removeprefix("<svg ").removesuffix("</svg>")
