"""What goes wrong on our own side: a bug about one endpoint, a lost database, a lost key, strange words of Amazon's. It stays there."""

import asyncio
import logging
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection
from django.db.models.functions import Now

from skill import claims, database, delivery, jobs, linking, speech, tasks
from skill.models import AlexaGrant, Endpoint, Event, Gateway
from tests.people import owned
from tests.skill.deeds import deliver_all, known, make_due, more_machines, reading

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bobs(linked: Any, bob: Any, crema: Any, amazon: Any, court: Any) -> Any:
    """Bob's coffee machine, linked too, at rest."""
    device = owned(bob, crema, "CRM20-0002")
    known(device, amazon, court)
    return device


def told(amazon: Any) -> set[str]:
    return {event["event"]["endpoint"]["endpointId"] for event in amazon.named("ChangeReport")}


def pods(crema: Any) -> None:
    crema.slots.create(
        slot_id="pods", name="P", sensor="usage", measurement="Count", instance="P", replenishment_id="a"
    )


def test_a_bug_about_one_endpoint_stops_only_that_endpoint(
    machine: Any, bobs: Any, amazon: Any, monkeypatch: Any, caplog: Any
) -> None:
    properties = speech.endpoints.properties

    def buggy(device: Any) -> Any:
        if device.pk == machine.pk:
            raise ZeroDivisionError("we did not think of this")
        return properties(device)

    monkeypatch.setattr(speech.endpoints, "properties", buggy)
    reading(machine, 20, 1)
    reading(bobs, 30, 1)
    with caplog.at_level(logging.ERROR):
        delivery.deliver(5)
    assert told(amazon) == {str(bobs.ownership)}
    endpoint = Endpoint.objects.annotate(now=Now()).get(device=machine)
    assert (endpoint.last_code, endpoint.attempts, endpoint.lease) == ("OUR_BUG", 1, None)
    assert endpoint.due_at - endpoint.now > timedelta(seconds=30)
    assert [str(machine.ownership) in record.message for record in caplog.records] == [True]
    monkeypatch.undo()
    make_due(Endpoint.objects.all())
    deliver_all()
    assert told(amazon) == {str(bobs.ownership), str(machine.ownership)}


def test_an_outcome_that_cannot_be_stored_does_not_undo_the_others(
    machine: Any, bobs: Any, amazon: Any, monkeypatch: Any
) -> None:
    settle = claims.settle

    def picky(outcomes: Any) -> int:
        if any(outcome.job.device.pk == machine.pk for outcome in outcomes):
            raise DataError("this one")
        return settle(outcomes)

    monkeypatch.setattr(claims, "settle", picky)
    reading(machine, 20, 1)
    reading(bobs, 30, 1)
    delivery.deliver(5)
    assert Endpoint.objects.get(device=bobs).reported_at is not None
    assert Endpoint.objects.get(device=machine).lease is not None


def test_amazons_words_may_be_anything(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.script = lambda event: (400, "BAD\x00\ud800" + "X" * 200)
    reading(machine, 20, 1)
    deliver_all()
    endpoint = Endpoint.objects.get()
    assert endpoint.last_code.startswith("BAD")
    assert len(endpoint.last_code) == 64
    assert endpoint.lease is None


def test_login_with_amazons_words_may_be_anything(linked: Any, machine: Any, amazon: Any) -> None:
    AlexaGrant.objects.update(expires_at=Now())
    amazon.lwa_script = lambda form: (400, {"error": "strange\x00", "error_description": "\ud800\n" * 900})
    reading(machine, 20, 1)
    delivery.deliver(5)
    grant = AlexaGrant.objects.get()
    assert grant.state == "active"
    assert grant.trouble.startswith("strange")
    assert Gateway.objects.get(name="LWA").failures == 0, "a refusal of one link is no outage of Login with Amazon"


def test_any_life_of_a_token(linked: Any, machine: Any, amazon: Any) -> None:
    for number, seconds in enumerate([10**30, -5, "soon", None, "1800"], 1):
        AlexaGrant.objects.update(expires_at=Now())
        amazon.lwa_script = lambda form, seconds=seconds: (200, amazon.tokens() | {"expires_in": seconds})
        reading(machine, 20 - number, number)
        deliver_all()
        assert len(amazon.named("ChangeReport")) == len(amazon.token_requests) == number, seconds


def test_a_token_that_no_key_opens_stops_only_its_own_link(machine: Any, bobs: Any, amazon: Any, alice: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE skill_alexagrant SET access_token = 'x', refresh_token = 'y' WHERE user_id = %s", [alice.pk]
        )
    reading(machine, 20, 1)
    reading(bobs, 30, 1)
    delivery.deliver(5)
    assert told(amazon) == {str(bobs.ownership)}
    assert Endpoint.objects.get(device=machine).last_code == "TokensLost"
    linking.accept_grant(alice, "code-again", "NA")
    make_due(Endpoint.objects.all())
    deliver_all()
    assert told(amazon) == {str(bobs.ownership), str(machine.ownership)}
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE skill_alexagrant SET access_token = 'x', refresh_token = 'y' WHERE user_id = %s", [alice.pk]
        )
    linking.unlink(alice)
    AlexaGrant.objects.filter(user=alice).update(closing_until=Now() - timedelta(seconds=1))
    assert linking.finish_closing() == 1


