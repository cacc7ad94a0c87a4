"""Nobody waits in a circle: rows are locked in one order everywhere. And delivery goes on where it lost all the same."""

import asyncio
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.models.functions import Now
from django.utils import timezone

from devices import documents, events, registry, shadow
from devices.inventory import Measurement
from devices.models import Door
from skill import claims, delivery, jobs, linking, outbox, power
from skill.database import Database
from skill.models import Endpoint, Event
from tests.people import owned
from tests.skill.deeds import make_due, pods, reading
from tests.skill.test_races import aside, during_the_first_talk, wait_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def crossed(alice: Any, machine: Any, crema: Any, amazon: Any) -> list[Endpoint]:
    """Two endpoints of Alice's whose order is not that of their devices."""
    registry.release(machine)
    owned(alice, crema, "CRM20-0002")
    linking.accept_grant(alice, "code-1", "NA")
    type(machine).objects.filter(pk=machine.pk).update(owner=alice, ownership="0" * 32, claimed_at=timezone.now())
    outbox.follow_ownership([machine.pk])
    first, second = Endpoint.objects.order_by("pk")
    assert first.device_id > second.device_id
    return [first, second]


def hold(row: Endpoint | Event) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL deadlock_timeout = '60s'")  # not ours is the one that is broken off
    type(row).objects.select_for_update().get(pk=row.pk)


def while_another_locks_in_order(crossed: list[Any], work: Callable[[], Any]) -> Any:
    """What `work` gives, or the error that it dies of, while somebody takes the first and then the second."""
    with transaction.atomic():
        hold(crossed[0])
        thread, found = aside(work)
        wait_for_a_lock()
        hold(crossed[1])
    thread.join()
    return found[0]


def test_endpoints_are_introduced_in_the_order_of_ids(crossed: list[Endpoint]) -> None:
    assert while_another_locks_in_order(crossed, lambda: outbox.resync(crossed[0].grant)) == 2


def test_what_was_left_out_of_discovery_is_noted_in_the_order_of_ids(crossed: list[Endpoint]) -> None:
    first, second = (endpoint.endpoint_id for endpoint in crossed)
    grant = crossed[0].grant_id
    noted = while_another_locks_in_order(
        crossed, lambda: outbox.discovered(grant, {second: "d" * 64}, {first: "Its name is empty."}, 9)
    )
    assert noted is None
    assert list(Endpoint.objects.order_by("pk").values_list("left_out", "announced_digest")) == [
        ("Its name is empty.", ""),
        ("", "d" * 64),
    ]


def test_uses_are_cancelled_in_the_order_of_ids(linked: Any, machine: Any, crema: Any) -> None:
    """The first was parked and tried anew, and lies behind the second."""
    pods(crema)
    for sequence in (1, 2):
        reading(machine, 1, sequence, slot="pods")
    first, second = Event.objects.order_by("pk")
    for status in (Event.Status.PARKED, Event.Status.PENDING):
        Event.objects.filter(pk=first.pk).update(status=status)
    assert while_another_locks_in_order(
        [first, second], lambda: linking.close(linked.pk, linked.generation, "Unlinked.")
    )
    assert set(Event.objects.values_list("status", flat=True)) == {Event.Status.CANCELLED}


def hear(machine: Any) -> Any:
    said = documents.Said(reported={shadow.POWER: "ON", "beans": 40})
    return documents.hear(machine, said, timezone.now(), Door.HTTPS)


def reset(machine: Any) -> Any:
    first = Measurement("beans", 7, Decimal(40), None)
    happening = events.Happening("factory_reset", "r-1", timezone.now(), reading=first, epoch=1)
    return events.tell(machine, happening, timezone.now())


