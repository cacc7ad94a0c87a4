"""Draws how a level went: readings in, the coordinates of a step chart out.

Pure: no Django, no database; the clock is an argument. The template puts the coordinates into inline SVG, and labels
and table into HTML, so that text stays readable on a phone and the page needs neither script nor style attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

WIDTH, HEIGHT = 1000, 200
SHORT = timedelta(days=2)
LINES = 5
MOST_ROWS = 31

Pace = Literal["day", "clock"]


class Point(NamedTuple):
    """A level at a time, in the slot's unit."""

    at: datetime
    value: Decimal


@dataclass(frozen=True)
class Chart:
    """Everything the template draws. Coordinates lie in 0 0 WIDTH HEIGHT, y downwards."""

    line: str
    area: str
    dot: str
    grid: list[str]
    threshold: str | None
    y_labels: list[Decimal]
    x_labels: list[datetime]
    pace: Pace
    first: Point
    last: Point
    lowest: Point
    rows: list[Point]


def step_chart(points: Iterable[Point], now: datetime, top: Decimal, low: Decimal | None = None) -> Chart | None:
    """A level holds until the next reading says otherwise, hence steps. None where there is nothing to draw.

    `top` is the full slot and `low` the mark to draw, both in the slot's unit. Readings that claim to come from after
    `now` are drawn at `now`.
    """
    known = sorted(Point(min(point.at, now), point.value) for point in points)
    if not known:
        return None
    start = min(known[0].at, now - timedelta(hours=1))
    top = max(top, max(point.value for point in known), Decimal("0.001"))
    places = [(_x(point.at, start, now), _y(point.value, top)) for point in known]
    line = _steps(places)
    return Chart(
        line=line,
        area=f"{line}V{HEIGHT}H{_text(places[0][0])}Z",
        dot=f"M{_text(places[-1][0])} {_text(places[-1][1])}h0",
        grid=[_text(HEIGHT * step / (LINES - 1)) for step in range(LINES)],
        threshold=None if low is None or low > top else _text(_y(low, top)),
        y_labels=[top * step / (LINES - 1) for step in reversed(range(LINES))],
        x_labels=[start + (now - start) * step / 3 for step in range(4)],
        pace="clock" if now - start < SHORT else "day",
        first=known[0],
        last=known[-1],
        lowest=min(known, key=lambda point: point.value),
        rows=table_rows(known, now - start),
    )


def table_rows(points: Sequence[Point], span: timedelta) -> list[Point]:
    """The same in numbers, newest first: the last of each day, or of a short time the last readings."""
    if span >= SHORT:
        points = list({point.at.date(): point for point in points}.values())
    return list(reversed(points))[:MOST_ROWS]


def _steps(places: Sequence[tuple[float, float]]) -> str:
    (x, y), rest = places[0], places[1:]
    path = f"M{_text(x)} {_text(y)}"
    for x, y in rest:
        path += f"H{_text(x)}V{_text(y)}"
    return f"{path}H{WIDTH}"


def _x(at: datetime, start: datetime, end: datetime) -> float:
    return WIDTH * ((at - start) / (end - start))


def _y(value: Decimal, top: Decimal) -> float:
    return float(HEIGHT - HEIGHT * value / top)


def _text(number: float) -> str:
    """Short, and with a dot whatever the language of the page."""
    return f"{number:.1f}".removesuffix(".0")
