"""After an outage, after a day without beat, with two beats, after a publication: everybody is told, at a pace, and nobody twice."""

import asyncio
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as site
from django.db import connections
from django.db.models.functions import Now

from devices.models import Device
from devices.signals import endpoint_changed
from portal.celery import app
from skill import delivery, grid, line, pace, tasks, trouble
from skill.models import AlexaGrant, Endpoint, Event, Gateway, Miss
from tests.bench import fleet
from tests.skill.deeds import deliver_all, levels, make_due, pods, reading

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*works: Callable[[], Any]) -> None:
    """Each in a thread with a connection of its own, all begun together."""
    ready, troubles = threading.Barrier(len(works)), []

    def begin(work: Callable[[], Any]) -> None:
        try:
            ready.wait(30)
            work()
        except Exception as error:
            troubles.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=begin, args=[work]) for work in works]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert troubles == []


class TestAnOutage:
    def test_many_workers_that_come_at_once_start_no_more_than_one(self, db: None, settings: Any) -> None:
        settings.GATEWAY_RATE = 50
        pace.take("NA", 0)
        Gateway.objects.update(refilled_at=Now() - timedelta(hours=6))
        taken: list[int] = []
        began = time.monotonic()
        at_once(*[lambda: taken.append(pace.take("NA", 1000))] * 6)
        assert 50 <= sum(taken) <= 51 + 50 * (time.monotonic() - began), "six hours of rest are one second's worth"

    def test_what_was_taken_and_not_started_is_there_for_the_next_one(self, linked: Any, machine: Any) -> None:
        reading(machine, 50, 1)
        delivery._claim("NA", 1000)
        assert Gateway.objects.get(name="NA").allowance > site.GATEWAY_RATE - 10

    def test_the_pace_is_one_of_requests_not_of_machines(
        self, linked: Any, machine: Any, crema: Any, amazon: Any, settings: Any
    ) -> None:
        settings.GATEWAY_RATE = 1
        Gateway.objects.all().delete()
        pods(crema)
        for sequence in range(1, 31):
            reading(machine, 1, sequence, slot="pods")
        deliver_all()
        assert len(amazon.named("InventoryConsumed")) == 30
        owed = Gateway.objects.get(name="NA").allowance
        assert owed < -20
        reading(machine, 50, 1)
        delivery.deliver(0.1)
        assert amazon.named("ChangeReport") == [], "the next ones wait"
        Gateway.objects.update(allowance=1)
        AlexaGrant.objects.update(expires_at=Now())
        amazon.lwa_script = lambda form: (500, {})
        delivery.deliver(0.1)
        assert Endpoint.objects.get().last_code == "LwaUnavailable"
        assert Gateway.objects.get(name="NA").allowance >= 1, "nothing was said to this door"

    def test_one_slice_goes_on_at_the_pace_though_the_bucket_is_empty_now_and_then(
        self, db: None, amazon: Any, settings: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(delivery, "LINGER_SECONDS", 1.5)
        settings.GATEWAY_RATE = 10
        amazon.valid.add("Atza|" + "x" * 400)
        fleet.fill(1, 14)
        fleet.make_due(14, 14)
        delivery.deliver(30)
        assert len(amazon.named("ChangeReport")) == 14

    def test_whoever_has_not_begun_when_the_door_is_shut_does_not_begin(
        self, db: None, amazon: Any, settings: Any, monkeypatch: Any
    ) -> None:
        """Of thirty who were claimed together, those that were asked within a tick have failed; the others lose nothing by it."""
        settings.DELIVERY_CONNECTIONS = 4
        monkeypatch.setattr(pace, "FAILURES_TO_OPEN", 3)
        amazon.valid.add("Atza|" + "x" * 400)

        async def fail(event: Any) -> Any:
            await asyncio.sleep(0.1)
            return 503, "SERVICE_UNAVAILABLE_EXCEPTION"

        amazon.script = fail
        fleet.fill(1, 30)
        fleet.make_due(30, 30)
        delivery.deliver(0.5)
        assert 3 <= len(amazon.attempts) <= 20
        assert Endpoint.objects.filter(attempts=1).count() == len(amazon.attempts)
        assert Endpoint.objects.filter(attempts=0, last_code="", lease=None, due_at__lte=Now()).count() == 30 - len(
            amazon.attempts
        )
        amazon.script = lambda event: None
        Gateway.objects.update(open_until=Now())
        make_due(Endpoint.objects.all())
        deliver_all()
        assert len(amazon.named("ChangeReport")) == 30

    def test_what_came_due_meanwhile_is_told_at_the_pace_and_finds_back_to_its_hours(
        self, db: None, amazon: Any, settings: Any
    ) -> None:
        """Of customers in three neighbourhoods all are due for hours. None stays in step with the others."""
        amazon.valid.add("Atza|" + "x" * 400)
        settings.GATEWAY_RATE = 4
        for first in (1, 1000, 5000):
            fleet.fill(first, first + 2)
        fleet.make_due(5002, 5002)
        began = time.monotonic()
        delivery.deliver(0)
        while not amazon.attempts:
            delivery.deliver(0.01)
        assert len(amazon.attempts) <= 5 + 4 * (time.monotonic() - began), "a second's worth, however many are due"
        while Endpoint.objects.filter(due_at__lte=Now()).exists():
            Gateway.objects.update(refilled_at=Now() - timedelta(hours=1))
            delivery.deliver(0.01)
        told = Counter(event["event"]["endpoint"]["endpointId"] for event in amazon.named("ChangeReport"))
        assert sorted(told.values()) == [1] * 9
        hours = set()
        for endpoint in Endpoint.objects.select_related("grant"):
            steps = (endpoint.due_at.timestamp() - grid.phase(endpoint.grant.user_id)) / site.REPORT_PERIOD
            assert abs(steps - round(steps)) < 1e-5
            hours.add(endpoint.due_at.replace(minute=0, second=0, microsecond=0))
        assert len(hours) == 3

    def test_login_with_amazon_is_not_asked_by_everybody_together(
        self, db: None, amazon: Any, settings: Any, monkeypatch: Any
    ) -> None:
        """A worker takes a thousand customers whose tokens are old; who waits for a turn must not be late before it comes."""
        settings.DELIVERY_CONNECTIONS = 2
        monkeypatch.setattr(line, "PATIENCE_SECONDS", 60)
        asking, most = [0], [0]

        async def slowly(form: dict[str, str]) -> None:
            asking[0] += 1
            most[0] = max(most[0], asking[0])
            await asyncio.sleep(0.01)
            asking[0] -= 1

        amazon.lwa_script = slowly
        fleet.fill(1, 11)
        fleet.make_due(11, 11, expire_tokens=True)
        deliver_all()
        assert len(amazon.named("ChangeReport")) == len(amazon.token_requests) == 11
        assert most == [2]

    def test_an_outage_of_login_with_amazon_does_not_make_the_gateway_wait_an_hour(
        self, linked: Any, machine: Any, amazon: Any
    ) -> None:
        Endpoint.objects.update(attempts=40)
        AlexaGrant.objects.update(expires_at=Now())
        amazon.lwa_script = lambda form: (503, {})
        reading(machine, 41, 1)
        delivery.deliver(5)
        amazon.lwa_script = lambda form: None
        amazon.script = lambda event: (429, "THROTTLING_EXCEPTION")
        Gateway.objects.update(open_until=None, failures=0)
        make_due(Endpoint.objects.all())
        delivery.deliver(5)
        endpoint = Endpoint.objects.annotate(now=Now()).get()
        assert endpoint.last_code == "THROTTLING_EXCEPTION"
        assert endpoint.due_at - endpoint.now < timedelta(minutes=3)

    def test_whoever_failed_together_does_not_come_back_together(self) -> None:
        """Doubling, at most about an hour, never less than Amazon's second, and a quarter earlier or later."""
        random.seed(1)
        for attempts, middle in ((0, 1), (1, 2), (5, 32), (11, 2048), (12, 3600), (1000, 3600)):
            drawn = [trouble.back_off(attempts, 1.0) for _ in range(200)]
            assert max(1, 0.75 * middle) <= min(drawn) < max(drawn) <= 1.25 * middle
            assert max(drawn) - min(drawn) > 0.2 * middle


class TestBeat:
    """What beat rings for in this room, run by hand: the schedule itself says what that is."""

    @pytest.fixture
    def a_day_ago(self, linked: Any, machine: Any, crema: Any, amazon: Any) -> Any:
        """A daily report, a use of a pod and a late level have waited since yesterday, when beat stopped."""
        crema.slots.create(
            slot_id="pods", name="P", sensor="usage", measurement="Count", instance="P", replenishment_id="a"
        )
        reading(machine, 60, 1)
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        amazon.events.clear()
        reading(machine, 55, 2)
        reading(machine, 1, 1, slot="pods")
        day = timedelta(days=1)
        before = {"owed_since": Now() - timedelta(days=3), "reported_at": Now() - timedelta(hours=47)}
        Endpoint.objects.update(due_at=Now() - day, daily_at=Now() - day, not_before=None, **before)
        Event.objects.update(created_at=Now() - day)
        return amazon

    def knocks(self) -> Iterator[Callable[[], Any]]:
        names = {str(entry["task"]) for entry in app.conf.beat_schedule.values()}
        assert tasks.deliver.name in names
        assert tasks.notice_misses.name in names
        return (app.tasks[name] for name in sorted(names) if name.startswith("skill."))

    def run(self) -> None:
        for knock in self.knocks():
            knock()

    def judge(self, amazon: Any) -> None:
        assert [levels(report) for report in amazon.named("ChangeReport")] == [[55]]
        assert len(amazon.named("InventoryConsumed")) == 1
        (miss,) = Miss.objects.all()
        assert miss.reported_at is not None, "late, and reported after all"
        endpoint = Endpoint.objects.annotate(now=Now()).get()
        assert endpoint.now < endpoint.due_at < endpoint.now + timedelta(hours=24)

    def test_it_did_not_run_for_a_day(self, a_day_ago: Any) -> None:
        for _ in range(2):
            self.run()
            deliver_all()
            self.judge(a_day_ago)

    def test_two_of_it(self, a_day_ago: Any) -> None:
        at_once(self.run, self.run)
        deliver_all()
        self.judge(a_day_ago)


class TestAPublication:
    def test_announcements_take_a_quarter_of_the_rate_and_let_readings_pass(
        self, db: None, amazon: Any, settings: Any
    ) -> None:
        settings.GATEWAY_RATE = 100
        fleet.fill(1, 300)
        endpoint_changed.send(sender=Device, device_ids=list(range(1, 301)), what="description", among=300)
        rows = Endpoint.objects.annotate(now=Now()).values_list("due_at", "now")
        seconds = Counter(int((due - now).total_seconds() + 12) for due, now in rows)
        assert sum(seconds.values()) == 300
        assert max(seconds) - min(seconds) >= 11, "300 at 25 a second"
        assert max(seconds.values()) <= 50
        machine = Device.objects.get(pk=Endpoint.objects.latest("due_at").device_id)
        reading(machine, 40, 2)
        held = {"lease": uuid.uuid4(), "leased_until": Now() + timedelta(minutes=1)}
        Endpoint.objects.exclude(device=machine).update(**held)
        deliver_all()
        (report,) = amazon.named("ChangeReport")
        assert levels(report) == [40]
