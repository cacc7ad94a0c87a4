"""The proof of the daily duty: what is missed is noted once, with its reason, whether or not a report is ever accepted again."""

import asyncio
import itertools
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from django.utils import timezone

from devices import registry
from skill import claims, delivery, duty, gateway, jobs, linking, misses, outbox, tasks
from skill.models import AlexaGrant, Endpoint, Gateway, Miss
from tests.bench import fleet
from tests.skill.deeds import deliver_all, make_due, reading

pytestmark = pytest.mark.django_db(transaction=True)


def last_report(hours: float) -> None:
    """Everything that Alexa was told was told so many hours ago; the next report has been due since, or is put off."""
    ago = Now() - timedelta(hours=hours)
    Endpoint.objects.update(owed_since=ago, reported_at=ago, daily_at=ago + timedelta(hours=22), due_at=Now())


@pytest.fixture
def reported(linked: Any, machine: Any, amazon: Any) -> Endpoint:
    """Alice's coffee machine, reported just now."""
    reading(machine, 50, 1)
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    amazon.events.clear()
    return Endpoint.objects.get()


def noted() -> list[tuple[str, str, str]]:
    return list(Miss.objects.order_by("deadline_at").values_list("sensor", "reason", "code"))


def test_a_day_without_a_report_is_noted_once_though_no_report_ever_comes(reported: Endpoint) -> None:
    last_report(23.9)
    assert misses.notice_all() == 0, "the day is kept"
    last_report(25)
    assert misses.notice_all() == 1
    assert misses.notice_all() == 0
    assert noted() == [("Beans.Hopper", "late", "")]
    miss = Miss.objects.get()
    assert abs(miss.deadline_at - (reported.reported_at - timedelta(hours=1))) < timedelta(minutes=1)
    assert (miss.endpoint, miss.region, miss.reported_at) == (reported, "NA", None)


def test_every_further_day_is_another_row(reported: Endpoint) -> None:
    last_report(25)
    misses.notice_all()
    last_report(49.5)
    Endpoint.objects.update(missed_at=Now() - timedelta(hours=25.5))
    misses.notice_all()
    assert Miss.objects.count() == 2


def test_days_that_passed_while_nobody_looked_are_noted_all_the_same(reported: Endpoint) -> None:
    last_report(24 * 3 + 1)
    misses.notice_all()
    days = list(Miss.objects.order_by("deadline_at").values_list("deadline_at", flat=True))
    assert len(days) == 3
    assert {later - earlier for earlier, later in itertools.pairwise(days)} == {timedelta(hours=24)}
    assert Endpoint.objects.get().missed_at == days[-1]
    assert misses.notice_all() == 0


def test_a_year_of_silence_is_31_rows_not_365(reported: Endpoint) -> None:
    last_report(24 * 365)
    misses.notice_all()
    assert Miss.objects.count() in (31, 32)


def test_the_report_that_comes_too_late_notes_the_day_itself_and_ends_it(
    reported: Endpoint, machine: Any, amazon: Any
) -> None:
    """No sweep looked between."""
    last_report(25)
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    miss = Miss.objects.get()
    endpoint = Endpoint.objects.get()
    assert miss.reported_at == endpoint.reported_at
    assert endpoint.missed_at is None
    assert duty.days(endpoint.duty, endpoint.reported_at, timezone.now())[0] == duty.LATE
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    assert Miss.objects.count() == 1


def test_a_report_on_time_costs_no_statement_more(reported: Endpoint, django_assert_num_queries: Any) -> None:
    make_due(Endpoint.objects.all(), daily=True)
    ((_, (job,)),) = jobs.load(claims.claim("NA", 10)).values()
    with django_assert_num_queries(1):
        claims.settle([claims.Outcome(job, reported=True, whole=True)])


def test_a_talk_over_midnight_is_judged_by_the_day_on_which_it_ended(reported: Endpoint) -> None:
    """As if it had taken a day, so that there is a midnight in it whenever this test runs."""
    before = reported.reported_at - timedelta(hours=25)
    Endpoint.objects.update(owed_since=before, reported_at=before)
    make_due(Endpoint.objects.all(), daily=True)
    ((_, (job,)),) = jobs.load(claims.claim("NA", 10)).values()
    job.read_at -= timedelta(hours=24.5)
    job.loaded_at -= 24.5 * 3600
    assert claims.settle([claims.Outcome(job, reported=True, whole=True)]) == 1
    endpoint = Endpoint.objects.get()
    assert endpoint.reported_at > reported.reported_at
    assert endpoint.duty == duty.judge(reported.duty, before, endpoint.reported_at)