def test_a_broken_connection_to_the_database_is_not_kept(
    linked: Any, machine: Any, amazon: Any, monkeypatch: Any
) -> None:
    """The slice that meets it ends; the next one has another connection."""
    settle = claims.settle

    def cut(outcomes: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return settle(outcomes)

    monkeypatch.setattr(claims, "settle", cut)
    monkeypatch.setattr(database, "RECONNECT_SECONDS", 0.5)
    reading(machine, 20, 1)
    with pytest.raises(OperationalError):
        delivery.deliver(5)
    monkeypatch.undo()
    Endpoint.objects.update(leased_until=Now() - timedelta(seconds=1))
    deliver_all()
    assert len(amazon.named("ChangeReport")) == 2


def test_a_connection_is_kept_from_slice_to_slice_and_one_that_was_ended_in_between_is_replaced(
    linked: Any, machine: Any, amazon: Any, monkeypatch: Any, caplog: Any
) -> None:
    spoken: list[int] = []
    settle = claims.settle

    def noted(outcomes: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            spoken.append(cursor.fetchone()[0])
        return settle(outcomes)

    monkeypatch.setattr(claims, "settle", noted)
    for sequence, value in enumerate((20, 19, 18)):
        reading(machine, value, sequence)
        make_due(Endpoint.objects.all())
        if sequence == 2:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", [spoken[-1]])
        delivery.deliver(5)
    first, second, third = spoken
    assert first == second != third
    assert len(amazon.named("ChangeReport")) == 3
    assert "asked the database again" not in caplog.text


def test_the_task_says_in_one_line_that_the_database_is_gone(monkeypatch: Any, caplog: Any) -> None:
    def gone(*arguments: Any) -> Any:
        raise OperationalError("the server closed the connection\nunexpectedly")

    monkeypatch.setattr(claims, "due_regions", gone)
    with caplog.at_level(logging.ERROR):
        tasks.deliver()
    (record,) = caplog.records
    assert "does not answer" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert record.exc_info is None


def test_a_slice_that_ends_with_work_left_says_so(machine: Any, bobs: Any, amazon: Any, monkeypatch: Any) -> None:
    reading(machine, 20, 1)
    assert delivery.deliver(-1) is False, "it did not look"
    monkeypatch.setattr(delivery.pace, "take", lambda name, wanted: 1)

    def slowly(event: Any) -> Any:
        time.sleep(0.05)

    amazon.script = slowly
    reading(bobs, 30, 1)
    assert delivery.deliver(0.01) is True
    while delivery.deliver(0.01):
        pass
    assert told(amazon) == {str(machine.ownership), str(bobs.ownership)}


def test_a_second_delivery_in_one_process_does_not_wait(linked: Any) -> None:
    with delivery._one_at_a_time:
        started = time.monotonic()
        assert delivery.deliver(5) is False
    assert time.monotonic() - started < 4


def test_a_worker_that_is_asked_to_end_hears_out_and_settles(
    linked: Any, machine: Any, amazon: Any, monkeypatch: Any
) -> None:
    async def while_it_talks(event: Any) -> None:
        delivery.stop_soon()
        await asyncio.sleep(0.2)

    amazon.script = while_it_talks
    reading(machine, 20, 1)
    try:
        delivery.deliver(30)
        reading(machine, 19, 2)
        delivery.deliver(30)
    finally:
        delivery._stopping.clear()
    assert len(amazon.named("ChangeReport")) == 1
    assert Endpoint.objects.get().lease is None


def test_login_with_amazon_is_asked_once_for_all_machines_of_a_customer(
    linked: Any, machine: Any, crema: Any, alice: Any, amazon: Any
) -> None:
    """Slow refusals one after the other for each machine would outlast the lease."""
    more_machines(5, crema, alice)
    deliver_all()
    AlexaGrant.objects.update(expires_at=Now())
    amazon.token_requests.clear()
    amazon.lwa_script = lambda form: (500, {})
    make_due(Endpoint.objects.all(), daily=True)
    for device in alice.devices.all():
        reading(device, 50, 1)
    delivery.deliver(5)
    assert len(amazon.token_requests) == 1
    assert set(Endpoint.objects.values_list("last_code", flat=True)) == {"LwaUnavailable"}


def test_a_closed_link_silences_all_talks_at_once(
    linked: Any, machine: Any, crema: Any, alice: Any, amazon: Any
) -> None:
    more_machines(10, crema, alice)
    deliver_all()
    amazon.attempts.clear()
    AlexaGrant.objects.update(accepted_at=Now() - timedelta(days=1))

    async def disabled(event: Any) -> Any:
        first = len(amazon.attempts) == 1
        await asyncio.sleep(0 if first else 0.5)
        return (403, "SKILL_DISABLED_EXCEPTION") if first else None

    amazon.script = disabled
    for device in alice.devices.all():
        reading(device, 50, 1)
        reading(device, 49, 2)
    delivery.deliver(5)
    assert AlexaGrant.objects.get().state == "closed"
    assert amazon.events == [event for event in amazon.events if "endpoints" in event["event"]["payload"]]
    assert not Endpoint.objects.filter(due_at__isnull=False).exists()


class TestEvents:
    def test_nothing_is_told_after_its_time_however_long_the_talk_took(
        self, linked: Any, machine: Any, crema: Any, amazon: Any
    ) -> None:
        pods(crema)
        for sequence in (1, 2):
            reading(machine, sequence, sequence, slot="pods")
        Event.objects.filter(pk=Event.objects.latest("pk").pk).update(expires_at=Now() + timedelta(seconds=0.4))
        amazon.script = lambda event: asyncio.sleep(0.6)
        deliver_all()
        assert [event.status for event in Event.objects.order_by("pk")] == ["sent", "expired"]
        assert len(amazon.named("InventoryConsumed")) == 1

    def test_a_thousand_uses_are_told_in_turns_and_in_order(
        self, linked: Any, machine: Any, crema: Any, amazon: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(jobs, "EVENTS_AT_ONCE", 3)
        pods(crema)
        for sequence in range(1, 11):
            reading(machine, sequence, sequence, slot="pods")
        reading(machine, 50, 1)
        work = jobs.load(claims.claim("NA", 10))
        assert [len(job.events) for _, line in work.values() for job in line] == [3]
        Endpoint.objects.update(lease=None, leased_until=None)
        deliver_all()
        values = [event["event"]["payload"]["usage"]["value"] for event in amazon.named("InventoryConsumed")]
        assert values == [*range(1, 11)]
        assert len(amazon.named("ChangeReport")) == 1


def test_no_token_in_any_log_or_repr(linked: Any, machine: Any, amazon: Any, caplog: Any) -> None:
    amazon.script = lambda event: (400, "INVALID_REQUEST_EXCEPTION") if len(amazon.attempts) % 2 else (503, "X")
    AlexaGrant.objects.update(expires_at=Now())
    with caplog.at_level(logging.DEBUG):
        for sequence in range(1, 4):
            reading(machine, sequence, sequence)
            make_due(Endpoint.objects.all())
            delivery.deliver(5)
    make_due(Endpoint.objects.all(), daily=True)
    held = jobs.load(claims.claim("NA", 10))
    ((credentials, work),) = held.values()
    assert "Atz" in credentials.access_token
    for text in (
        caplog.text,
        repr(credentials),
        repr(work),
        repr(AlexaGrant.objects.get()),
        str(linking.lwa.Tokens("Atza|", "Atzr|", 1)),
    ):
        assert "Atza|" not in text
