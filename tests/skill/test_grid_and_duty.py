"""When the next report is due, and how the duty is judged: two pure rules, tried on any moment."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from skill import duty, grid

PERIOD, MARGIN = 22 * 3600.0, 3600.0
moments = st.floats(min_value=0, max_value=4e9)
phases = st.floats(min_value=0, max_value=PERIOD, exclude_max=True)


@given(moments, phases)
def test_the_next_instant_is_more_than_the_margin_and_less_than_a_day_ahead(now: float, phase: float) -> None:
    due = grid.next_due(now, phase, PERIOD, MARGIN)
    assert MARGIN - 1e-3 < due - now <= PERIOD + MARGIN + 1e-3 < 24 * 3600
    steps = (due - phase) / PERIOD
    assert abs(steps - round(steps)) < 1e-6


@given(moments, phases, st.lists(st.floats(min_value=0, max_value=1800), min_size=5, max_size=5))
def test_gaps_stay_under_a_day_and_return_to_the_grid_whatever_the_delay(
    now: float, phase: float, delays: list[float]
) -> None:
    for delay in delays:
        reported = grid.next_due(now, phase, PERIOD, MARGIN) + delay
        assert reported - now < 24 * 3600
        now = reported


@pytest.mark.django_db
def test_the_database_says_the_same(settings: Any) -> None:
    cases = [
        (hash((a, b)) % 4_000_000_000 + 0.25, (a * 7919 + b * 104729) % 79200 + 0.5)
        for a in range(20)
        for b in range(20)
    ]
    sql = grid.NEXT_DUE.format(phase="c.phase").replace("now()", "to_timestamp(c.now)")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT c.now, c.phase, extract(epoch FROM {sql}) FROM unnest(%(nows)s::float[], %(phases)s::float[]) AS c(now, phase)",
            {
                "nows": [now for now, _ in cases],
                "phases": [phase for _, phase in cases],
                "period": PERIOD,
                "margin": MARGIN,
            },
        )
        rows = cursor.fetchall()
    assert len(rows) == 400
    for now, phase, due in rows:
        assert float(due) == pytest.approx(grid.next_due(now, phase, PERIOD, MARGIN), abs=1e-3)


def test_customers_are_spread_over_the_period() -> None:
    hours = [0] * 22
    for user in range(2200):
        hours[int(grid.phase(user) // 3600)] += 1
    assert min(hours) > 60
    assert max(hours) < 140


@settings(deadline=None)
@given(st.lists(st.floats(min_value=0.01, max_value=60), min_size=1, max_size=60))
def test_the_record_tells_every_day_of_the_last_31(gaps: list[float]) -> None:
    """Against a plain simulation with a dictionary of days."""
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    record, days = 0, {}
    for hours in gaps:
        last, now = now, now + timedelta(hours=hours)
        record = duty.judge(record, last, now)
        for between in range(1, (now.date() - last.date()).days):
            days[last.date() + timedelta(days=between)] = duty.MISSED
        late = now - last > timedelta(hours=24)
        days[now.date()] = duty.LATE if late else days.get(now.date(), duty.ON_TIME)
        assert 0 <= record < 2**62
    expected = [days.get(now.date() - timedelta(days=age), duty.EXCUSED) for age in range(duty.DAYS)]
    assert duty.days(record, now, now) == expected


@given(st.floats(min_value=0.01, max_value=60 * 24), st.booleans())
def test_the_record_goes_on_though_no_report_ever_comes(hours: float, owed: bool) -> None:
    last = datetime(2026, 1, 1, 12, tzinfo=UTC)
    now = last + timedelta(hours=hours)
    record = duty.judge(0, last - timedelta(hours=1), last)
    verdicts = duty.days(record, last, now, owed)
    ago = (now.date() - last.date()).days
    assert verdicts[ago + 1 :] == [duty.EXCUSED] * max(0, duty.DAYS - ago - 1)
    assert verdicts[ago : ago + 1] == [duty.ON_TIME][: max(0, duty.DAYS - ago)]
    assert set(verdicts[1:ago]) <= {duty.MISSED if owed else duty.EXCUSED}
    if ago:
        assert verdicts[0] == (duty.MISSED if owed and hours > 24 else duty.EXCUSED)
