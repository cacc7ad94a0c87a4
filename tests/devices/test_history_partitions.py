"""The history in partitions: made ahead, dropped in time, and a sequence number is known whatever time it claims."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from django.db import connection, transaction

from devices import history
from devices.history import DAYS, READINGS
from devices.inventory import Measurement, record_reading
from devices.models import DailyUse, Device, Reading
from devices.tasks import keep_history

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LATER = datetime(2041, 3, 31, 23, 30, tzinfo=UTC)  # no partition has been made for then


def beans(sequence: int, value: str = "50", at: datetime | None = NOW, epoch: int = 0) -> Measurement:
    return Measurement("beans", sequence, Decimal(value), at, epoch)


def said(device: Device, measurement: Measurement, heard_at: datetime) -> str:
    [outcome] = record_reading(device, [measurement], heard_at)
    return outcome.status


def where(row: Reading | DailyUse) -> str:
    """The partition in which a row lies."""
    table, key = row._meta.db_table, "id = %s" if isinstance(row, Reading) else "day = %s"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass::text FROM {table} WHERE {key}", [getattr(row, key.split()[0])])
        return cursor.fetchone()[0]


def test_a_repeated_sequence_with_another_time_is_still_known(machine: Device) -> None:
    """The trap: each of these falls into another partition, where no constraint would find the first one."""
    claims, months = [None, NOW - timedelta(days=80), NOW + timedelta(days=60)], [0, 3, 30]
    for epoch, (claimed, months_later) in enumerate(product(claims, months)):
        heard_again, case = NOW + timedelta(days=62 + 30 * months_later), (claimed, months_later)
        assert said(machine, beans(17, epoch=epoch), NOW) == "recorded", case
        assert said(machine, beans(17, at=claimed, epoch=epoch), heard_again) == "already known", case
        assert said(machine, beans(18, epoch=epoch), heard_again) == "recorded", case
        assert said(machine, beans(17, at=claimed, epoch=epoch), heard_again) == "already known", case
        assert Reading.objects.filter(sequence=17, epoch=epoch).count() == 1, case


def test_it_is_known_even_when_its_month_has_been_dropped(machine: Device) -> None:
    said(machine, beans(17), NOW)
    said(machine, beans(18), NOW)
    history.drop_before(READINGS, NOW + timedelta(days=60))
    assert not Reading.objects.exists()
    [again] = record_reading(machine, [beans(17, "12")], NOW + timedelta(days=60))
    assert (again.status, again.reason) == ("already known", "")
    assert said(machine, beans(16), NOW + timedelta(days=60)) == "recorded"


def test_every_possible_sequence_is_told_from_its_neighbours(machine: Device) -> None:
    """64 of them share a row, and the 64th bit is PostgreSQL's sign."""
    for epoch, sequence in enumerate([0, 63, 64, 127, 2**62, 2**63 - 64, 2**63 - 1]):
        near = [n for n in (sequence, sequence - 1, sequence + 1, sequence - 64, sequence + 64) if 0 <= n < 2**63]
        for n in near:
            assert said(machine, beans(n, epoch=epoch), NOW) == "recorded", (n, sequence)
        for n in near:
            assert said(machine, beans(n, epoch=epoch), NOW) == "already known", (n, sequence)
        assert said(machine, beans(sequence, epoch=100 + epoch), NOW) == "recorded", sequence


def test_a_reading_lies_in_the_month_in_which_it_was_heard(machine: Device) -> None:
    month = history.make_ahead(READINGS, LATER)
    assert month == [f"devices_reading_p2041{number:02d}" for number in (3, 4, 5, 6)]
    assert history.make_ahead(READINGS, LATER) == []
    said(machine, beans(1, at=NOW), LATER)
    said(machine, beans(2, at=NOW), LATER + timedelta(minutes=30))
    assert [where(row) for row in Reading.objects.order_by("sequence")] == month[:2]