class TestReasons:
    def test_no_reading_yet(self, linked: Any, machine: Any, amazon: Any) -> None:
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        assert Endpoint.objects.get().silent_since is not None
        assert misses.notice_all() == 0, "it has a day"
        long_ago = Now() - timedelta(hours=25)
        Endpoint.objects.update(owed_since=long_ago, silent_since=long_ago)
        misses.notice_all()
        assert noted() == [("Beans.Hopper", "no_reading", "")]
        reading(machine, 50, 1)
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        assert Miss.objects.get().reported_at is not None
        assert Endpoint.objects.get().silent_since is None

    def test_one_sensor_of_two_without_a_reading(self, reported: Endpoint, machine: Any, crema: Any) -> None:
        """Published since; it has a day from when a report first left it out."""
        crema.slots.create(
            slot_id="milk", name="M", sensor="level", measurement="Percentage", instance="Milk", replenishment_id="a"
        )
        for hours in (0, 25):
            make_due(Endpoint.objects.all(), daily=True)
            deliver_all()
            Endpoint.objects.filter(silent_since__isnull=False).update(silent_since=Now() - timedelta(hours=hours))
            misses.notice_all()
        assert noted() == [("Milk", "no_reading", "")]
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        assert Miss.objects.get().reported_at is None, "the beans were reported, the milk was not"
        reading(machine, 10, 1, slot="milk")
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        assert Miss.objects.get().reported_at is not None

    def test_a_level_that_changed_does_not_hide_the_sensor_without_a_reading(
        self, reported: Endpoint, machine: Any, crema: Any
    ) -> None:
        crema.slots.create(
            slot_id="milk", name="M", sensor="level", measurement="Percentage", instance="Milk", replenishment_id="a"
        )
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        Endpoint.objects.update(silent_since=(since := timezone.now() - timedelta(hours=25)))
        misses.notice_all()
        reading(machine, 40, 2)
        deliver_all()
        endpoint = Endpoint.objects.get()
        assert endpoint.reported_at > reported.reported_at, "all the levels that there are"
        assert endpoint.silent_since == since
        assert Miss.objects.get().reported_at is None

    def test_a_sensor_without_a_reading_does_not_hide_the_late_ones(self, reported: Endpoint, crema: Any) -> None:
        crema.slots.create(
            slot_id="milk", name="M", sensor="level", measurement="Percentage", instance="Milk", replenishment_id="a"
        )
        Endpoint.objects.update(silent_since=Now() - timedelta(hours=26))
        assert misses.notice_all() == 1
        last_report(25)
        assert misses.notice_all() == 1
        assert misses.notice_all() == 0
        assert noted() == [("Milk", "no_reading", ""), ("Beans.Hopper", "late", "")]
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        assert set(Miss.objects.filter(reported_at=None).values_list("sensor", flat=True)) == {"Milk"}
        Endpoint.objects.update(silent_missed_at=Now() - timedelta(hours=24.5))
        assert misses.notice_all() == 1
        assert [sensor for sensor, _, _ in noted()] == ["Milk", "Beans.Hopper", "Milk"]

    def test_what_is_accepted_besides_does_not_hide_that_the_daily_report_was_refused(
        self, reported: Endpoint, machine: Any, amazon: Any
    ) -> None:
        amazon.script = lambda event: (400, "INVALID_REQUEST_EXCEPTION")
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        amazon.script = lambda event: None
        outbox.mark_changed([machine.pk], {"connectivity": "APP_INTERACTION"})
        deliver_all()
        assert len(amazon.named("ChangeReport")) == 1
        last_report(25)
        Endpoint.objects.update(due_at=Now() + timedelta(hours=20))
        assert misses.notice_all() == 1
        assert noted() == [("Beans.Hopper", "refused", "INVALID_REQUEST_EXCEPTION")]
        reading(machine, 20, 2)
        make_due(Endpoint.objects.all())
        deliver_all()
        assert Endpoint.objects.get().last_code == "", "every level was accepted"

    def test_a_passing_failure_does_not_hide_it_either(self, reported: Endpoint, machine: Any, amazon: Any) -> None:
        amazon.script = lambda event: (400, "INVALID_REQUEST_EXCEPTION")
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        for answer in ((503, "SERVICE_UNAVAILABLE_EXCEPTION"), None):
            amazon.script = lambda event, answer=answer: answer
            outbox.mark_changed([machine.pk], {"connectivity": "APP_INTERACTION"})
            make_due(Endpoint.objects.all())
            delivery.deliver(5)
            endpoint = Endpoint.objects.get()
            assert (endpoint.last_code, endpoint.attempts) == ("INVALID_REQUEST_EXCEPTION", 1 if answer else 0)
        assert len(amazon.named("ChangeReport")) == 1
        last_report(25)
        amazon.script = lambda event: (503, "SERVICE_UNAVAILABLE_EXCEPTION")
        delivery.deliver(5)
        assert Endpoint.objects.get().last_code == "SERVICE_UNAVAILABLE_EXCEPTION", "that is the next daily report"
        amazon.script = lambda event: None
        make_due(Endpoint.objects.all())
        deliver_all()
        assert (Endpoint.objects.get().last_code, Endpoint.objects.get().refused) == ("", False)

    def test_what_was_given_back_does_not_hide_what_failed_before(
        self, reported: Endpoint, machine: Any, amazon: Any, monkeypatch: Any
    ) -> None:
        """The announcement had its answer so late that there was no time left for the report."""
        monkeypatch.setattr(claims, "LEASE_SECONDS", gateway.TIMEOUT_SECONDS + 5 + 1)

        async def late(event: Any) -> Any:
            await asyncio.sleep(1.1)
            return 503, "SERVICE_UNAVAILABLE_EXCEPTION"

        amazon.script = late
        registry.rename(machine, "Kitchen espresso")
        make_due(Endpoint.objects.all(), daily=True)
        delivery.deliver(1)
        endpoint = Endpoint.objects.get()
        assert (endpoint.last_code, endpoint.attempts) == ("SERVICE_UNAVAILABLE_EXCEPTION", 1)

    def test_amazon_refuses_every_report(self, reported: Endpoint, amazon: Any) -> None:
        """The daily report is done with until the next instant of the grid; it is missed all the same."""
        amazon.script = lambda event: (400, "INVALID_REQUEST_EXCEPTION")
        last_report(25)
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        assert Endpoint.objects.annotate(now=Now()).get().due_at > timezone.now()
        assert misses.notice_all() == 1
        assert noted() == [("Beans.Hopper", "refused", "INVALID_REQUEST_EXCEPTION")]
        assert Miss.objects.get().text == "told so"

    def test_the_gateway_is_down_and_nobody_is_even_tried(self, reported: Endpoint) -> None:
        last_report(25)
        Gateway.objects.update_or_create(name="NA", defaults={"open_until": Now(), "trouble": "no answer or 5xx"})
        misses.notice_all()
        assert noted() == [("Beans.Hopper", "refused", "")]
        assert Miss.objects.get().text == "no answer or 5xx"

    def test_the_link_is_broken(self, reported: Endpoint, amazon: Any) -> None:
        AlexaGrant.objects.update(expires_at=Now())
        amazon.lwa_script = lambda form: (400, {"error": "unsupported_grant_type"})
        last_report(25)
        make_due(Endpoint.objects.all(), daily=True)
        delivery.deliver(5)
        misses.notice_all()
        assert noted() == [("Beans.Hopper", "link", "RequestRejected")]

    def test_a_bug_of_ours_is_ours(self, reported: Endpoint) -> None:
        last_report(25)
        Endpoint.objects.update(last_code="OUR_BUG", last_text="ZeroDivisionError", due_at=Now() + timedelta(hours=1))
        misses.notice_all()
        assert noted() == [("Beans.Hopper", "late", "OUR_BUG")]


