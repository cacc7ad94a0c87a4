"""The door's pace: a bucket and a breaker that all workers share."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now

from skill import claims, delivery, pace
from skill.models import Endpoint, Gateway
from tests.skill.deeds import deliver_all, make_due, more_machines, reading

pytestmark = pytest.mark.django_db(transaction=True)


def break_it() -> None:
    pace.take("NA", 1)
    pace.learn("NA", failed=pace.FAILURES_TO_OPEN, trouble="no answer or 5xx")


def its_time_has_come() -> None:
    Gateway.objects.update(open_until=Now() - timedelta(seconds=1))


def test_failures_in_a_row_open_the_breaker(db: None) -> None:
    assert pace.take("NA", 2) == 2
    pace.learn("NA", failed=pace.FAILURES_TO_OPEN - 1)
    assert pace.take("NA", 2) == 2
    pace.learn("NA", failed=1, trouble="no answer")
    assert pace.take("NA", 2) == 0
    assert pace.take("EU", 2) == 2


def test_an_answer_in_between_begins_the_count_anew(db: None) -> None:
    for _ in range(5):
        pace.take("NA", 1)
        pace.learn("NA", failed=pace.FAILURES_TO_OPEN - 1)
        pace.learn("NA", answered=1)
    assert pace.take("NA", 2) == 2


def test_one_of_two_workers_probes_and_an_answer_closes_it(db: None) -> None:
    break_it()
    its_time_has_come()
    allowed: list[int] = []
    ready = threading.Barrier(2)

    def worker() -> None:
        ready.wait()
        allowed.append(pace.take("NA", 2))
        connections.close_all()

    workers = [threading.Thread(target=worker) for _ in range(2)]
    [one.start() for one in workers]
    [one.join() for one in workers]
    assert sorted(allowed) == [0, 1]
    assert pace.take("NA", 2) == 0, "the probe is still out"
    pace.learn("NA", answered=1)
    assert pace.take("NA", 2) == 2
    assert Gateway.objects.get(name="NA").trouble == ""


def test_a_probe_that_fails_leaves_it_open(db: None) -> None:
    break_it()
    its_time_has_come()
    assert pace.take("NA", 2) == 1
    pace.learn("NA", failed=1)
    assert pace.take("NA", 2) == 0


def test_a_secret_that_is_wrong_opens_it_at_once(db: None) -> None:
    pace.take("LWA", 1)
    pace.open_at_once("LWA", 60, "invalid_client")
    assert pace.take("LWA", 2) == 0
    assert Gateway.objects.get(name="LWA").trouble == "invalid_client"


def test_the_bucket_empties_and_fills_with_time(db: None, settings: Any) -> None:
    settings.GATEWAY_RATE = 10
    assert pace.take("NA", 30) == 10
    assert pace.take("NA", 30) < 5, "only what the moments between bring"
    pace.give_back("NA", -20)
    Gateway.objects.update(refilled_at=Now() - timedelta(seconds=2.5))
    assert 4 <= pace.take("NA", 30) < 10


@pytest.mark.parametrize(
    ("answered", "throttled", "rate"),
    [
        (100, 0, 80),
        (100, 4, 80),  # a few among many: another customer's trouble
        (3, 4, 80),  # a few prove nothing …
        (0, 1, 40),  # … unless nothing else is answered
        (16, 5, 80),
        (15, 5, 40),
        (300, 99, 80),
        (300, 100, 40),
    ],
)
def test_the_rate_halves_when_a_quarter_is_throttled(
    db: None, settings: Any, answered: int, throttled: int, rate: float
) -> None:
    settings.GATEWAY_RATE = 80
    pace.take("NA", 1)
    pace.learn("NA", answered=answered, throttled=throttled)
    assert Gateway.objects.get().rate == pytest.approx(rate, abs=1)


def test_it_halves_once_a_second_and_creeps_back_by_a_hundredth(db: None, settings: Any) -> None:
    settings.GATEWAY_RATE = 80
    pace.take("NA", 1)
    for _ in range(5):  # many workers hear it at once
        pace.learn("NA", throttled=10)
    assert Gateway.objects.get().rate == pytest.approx(40, abs=1)
    Gateway.objects.update(slowed_at=Now() - timedelta(seconds=2))
    pace.learn("NA", throttled=10)
    assert Gateway.objects.get().rate == pytest.approx(20, abs=1)
    Gateway.objects.update(refilled_at=Now() - timedelta(seconds=10))
    pace.take("NA", 1)
    assert Gateway.objects.get().rate == pytest.approx(28, abs=1)
    Gateway.objects.update(refilled_at=Now() - timedelta(hours=1))
    pace.take("NA", 1)
    assert Gateway.objects.get().rate == pytest.approx(76, abs=1), "an hour without work is no proof"


def test_a_probe_is_one_request_even_for_a_customer_of_many_machines(
    linked: Any, machine: Any, crema: Any, alice: Any, amazon: Any
) -> None:
    more_machines(7, crema, alice)
    deliver_all()
    amazon.attempts.clear()
    for device in alice.devices.all():
        reading(device, 50, 1)
    break_it()
    delivery.deliver(2)
    assert amazon.attempts == []
    assert not Endpoint.objects.exclude(attempts=0).exists(), "an open breaker burns no attempts"
    its_time_has_come()
    amazon.script = lambda event: (503, "SERVICE_UNAVAILABLE_EXCEPTION")
    delivery.deliver(2)
    assert len(amazon.attempts) == 1
    its_time_has_come()
    amazon.script = lambda event: None
    make_due(Endpoint.objects.filter(attempts=1))
    deliver_all()
    assert len(amazon.named("ChangeReport")) == 8


def test_a_breaker_goes_on_saying_that_it_is_open_while_nothing_is_due(linked: Any) -> None:
    break_it()
    its_time_has_come()
    delivery.deliver(2)
    assert Gateway.objects.filter(open_until__gt=Now()).exists()


def test_who_may_not_refresh_does_not_use_up_the_probe(linked: Any, amazon: Any) -> None:
    from skill import renewal

    held = renewal.Credentials(linked.pk, "NA", linked.generation, "Atza|1", fresh=False)
    assert renewal.lease_refreshes([held]) == ["Atzr|1"]
    pace.learn("LWA", failed=pace.FAILURES_TO_OPEN)
    its_time_has_come()
    (answer,) = renewal.lease_refreshes([held])
    assert isinstance(answer, renewal.RefreshElsewhere)
    assert pace.take("LWA", 2) == 1


def test_an_open_breaker_with_much_coming_due_is_no_hot_loop(
    linked: Any, machine: Any, amazon: Any, monkeypatch: Any
) -> None:
    make_due(Endpoint.objects.all())
    looks: list[str] = []
    monkeypatch.setattr(delivery, "LINGER_SECONDS", 1.5)
    monkeypatch.setattr(claims, "next_due_in", lambda: 0.0001)
    monkeypatch.setattr(pace, "take", lambda name, wanted: looks.append(name) or 0)
    delivery.deliver(0.5)
    assert 0 < len(looks) <= 12
