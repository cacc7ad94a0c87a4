"""How the history is kept and how long: partitions made ahead, old ones dropped. Not here: what is written into them.

Readings lie in a partition for each month of ``heard_at``, days (DailyUse) in one for each year of ``day``.

*Why heard_at.* It is our own clock, so partitions made ahead are always there in time, and "kept for n days" means what
it says. The device's clock would put readings of a unit that woke up in 2001 outside every partition, and dropping that
partition would lose what we had only just heard. The price: PostgreSQL wants the partition key in every unique
constraint, and the same sequence said again is heard at another time (and, of a unit without a clock, *measured* at
another time as well), so no constraint on Reading could know it again. What keeps the sequence numbers apart is
therefore HeardSequences: slim, in no partition, never dropped, and written under the same lock in the same transaction.
A repetition stays known even after its reading has gone. Days are keyed by the device's clock, since that is what a
customer's Tuesday is; their key holds the day anyway.

*Nothing is refused for lack of a partition*: each table has a default partition. What it caught moves into the right
partition when that is made, and what is too old is deleted from it.

Locks: making waits only for writers of the default partition; dropping needs the whole table for a moment, so it gives
up after LOCK_TIMEOUT and is tried again at the next call. The registry is never locked: history has no foreign keys.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import OperationalError, connection, transaction

log = logging.getLogger(__name__)

LOCK_TIMEOUT = "3s"


@dataclass(frozen=True)
class Ledger:
    """A partitioned table: each partition holds ``months`` months of ``column``, which is a date or a time in UTC."""

    table: str
    column: str
    months: int
    ahead: int  # months
    fillfactor: int = 100  # room for rows that are written again and again

    @property
    def default(self) -> str:
        return f"{self.table}_default"

    def starts(self, today: date) -> list[date]:
        """The first days of the partitions that must be there: the present one and those ahead."""
        now = _month(today) // self.months
        return [_first_day(period * self.months) for period in range(now, now + self.ahead // self.months + 1)]

    def name(self, start: date) -> str:
        return f"{self.table}_p{start:%Y%m}"

    def end(self, start: date) -> date:
        return _first_day(_month(start) + self.months)

    def start_of(self, partition: str) -> date | None:
        """When a partition begins, by its name; None for the default one."""
        found = re.fullmatch(rf"{self.table}_p(\d{{4}})(\d\d)", partition)
        return date(int(found[1]), int(found[2]), 1) if found else None


READINGS = Ledger("devices_reading", "heard_at", months=1, ahead=3)
DAYS = Ledger("devices_dailyuse", "day", months=12, ahead=12, fillfactor=80)


def keep(now: datetime) -> dict[str, int]:
    """Make the partitions of the time to come and drop what is older than READINGS_KEPT_DAYS and DAYS_KEPT_DAYS.

    Idempotent; each partition is a transaction of its own, so a crash leaves whole ones. What cannot be locked in time
    is left for the next call and logged. Returns how many partitions were made and dropped.
    """
    kept = {READINGS: settings.READINGS_KEPT_DAYS, DAYS: settings.DAYS_KEPT_DAYS}
    made = sum(len(make_ahead(ledger, now)) for ledger in kept)
    dropped = sum(len(drop_before(ledger, now - timedelta(days=days))) for ledger, days in kept.items())
    return {"made": made, "dropped": dropped}


def make_ahead(ledger: Ledger, now: datetime) -> list[str]:
    """Make the partition of this month (or year) and those ahead; the names of the new ones. Idempotent."""
    there = partitions(ledger)
    wanted = [start for start in ledger.starts(now.astimezone(UTC).date()) if ledger.name(start) not in there]
    return [ledger.name(start) for start in wanted if _patiently(_make, ledger, start)]


def drop_before(ledger: Ledger, moment: datetime) -> list[str]:
    """Drop the partitions that end by then, and what is older in the default one; the names of the dropped ones.

    Idempotent. Cannot be undone.
    """
    last_day = moment.astimezone(UTC).date()
    starts = [
        start for name in partitions(ledger) if (start := ledger.start_of(name)) and ledger.end(start) <= last_day
    ]
    dropped = [ledger.name(start) for start in starts if _patiently(_drop, ledger, start)]
    _run(f"DELETE FROM {ledger.default} WHERE {ledger.column} < %s", [_bound(ledger, last_day)])  # noqa: S608 (our names)
    return dropped


def partitions(ledger: Ledger) -> list[str]:
    """The names of the table's partitions, oldest first, the default one among them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::regclass ORDER BY 1",
            [ledger.table],
        )
        return [name for (name,) in cursor.fetchall()]


def _patiently(step: Callable[[Ledger, date], None], ledger: Ledger, start: date) -> bool:
    """One step in a transaction that waits for no lock longer than LOCK_TIMEOUT; False if it has to wait its turn."""
    try:
        with transaction.atomic():
            _run(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            step(ledger, start)
    except OperationalError as error:
        log.warning("history: %s is busy, tried again later (%s)", ledger.name(start), str(error).splitlines()[0])
        return False
    log.info("history: %s %s", step.__name__.strip("_"), ledger.name(start))
    return True


def _make(ledger: Ledger, start: date) -> None:
    """Beside the table first, then attached with what the default partition held for it: writers hardly notice."""
    name, bounds = ledger.name(start), [_bound(ledger, start), _bound(ledger, ledger.end(start))]
    _run(f"LOCK TABLE {ledger.default} IN ACCESS EXCLUSIVE MODE")
    _run(f"CREATE TABLE {name} (LIKE {ledger.table} INCLUDING DEFAULTS) WITH (fillfactor = {ledger.fillfactor})")
    taken = f"DELETE FROM {ledger.default} WHERE {ledger.column} >= %s AND {ledger.column} < %s RETURNING *"  # noqa: S608
    _run(f"WITH taken AS ({taken}) INSERT INTO {name} SELECT * FROM taken", bounds)  # noqa: S608
    _run(f"ALTER TABLE {ledger.table} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", bounds)


def _drop(ledger: Ledger, start: date) -> None:
    _run(f"DROP TABLE {ledger.name(start)}")


def _bound(ledger: Ledger, day: date) -> str:
    """A day as the bound of a partition; said in UTC, whatever the connection's time zone."""
    return f"{day:%Y-%m-%d}" if ledger.column == "day" else f"{day:%Y-%m-%d} 00:00:00+00"


def _run(statement: str, values: list[str] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _month(day: date) -> int:
    return day.year * 12 + day.month - 1


def _first_day(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)