def test_who_has_no_level_or_is_not_linked_is_owed_nothing(reported: Endpoint, crema: Any) -> None:
    last_report(25)
    crema.slots.update(sensor="usage")
    assert misses.notice_all() == 0
    crema.slots.update(sensor="level")
    linking.close(reported.grant_id, reported.grant.generation, "Amazon: the customer disabled the skill")
    assert misses.notice_all() == 0
    assert not Miss.objects.exists()


def test_sweeps_and_late_reports_at_once_note_it_once(reported: Endpoint, amazon: Any) -> None:
    last_report(25)
    make_due(Endpoint.objects.all(), daily=True)
    ready = threading.Barrier(5)
    broken: list[Exception] = []

    def at_once(what: Any) -> None:
        ready.wait()
        try:
            what()
        except Exception as error:
            broken.append(error)
        connections.close_all()

    threads = [threading.Thread(target=at_once, args=(misses.notice_all,)) for _ in range(4)]
    [thread.start() for thread in threads]
    at_once(lambda: delivery.deliver(5))
    [thread.join() for thread in threads]
    assert broken == []
    assert Miss.objects.count() == 1


def test_the_sweep_looks_at_few_rows_among_many() -> None:
    """By two indexes of what can be missed: among thousands at rest, a walk through all of them is dearer."""
    fleet.fill(1, 3_000)
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + misses._IN_ARREARS)
        plan = "\n".join(row for (row,) in cursor.fetchall())
    assert "endpoint_due" in plan
    assert "endpoint_in_trouble" in plan
    assert "Seq Scan" not in plan
    assert "pkey" not in plan


def test_old_rows_go_and_an_endpoint_with_a_proof_is_kept_until_the_proof_is_old(reported: Endpoint) -> None:
    last_report(25)
    misses.notice_all()
    Endpoint.objects.update(wanted=False, due_at=None)
    old = Now() - timedelta(days=93)
    Miss.objects.create(endpoint=reported, region="NA", sensor="B", deadline_at=old, reason="late")
    tasks.tidy()
    assert Miss.objects.get().sensor == "Beans.Hopper"
    assert Endpoint.objects.exists()
    Miss.objects.update(deadline_at=old)
    tasks.tidy()
    assert not Endpoint.objects.exists()
