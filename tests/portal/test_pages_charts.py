"""How a level went, drawn: pure arithmetic from readings to coordinates."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from portal.charts import MOST_ROWS, Point, step_chart

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FULL = Decimal(100)
LOW = Decimal(20)


def beans(*readings: tuple[int, str]) -> list[Point]:
    """(hours ago, percent) as points."""
    return [Point(NOON - timedelta(hours=hours), Decimal(percent)) for hours, percent in readings]


def test_a_level_holds_until_the_next_reading_says_otherwise() -> None:
    chart = step_chart(beans((10, "80"), (5, "50"), (0, "10")), NOON, FULL, LOW)
    assert chart is not None
    assert chart.line == "M0 40H500V100H1000V180H1000"
    assert chart.area == "M0 40H500V100H1000V180H1000V200H0Z"
    assert chart.dot == "M1000 180h0"
    assert chart.threshold == "160"
    assert chart.grid == ["0", "50", "100", "150", "200"]
    assert chart.y_labels == [100, 75, 50, 25, 0]


def test_the_order_in_which_readings_come_does_not_matter() -> None:
    points = beans((10, "80"), (5, "50"), (0, "10"))
    assert step_chart(reversed(points), NOON, FULL) == step_chart(points, NOON, FULL)


def test_nothing_is_drawn_of_nothing() -> None:
    assert step_chart([], NOON, FULL) is None


def test_one_reading_just_now_is_a_line_of_an_hour() -> None:
    chart = step_chart(beans((0, "42")), NOON, FULL)
    assert chart is not None
    assert chart.line == "M1000 116H1000"
    assert chart.x_labels[0] == NOON - timedelta(hours=1)
    assert chart.x_labels[-1] == NOON


def test_a_reading_from_the_future_is_drawn_at_now() -> None:
    chart = step_chart(beans((10, "80"), (-1, "50")), NOON, FULL)
    assert chart is not None
    assert chart.line.endswith("H1000V100H1000")
    assert chart.last.at == NOON


def test_more_than_full_raises_the_scale_instead_of_leaving_the_picture() -> None:
    chart = step_chart(beans((10, "30"), (0, "60")), NOON, Decimal(50), Decimal(10))
    assert chart is not None
    assert chart.y_labels[0] == 60
    assert chart.line == "M0 100H1000V0H1000"


def test_an_unknown_capacity_and_nothing_left_is_still_a_chart() -> None:
    chart = step_chart(beans((10, "0"), (0, "0")), NOON, Decimal(0))
    assert chart is not None
    assert chart.line == "M0 200H1000V200H1000"
    assert chart.threshold is None


def test_what_a_screen_reader_is_told() -> None:
    chart = step_chart(beans((10, "80"), (5, "8"), (0, "95")), NOON, FULL)
    assert chart is not None
    assert (chart.first.value, chart.lowest.value, chart.last.value) == (80, 8, 95)


def test_a_short_time_has_clock_labels_and_every_reading_in_the_table() -> None:
    chart = step_chart(beans((10, "80"), (5, "50"), (0, "10")), NOON, FULL)
    assert chart is not None
    assert chart.pace == "clock"
    assert [row.value for row in chart.rows] == [10, 50, 80]


def test_a_month_has_day_labels_and_the_last_reading_of_each_day_in_the_table() -> None:
    chart = step_chart(beans(*[(hours, str(hours % 100)) for hours in range(0, 720, 6)]), NOON, FULL)
    assert chart is not None
    assert chart.pace == "day"
    assert len(chart.rows) == 31 == MOST_ROWS
    assert chart.rows[0] == Point(NOON, Decimal(0))
    assert len({row.at.date() for row in chart.rows}) == len(chart.rows)
    assert chart.rows[1].at == datetime(2026, 11, 20, 18, tzinfo=UTC)
