"""The record of the daily duty: two bits a day for the last 31 days, in one integer on the endpoint. Pure.

The lowest two bits are the day of the last accepted report, or that since which one is owed (Endpoint.owed_since) while there is none
since. A day is judged by the gap that ended on it: was more than 24 hours between two whole inventory reports, or before the first?
"""

from datetime import datetime, timedelta

DAYS = 31
DAY = timedelta(hours=24)
# Excused: nothing was owed (no link, or no level that Alexa knows, or for less than a day).
EXCUSED, ON_TIME, LATE, MISSED = 0, 1, 2, 3
_MASK = (1 << (2 * DAYS)) - 1


def judge(record: int, last: datetime, now: datetime) -> int:
    """The record after a whole report accepted at `now`; `last`: the one before it, or the link if this is the first."""
    passed = _days_between(last, now)
    if passed == 0:
        return record if record & 3 else record | ON_TIME
    return _later(record, passed - 1, MISSED) << 2 & _MASK | (ON_TIME if now - last <= DAY else LATE)


def excuse(record: int, last: datetime, now: datetime) -> int:
    """The record at `now` where nothing has been owed since `last`."""
    return _later(record, _days_between(last, now), EXCUSED)


def days(record: int, last: datetime, now: datetime, owed: bool = True) -> list[int]:
    """The verdicts of the last 31 days as they stand at `now`, newest day first, reported again or not.

    `last`: the last whole report, or the link if there is none; `owed`: is a report a day still owed?
    """
    passed = _days_between(last, now)
    if passed:
        record = _later(record, passed - 1, MISSED if owed else EXCUSED) << 2
        record |= MISSED if owed and now - last > DAY else EXCUSED
    return [(record >> (2 * day)) & 3 for day in range(DAYS)]


def _days_between(last: datetime, now: datetime) -> int:
    return min(max((now.date() - last.date()).days, 0), DAYS + 1)


def _later(record: int, passed: int, verdict: int) -> int:
    for _ in range(passed):
        record = (record << 2) & _MASK | verdict
    return record