@pytest.mark.parametrize("work", [hear, reset])
def test_a_machine_that_speaks_while_a_wish_is_given_up(
    linked: Any, machine: Any, monkeypatch: Any, work: Callable[[Any], Any]
) -> None:
    """It brings a reading (Endpoint) and changes its shadow; who gives up has the Shadow and wants the Endpoint."""
    shadow.desire(machine, {shadow.POWER: "OFF"})
    Event.objects.create(
        endpoint=Endpoint.objects.get(), namespace="Alexa", name="Response", correlation_token="c",
        payload={shadow.POWER: "OFF"}, status=Event.Status.WAITING, expires_at=Now(),
    )  # fmt: skip
    withdraw, speaking = power.withdraw, []

    def meanwhile(device: Any, wanted: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL deadlock_timeout = '60s'")
        withdraw(device, wanted)
        speaking.append(aside(lambda: work(machine)))
        wait_for_a_lock()

    monkeypatch.setattr(power, "withdraw", meanwhile)
    assert power.give_up() == 1
    ((thread, found),) = speaking
    thread.join()
    assert not isinstance(found[0], Exception)


def test_a_machine_that_speaks_while_it_is_renamed(linked: Any, machine: Any, monkeypatch: Any) -> None:
    shadow.desire(machine, {"light": "dim"})
    desire, speaking = shadow.desire, []

    def meanwhile(device: Any, patch: Any) -> Any:
        row = desire(device, patch)
        speaking.append(aside(lambda: hear(machine)))
        wait_for_a_lock()
        return row

    type(machine).objects.update(online=False)
    machine.refresh_from_db()
    monkeypatch.setattr(shadow, "desire", meanwhile)
    registry.rename(machine, "Kitchen espresso")
    ((thread, found),) = speaking
    thread.join()
    assert not isinstance(found[0], Exception)


def test_the_first_words_of_a_machine_while_it_is_renamed(linked: Any, machine: Any, monkeypatch: Any) -> None:
    """Nothing of its shadow is there yet that could be locked."""
    take, renaming = documents._take_readings, []

    def meanwhile(*said: Any) -> Any:
        results = take(*said)
        renaming.append(aside(lambda: registry.rename(machine, "Kitchen espresso")))
        wait_for_a_lock()
        return results

    type(machine).objects.update(last_seen_at=timezone.now())
    machine.refresh_from_db()
    monkeypatch.setattr(documents, "_take_readings", meanwhile)
    hear(machine)
    ((thread, found),) = renaming
    thread.join()
    assert not isinstance(found[0], Exception)
    row = shadow.read(machine)
    assert (row.desired, row.reported) == ({"name": "Kitchen espresso"}, {shadow.POWER: "ON"})


def test_the_victim_of_a_deadlock_settles_all_the_same(crossed: list[Endpoint]) -> None:
    make_due(Endpoint.objects.all())
    ((_, work),) = jobs.load(claims.claim("NA", 10)).values()
    outcomes = [claims.Outcome(job, reported=True) for job in work]
    with transaction.atomic():
        hold(crossed[1])
        thread, found = aside(lambda: asyncio.run(Database()(claims.settle, outcomes)))
        wait_for_a_lock()
        hold(crossed[0])
    thread.join()
    assert found == [2]
    assert not Endpoint.objects.exclude(lease=None).exists()


def cut_every_other_connection() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        assert cursor.fetchone()[0]


def test_what_is_on_the_wire_when_the_database_is_lost_is_settled_by_who_said_it(
    linked: Any, machine: Any, crema: Any, amazon: Any
) -> None:
    pods(crema)
    reading(machine, 40, 1)
    reading(machine, 1, 1, slot="pods")
    during_the_first_talk(amazon, cut_every_other_connection)
    endpoint = Endpoint.objects.get()
    assert endpoint.reported_at is not None
    assert (endpoint.lease, endpoint.changed) == (None, {})
    assert Event.objects.get().status == Event.Status.SENT
    assert len(amazon.named("InventoryConsumed")) == len(amazon.named("ChangeReport")) == 1


def test_a_database_that_stays_away_ends_the_delivery(linked: Any, machine: Any, amazon: Any, monkeypatch: Any) -> None:
    connect, lost = DatabaseWrapper.get_new_connection, threading.Event()

    def away(wrapper: Any, params: Any) -> Any:
        if lost.is_set() and threading.current_thread().name.startswith("delivery-database"):
            raise psycopg.OperationalError("connection refused")
        return connect(wrapper, params)

    def lose() -> None:
        lost.set()
        cut_every_other_connection()

    reading(machine, 40, 1)
    with monkeypatch.context() as patched:
        patched.setattr("skill.database.RECONNECT_SECONDS", 0.3)
        patched.setattr(DatabaseWrapper, "get_new_connection", away)
        during_the_first_talk(amazon, lose)
    assert Endpoint.objects.get().lease is not None, "left to its lease"
    Endpoint.objects.update(leased_until=None)
    delivery.deliver(5)
    assert Endpoint.objects.get().lease is None
