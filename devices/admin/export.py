"""Rows as CSV, for a spreadsheet. Of units: what the list shows and a little more, never a key, a claim code or a hash of one."""

import csv
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

UNITS = {
    "serial": "serial_number",
    "model": "device_model__model_id",
    "owner": "owner__email",
    "name": "name",
    "claimed_at": "claimed_at",
    "warranty_until": "warranty_until",
    "online": "online",
    "last_seen_at": "last_seen_at",
    "clock_last_wrong": "clock_doubted_at",
    "mac": "mac_address",
    "firmware": "firmware_version",
}
AT_ONCE = 2000


class _Line:
    """What csv writes into: the line is handed back."""

    def write(self, line: str) -> str:
        return line


def as_csv(rows: QuerySet[Any], columns: Mapping[str, str], name: str) -> StreamingHttpResponse:
    """All of them as a download, some at a time: neither our memory nor one statement grows with their number.

    `columns`: the heading and where its value is found.
    """
    answer = StreamingHttpResponse(_lines(rows, columns), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    answer["Cache-Control"] = "no-store"
    return answer


def _lines(chosen: QuerySet[Any], columns: Mapping[str, str]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(columns)
    after = 0
    while rows := list(chosen.filter(pk__gt=after).order_by("pk").values_list("pk", *columns.values())[:AT_ONCE]):
        after = rows[-1][0]
        yield "".join(writer.writerow([_plain(value) for value in row[1:]]) for row in rows)


def _plain(value: Any) -> str:
    """Text that no spreadsheet takes for a formula, and times in ISO 8601."""
    if value is None:
        return ""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
