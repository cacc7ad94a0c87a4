"""How delivery is doing, in figures: one place that the staff's dashboard, /health/ready and /metrics ask.

Read-only. Each question is answered by an index or from counters; the one that must look at every link (how many levels are owed
at all) is remembered for minutes, the rest for seconds, whoever asks how often.
"""

from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.db import connection

from skill import counts, misses

REMEMBERED = 15  # seconds
CENSUS_REMEMBERED = 600
DAY = timedelta(hours=24)


@dataclass(frozen=True)
class Figures:
    """Everything at once. Doors are NA, EU, FE and LWA; times are seconds."""

    levels: int = 0  # level sensors that Amazon is owed a report a day of
    behind: int = 0  # … and did not get within the last 24 hours
    missed: dict[str, int] = field(default_factory=dict)  # days noted as missed in the last 24 hours, by reason
    overdue: dict[str, float] = field(default_factory=dict)  # by region: how long the oldest due endpoint has waited
    backlog: dict[str, dict[str, int]] = field(default_factory=dict)  # by region and kind
    parked: int = 0
    today: dict[str, dict[str, int]] = field(default_factory=dict)  # answers of 24 hours by door and code
    ever: dict[str, dict[str, int]] = field(default_factory=dict)  # the same since the beginning; never shrinks
    wire_today: dict[str, dict[str, int]] = field(default_factory=dict)  # by region and upper bound
    wire_ever: dict[str, dict[str, int]] = field(default_factory=dict)
    paused: dict[str, bool] = field(default_factory=dict)  # is the breaker of the door open?
    rate: dict[str, float] = field(default_factory=dict)  # requests per second that we allow ourselves

    @property
    def coverage(self) -> float | None:
        """Share of the levels that were reported within 24 hours; None where none is owed."""
        return 1 - self.behind / self.levels if self.levels else None

    def wire(self, share: float) -> float | None:
        """The time within which this share of today's requests was answered, from above; None without any."""
        total = sum(sum(times.values()) for times in self.wire_today.values())
        reached = 0
        for label in counts.LABELS if total else ():
            reached += sum(times.get(label, 0) for times in self.wire_today.values())
            if reached >= share * total:
                return float(label)
        return None


def figures() -> Figures:
    """As they are, or were at most 15 seconds ago."""
    return Figures(**cache.get_or_set("skill.figures", lambda: asdict(_count()), REMEMBERED))


def overdue() -> dict[str, float]:
    """By region: for how many seconds the oldest due endpoint has waited. One look at an index for each."""
    return {region: seconds for region, seconds in _rows(_OVERDUE) if seconds is not None}


def levels() -> int:
    """How many level sensors are owed a report a day. Looks at every link."""
    return int(_rows(_LEVELS)[0][0])


def behind() -> int:
    """How many of them were not reported within 24 hours, among those whom two indexes hold for late or in trouble."""
    return int(_rows(_BEHIND)[0][0])


def _count() -> Figures:
    owed = cache.get_or_set("skill.levels", levels, CENSUS_REMEMBERED)
    late = behind()
    doors = _rows("SELECT name, coalesce(open_until > now() - interval '1 minute', false), rate FROM skill_gateway")
    return Figures(
        levels=max(owed, late),
        behind=late,
        missed=dict(_rows("SELECT reason, count(*) FROM skill_miss WHERE deadline_at > now() - %s GROUP BY 1", DAY)),
        overdue=overdue(),
        backlog=_nested(_rows(_BACKLOG)),
        parked=int(_rows("SELECT count(*) FROM skill_event WHERE status = 'parked'")[0][0]),
        today=_nested(_rows(_ANSWERS + _TODAY, "answer", DAY)),
        ever=_nested(_rows(_ANSWERS + _EVER, "answer")),
        wire_today=_nested(_rows(_ANSWERS + _TODAY, "seconds", DAY)),
        wire_ever=_nested(_rows(_ANSWERS + _EVER, "seconds")),
        paused={name: paused for name, paused, _ in doors},
        rate={name: rate for name, _, rate in doors},
    )


def _rows(statement: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def _nested(rows: list[tuple[str, str, int]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for outer, inner, count in rows:
        found.setdefault(outer, {})[inner] = int(count)
    return found


_REGIONS = "unnest(ARRAY['NA', 'EU', 'FE']) AS r(region)"
_OVERDUE = f"""
SELECT region, (SELECT extract(epoch FROM now() - due_at)::float FROM skill_endpoint AS e
  WHERE e.region = r.region AND due_at <= now() ORDER BY due_at LIMIT 1) FROM {_REGIONS}
"""  # noqa: S608  (statements of ours, no values)
_SENSORS = f"JOIN devices_device AS d ON d.id = e.device_id {misses.SENSORS}"
_LEVELS = f"SELECT count(*) FROM skill_endpoint AS e {_SENSORS} WHERE {misses.OWED}"  # noqa: S608
_BEHIND = f"""
SELECT count(*) FROM ({misses.CANDIDATES.format(owing=f"({misses.LATE} OR {misses.SILENT})")}) AS c
JOIN skill_endpoint AS e ON e.id = c.id {_SENSORS}
LEFT JOIN devices_inventory AS i ON i.device_id = d.id AND i.slot_id = s.id WHERE {misses.LATE} OR i.id IS NULL
"""  # noqa: S608
_BACKLOG = f"""
SELECT e.region, CASE WHEN NOT e.wanted THEN 'deletion' WHEN e.changed ? 'description' THEN 'announcement' ELSE 'report' END, count(*)
FROM {_REGIONS} JOIN skill_endpoint AS e ON e.region = r.region AND e.due_at <= now() GROUP BY 1, 2
UNION ALL
SELECT e.region, v.name, count(*) FROM skill_event AS v JOIN skill_endpoint AS e ON e.id = v.endpoint_id
WHERE v.status = 'pending' GROUP BY 1, 2
"""  # noqa: S608
_ANSWERS = "SELECT door, label, sum(count)::bigint FROM skill_answercount WHERE kind = %s "
_TODAY = "AND hour > now() - %s GROUP BY 1, 2 ORDER BY 1, 2"
_EVER = "GROUP BY 1, 2 ORDER BY 1, 2"
