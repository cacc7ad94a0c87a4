"""What Amazon's doors answered and how long it took, counted by the hour for boards and metrics: two statements, no row per answer."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import connection

ACCEPTED = "ACCEPTED"
RENEWED = "RENEWED"
BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
LABELS = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")


@dataclass
class Count:
    """How often something was met since the last time anybody asked."""

    answers: Counter[str] = field(default_factory=Counter)  # by Amazon's code
    seconds: Counter[str] = field(default_factory=Counter)  # by the upper bound of the time on the wire
    renewals: Counter[str] = field(default_factory=Counter)  # at Login with Amazon, by what came of it

    def answer(self, code: str, seconds: float) -> None:
        self.answers[code] += 1
        self.seconds[LABELS[bisect_left(BOUNDS, seconds)]] += 1

    def rows(self, door: str) -> list[tuple[str, str, str, int]]:
        """As `add` takes them; `door` is the region's."""
        parts = ((door, "answer", self.answers), (door, "seconds", self.seconds), ("LWA", "answer", self.renewals))
        return [(name, kind, label, count) for name, kind, part in parts for label, count in part.items()]


def add(rows: Iterable[tuple[str, str, str, int]]) -> None:
    """Add (door, kind, label, count) to this hour, all in one statement. Workers add at the same time."""
    if columns := list(zip(*sorted(rows), strict=True)):
        with connection.cursor() as cursor:
            cursor.execute(_ADD, [list(column) for column in columns])


def fold() -> None:
    """Hours that are older than 31 days become one, so that the sums never shrink."""
    with connection.cursor() as cursor:
        cursor.execute(_FOLD)


_ADD = """
INSERT INTO skill_answercount AS a (hour, door, kind, label, count)
SELECT date_trunc('hour', now(), 'UTC'), door, kind, label, sum(count)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS u(door, kind, label, count) GROUP BY door, kind, label ORDER BY 2, 3, 4
ON CONFLICT (hour, door, kind, label) DO UPDATE SET count = a.count + excluded.count
"""
_FOLD = """
WITH old AS (
  DELETE FROM skill_answercount WHERE hour < now() - interval '31 days' AND hour > 'epoch' RETURNING door, kind, label, count)
INSERT INTO skill_answercount AS a (hour, door, kind, label, count)
SELECT 'epoch', door, kind, label, sum(count) FROM old GROUP BY door, kind, label
ON CONFLICT (hour, door, kind, label) DO UPDATE SET count = a.count + excluded.count
"""
