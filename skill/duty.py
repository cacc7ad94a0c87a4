"""The record of the daily duty: two bits a day for the last 31 days, in one integer on the endpoint. Pure.

The lowest two bits are the day of the last accepted report. A day is judged by the gap that ended on it: was more than 24 hours
between two whole inventory reports?
"""

from datetime import datetime, timedelta

DAYS = 31
DAY = timedelta(hours=24)
EXCUSED, ON_TIME, LATE, MISSED = 0, 1, 2, 3  # excused: nothing was owed (not linked, or nothing to report yet)
_MASK = (1 << (2 * DAYS)) - 1


def judge(record: int, last: datetime | None, now: datetime) -> int:
    """The record after a whole report accepted at `now`, `last` being the one before it (None: the first)."""
    if last is None:
        return ON_TIME
    days = min(max((now.date() - last.date()).days, 0), DAYS)
    verdict = ON_TIME if now - last <= DAY else LATE
    if days == 0:
        return record if verdict == ON_TIME else (record & ~3) | LATE
    for _ in range(days - 1):
        record = (record << 2) | MISSED
    return ((record << 2) | verdict) & _MASK


def days(record: int) -> list[int]:
    """The verdicts, newest day first."""
    return [(record >> (2 * day)) & 3 for day in range(DAYS)]
