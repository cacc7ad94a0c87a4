"""What delivery counts as it goes: answers by code, times on the wire, refreshes; many at once, for ever."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, connections
from django.db.models.functions import Now

from skill import counts, delivery, figures
from skill.models import AlexaGrant, AnswerCount, Endpoint
from tests.skill.deeds import deliver_all, make_due, reading

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    cache.delete_many(["skill.figures", "skill.levels"])


def test_answers_times_and_refreshes_are_counted(linked: Any, machine: Any, amazon: Any) -> None:
    AnswerCount.objects.all().delete()
    amazon.script = lambda event: (503, "SERVICE_UNAVAILABLE_EXCEPTION") if len(amazon.attempts) == 1 else None
    AlexaGrant.objects.update(expires_at=Now())
    reading(machine, 50, 1)
    delivery.deliver(5)
    make_due(Endpoint.objects.all())
    deliver_all()
    now = figures.figures()
    assert now.today == now.ever == {"NA": {"ACCEPTED": 1, "SERVICE_UNAVAILABLE_EXCEPTION": 1}, "LWA": {"RENEWED": 1}}
    assert sum(now.wire_today["NA"].values()) == 2
    assert now.wire(0.99) is not None
    assert now.rate.keys() == {"NA", "LWA"}, "the doors that were used"


def test_refreshes_that_fail_are_counted_by_their_cause(linked: Any, machine: Any, amazon: Any) -> None:
    AnswerCount.objects.all().delete()
    amazon.lwa_script = lambda form: (500, {})
    AlexaGrant.objects.update(expires_at=Now())
    reading(machine, 50, 1)
    delivery.deliver(5)
    assert figures.figures().today["LWA"] == {"LwaUnavailable": 1}


def test_workers_that_count_at_once_lose_nothing(db: None) -> None:
    rows = [(door, "answer", code, 1) for door in ("NA", "EU") for code in ("A", "B", "C")]
    ready = threading.Barrier(4)

    def worker(order: int) -> None:
        ready.wait()
        for _ in range(25):
            counts.add(rows[::order])
        connections.close_all()

    workers = [threading.Thread(target=worker, args=(order,)) for order in (1, -1, 1, -1)]
    [one.start() for one in workers]
    [one.join() for one in workers]
    assert set(AnswerCount.objects.values_list("count", flat=True)) == {100}
    assert AnswerCount.objects.count() == 6


def test_old_hours_are_folded_and_the_sums_stay(db: None) -> None:
    counts.add([("NA", "answer", "ACCEPTED", 3)])
    AnswerCount.objects.update(hour=Now() - timedelta(days=32))
    counts.add([("NA", "answer", "ACCEPTED", 4)])
    for _ in range(2):
        counts.fold()
        assert figures.figures().ever == {"NA": {"ACCEPTED": 7}}
        cache.delete("skill.figures")
    assert figures.figures().today == {"NA": {"ACCEPTED": 4}}
    assert AnswerCount.objects.count() == 2


def test_the_backlog_is_told_by_kind(linked: Any, machine: Any, crema: Any, amazon: Any) -> None:
    crema.slots.create(
        slot_id="pods", name="P", sensor="usage", measurement="Count", instance="P", replenishment_id="a"
    )
    reading(machine, 1, 1, slot="pods")
    Endpoint.objects.update(due_at=Now() - timedelta(seconds=100), changed={"description": [1, ""]})
    now = figures.figures()
    assert now.backlog == {"NA": {"announcement": 1, "InventoryConsumed": 1}}
    assert 100 <= now.overdue["NA"] < 130
    assert now.overdue.keys() == {"NA"}


@pytest.mark.parametrize(
    ("seconds", "label"), [(0, "0.025"), (0.025, "0.025"), (0.03, "0.05"), (10, "10"), (10.1, "+Inf")]
)
def test_a_time_is_counted_under_its_upper_bound(seconds: float, label: str) -> None:
    count = counts.Count()
    count.answer("ACCEPTED", seconds)
    assert count.seconds == {label: 1}


def test_nobody_is_behind_by_two_indexes(linked: Any) -> None:
    with connection.cursor() as cursor:
        for name in ("enable_seqscan", "enable_bitmapscan"):
            cursor.execute(f"SET {name} = off")
        for statement in (figures._BEHIND, figures._OVERDUE, figures._BACKLOG):
            cursor.execute("EXPLAIN " + statement)
            plan = "\n".join(row for (row,) in cursor.fetchall())
            assert "Seq Scan on skill_endpoint" not in plan
            assert "Seq Scan on skill_event" not in plan
        cursor.execute("RESET ALL")