def test_a_new_database_has_the_partitions_of_the_time_to_come() -> None:
    now = datetime.now(UTC)
    assert history.make_ahead(READINGS, now) == history.make_ahead(DAYS, now) == []


def test_without_a_partition_nothing_is_refused_and_it_moves_when_there_is_one(machine: Device) -> None:
    said(machine, beans(1, at=LATER), LATER)
    reading, day = Reading.objects.get(), DailyUse.objects.get()
    assert (where(reading), where(day)) == ("devices_reading_default", "devices_dailyuse_default")

    history.keep(LATER)
    assert (where(reading), where(day)) == ("devices_reading_p204103", "devices_dailyuse_p204101")
    assert Reading.objects.get() == reading
    assert said(machine, beans(1, at=LATER), LATER) == "already known"
    assert said(machine, beans(2, at=LATER), LATER) == "recorded"


def test_a_unit_that_lives_in_2001_is_recorded_in_our_month(machine: Device) -> None:
    history.make_ahead(READINGS, LATER)
    assert said(machine, beans(1, at=datetime(2001, 1, 1, tzinfo=UTC)), LATER) == "recorded"
    assert where(Reading.objects.get()) == "devices_reading_p204103"


def test_a_month_is_dropped_when_all_of_it_is_too_old(machine: Device) -> None:
    history.make_ahead(READINGS, LATER)
    for sequence, days in enumerate((0, 1, 40)):
        said(machine, beans(sequence), LATER + timedelta(days=days))
    assert "devices_reading_p204103" not in history.drop_before(READINGS, LATER)
    assert Reading.objects.count() == 3
    assert "devices_reading_p204103" in history.drop_before(READINGS, LATER + timedelta(days=1))
    assert list(Reading.objects.order_by("sequence").values_list("sequence", flat=True)) == [1, 2]
    assert history.drop_before(READINGS, LATER + timedelta(days=1)) == []


def test_what_the_default_partition_caught_is_dropped_as_well(machine: Device) -> None:
    said(machine, beans(1), LATER)
    said(machine, beans(2), LATER + timedelta(days=2))
    history.drop_before(READINGS, LATER + timedelta(days=1))
    assert [row.sequence for row in Reading.objects.all()] == [2]


def test_readings_go_sooner_than_days(machine: Device, settings: Any) -> None:
    settings.READINGS_KEPT_DAYS, settings.DAYS_KEPT_DAYS = 400, 3660
    said(machine, beans(1), NOW)
    history.keep(NOW + timedelta(days=450))
    assert not Reading.objects.exists()
    assert DailyUse.objects.get().last == 50
    history.keep(NOW + timedelta(days=3660 + 370))
    assert not DailyUse.objects.exists()


def test_the_task_makes_what_is_missing_and_keeps_the_rest(machine: Device) -> None:
    said(machine, beans(1), NOW)
    keep_history()
    assert keep_history() == {"made": 0, "dropped": 0}
    assert Reading.objects.count() == 1


def test_dropping_never_waits_long_and_is_made_up_for(
    transactional_db: None, machine: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody reads the history for a long time; the sweep gives up instead of holding up every device behind it."""
    import threading

    monkeypatch.setattr(history, "LOCK_TIMEOUT", "100ms")
    long_ago = datetime(1999, 5, 5, tzinfo=UTC)
    history._patiently(history._make, READINGS, long_ago.date().replace(day=1))
    reading, finish = threading.Event(), threading.Event()

    def read_for_long() -> None:
        with transaction.atomic():
            list(Reading.objects.all())
            reading.set()
            finish.wait(10)
        connection.close()

    reader = threading.Thread(target=read_for_long)
    reader.start()
    assert reading.wait(10)
    assert history.drop_before(READINGS, long_ago + timedelta(days=60)) == []
    assert said(machine, beans(1), NOW) == "recorded"
    finish.set()
    reader.join()
    assert history.drop_before(READINGS, long_ago + timedelta(days=60)) == ["devices_reading_p199905"]
