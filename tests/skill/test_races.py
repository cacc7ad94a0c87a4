"""The races of delivery with real concurrency: two at once on PostgreSQL, each held at its worst moment by a lock or by silence."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models.functions import Now

from devices import registry
from devices.models import Device, Inventory
from skill import claims, delivery, jobs, linking, outbox, renewal
from skill.models import AlexaGrant, Endpoint
from tests.people import owned
from tests.skill.deeds import deliver_all, known, levels, make_due, reading
from tests.the_house import until

pytestmark = pytest.mark.django_db(transaction=True)


def aside(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Begun in a thread with a connection of its own; what it gives, or raises, comes into the list."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:
            found.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def wait_for_a_lock() -> None:
    """Until somebody else waits for what we have locked."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits")


def test_a_second_worker_during_an_overrun_lease(linked: Any, machine: Any, amazon: Any) -> None:
    """The first worker's answer comes when another has told a newer level meanwhile: it must undo nothing of that."""

    def overrun() -> None:
        Endpoint.objects.update(leased_until=Now() - timedelta(seconds=1))
        reading(machine, 40, 2)
        others.extend(jobs.load(claims.claim("NA", 10)).values())

    others: list[Any] = []
    reading(machine, 50, 1)
    during_the_first_talk(amazon, overrun)
    ((_, (job,)),) = others
    held = Endpoint.objects.get()
    assert held.lease == job.lease, "the slow worker touched what is another's"
    assert held.reported_at is None
    assert held.changed["level:Beans.Hopper"][0] == held.version
    told = claims.Outcome(job, done=["level:Beans.Hopper", "description"], reported=True, whole=True)
    assert claims.settle([told]) == 1
    assert Endpoint.objects.get().changed == {}


def during_the_first_talk(amazon: Any, work: Callable[[], Any], answer: Any = None) -> None:
    """`work` done while the first answer of the next delivery is still out, which is an acceptance or what is said here."""
    silent, heard = threading.Event(), threading.Event()

    async def first_one_waits(event: dict[str, Any]) -> Any:
        if len(amazon.attempts) > 1:
            return None
        heard.set()
        await asyncio.to_thread(silent.wait, 10)
        return answer

    amazon.script = first_one_waits
    slow, _ = aside(lambda: delivery.deliver(1))
    assert heard.wait(10)
    try:
        work()
    finally:
        silent.set()
        slow.join()


@pytest.mark.parametrize("again", [outbox.resync, lambda grant: linking.suspect(grant.user_id)])
def test_who_has_to_be_announced_again_during_a_talk_is_not_talked_about_twice(
    linked: Any, machine: Any, amazon: Any, again: Callable[[AlexaGrant], Any]
) -> None:
    """Not by two at once; and not forgotten, although what the talk itself announces is accepted after that."""

    def announce_again() -> None:
        again(linked)
        assert Endpoint.objects.filter(due_at__lte=Now()).exists()
        assert claims.claim("NA", 10) == []

    registry.rename(machine, "Kitchen espresso")
    during_the_first_talk(amazon, announce_again)
    deliver_all()
    assert len(amazon.named("AddOrUpdateReport")) == 2


@pytest.mark.parametrize("again", [outbox.resync, lambda grant: outbox.report_now([grant.endpoints.get().pk])])
def test_levels_that_are_wanted_again_during_a_daily_report_are_told_again(
    linked: Any, machine: Any, amazon: Any, again: Callable[[AlexaGrant], Any]
) -> None:
    reading(machine, 50, 1)
    make_due(Endpoint.objects.all(), daily=True)
    during_the_first_talk(amazon, lambda: again(linked))
    deliver_all()
    assert [levels(report) for report in amazon.named("ChangeReport")] == [[50], [50]]
    endpoint = Endpoint.objects.annotate(now=Now()).get()
    assert endpoint.daily_at > endpoint.now


@pytest.mark.parametrize("unlinked_first", [False, True])
def test_the_talk_of_an_older_link_settles_nothing_and_is_over_before_the_next(
    linked: Any, machine: Any, alice: Any, amazon: Any, unlinked_first: bool
) -> None:
    def link_again() -> None:
        if unlinked_first:
            linking.close(linked.pk, linked.generation, "Unlinked.")
        linking.accept_grant(alice, "code-2", "NA")
        make_due(Endpoint.objects.all())
        assert claims.claim("NA", 10) == []

    reading(machine, 50, 1)
    during_the_first_talk(amazon, link_again)
    endpoint = Endpoint.objects.get()
    assert endpoint.reported_at is None
    assert "level:Beans.Hopper" in endpoint.changed or unlinked_first
    assert claims.claim("NA", 10) == [], "the older talk has lost its lease, not its time"
    Endpoint.objects.update(leased_until=Now() - timedelta(seconds=1))
    make_due(Endpoint.objects.all())
    deliver_all()
    assert {event["_token"] for event in amazon.named("AddOrUpdateReport")} == {"Atza|2"}


def test_what_is_said_is_never_older_than_the_version_that_was_claimed(linked: Any, machine: Any) -> None:
    """The stale join: a claim sees other tables as they were when it began, but the row that it locks at its newest."""
    reading(machine, 50, 1)
    stop = threading.Event()

    def change() -> None:
        for number in range(1, 900):
            with transaction.atomic():
                Endpoint.objects.update(version=1000 + number)
                Inventory.objects.update(value=Decimal(number) / 10)
            if stop.is_set():
                return

    writer, troubles = aside(change)
    claimed = 0
    while claimed < 60 and writer.is_alive():
        make_due(Endpoint.objects.all())
        if taken := claims.claim("NA", 1):
            ((_, (job,)),) = jobs.load(taken).values()
            claimed += 1
            assert job.version < 1000 or job.device.levels[0].value >= Decimal(job.version - 1000) / 10
            Endpoint.objects.update(lease=None, leased_until=None)
    stop.set()
    writer.join()
    assert troubles == [None]
    assert claimed > 5, "it was never tried"


def test_a_settlement_that_waits_for_a_reading_leaves_it_due(linked: Any, machine: Any) -> None:
    reading(machine, 50, 1)
    ((_, (job,)),) = jobs.load(claims.claim("NA", 10)).values()
    done = claims.Outcome(job, done=["level:Beans.Hopper", "description"], reported=True, whole=True)
    with transaction.atomic():
        reading(machine, 49, 2)
        settling, count = aside(lambda: claims.settle([done]))
        wait_for_a_lock()
    settling.join()
    assert count == [1]
    endpoint = Endpoint.objects.annotate(now=Now()).get()
    assert endpoint.due_at <= endpoint.now, "the newer level would wait for the next day"
    assert endpoint.changed["level:Beans.Hopper"][0] == endpoint.version


def test_the_same_accept_grant_twice_at_once(machine: Any, alice: Any, amazon: Any) -> None:
    """Amazon gives tokens for a code once; whoever comes second finds what the first one stored."""
    both_there = threading.Barrier(2, timeout=30)
    spent: set[str] = set()

    def stored() -> bool:
        try:
            return AlexaGrant.objects.exists()
        finally:
            connections.close_all()

    async def once(form: dict[str, str]) -> Any:
        await asyncio.to_thread(both_there.wait)
        if form["code"] in spent:
            await asyncio.to_thread(until, stored, 30, "the first one is stored")
            return 400, {"error": "invalid_grant"}
        spent.add(form["code"])
        return None

    amazon.lwa_script = once
    two = [aside(lambda: linking.accept_grant(alice, "code-1", "NA").pk) for _ in range(2)]
    [thread.join() for thread, _ in two]
    grant = AlexaGrant.objects.get()
    assert [found for _, found in two] == [[grant.pk], [grant.pk]]
    assert (grant.state, grant.generation) == ("active", 1)
    amazon.lwa_script = lambda form: None
    make_due(Endpoint.objects.all())
    deliver_all()
    assert len(amazon.named("AddOrUpdateReport")) == 1


def test_the_same_code_is_refused_while_the_first_one_is_still_being_answered(
    machine: Any, alice: Any, amazon: Any, monkeypatch: Any
) -> None:
    """Amazon takes a second to answer whoever came first, and none to refuse the second."""
    monkeypatch.setattr(linking, "SAME_CODE_WAIT", 5.0)
    refused = asyncio.Event()

    async def once(form: dict[str, str]) -> Any:
        if len(amazon.token_requests) == 2:
            refused.set()
            return 400, {"error": "invalid_grant"}
        await asyncio.wait_for(refused.wait(), 10)
        return await asyncio.sleep(0.5)

    amazon.lwa_script = once
    two = [aside(lambda: linking.accept_grant(alice, "code-1", "NA").pk) for _ in range(2)]
    [thread.join() for thread, _ in two]
    grant = AlexaGrant.objects.get()
    assert [found for _, found in two] == [[grant.pk], [grant.pk]]


def test_a_machine_is_given_back_and_claimed_again_while_its_customer_is_being_linked(
    alice: Any, crema: Any, amazon: Any, monkeypatch: Any
) -> None:
    """The claim holds the machine and waits for the customer; the link holds the customer, and must not wait for the machine."""
    registered = registry.register("CRM20-0001", crema)
    machine = registry.claim(alice, "CRM20-0001", registered.claim_code)
    announceable, claims_again = linking.endpoints.announceable, []

    def meanwhile(user: Any) -> list[Device]:
        devices = list(announceable(user))
        if not claims_again:
            aside(lambda: registry.release(machine))[0].join()
            claims_again.append(aside(lambda: registry.claim(alice, "CRM20-0001", registered.claim_code)))
            wait_for_a_lock()
        return devices

    monkeypatch.setattr(linking.endpoints, "announceable", meanwhile)
    linking.accept_grant(alice, "code-1", "NA")
    ((claiming, found),) = claims_again
    claiming.join()
    assert found[0].owner == alice
    make_due(Endpoint.objects.all())
    deliver_all()
    assert [live.endpoint_id for live in Endpoint.objects.live()] == [str(found[0].ownership)]


def test_two_refreshes_at_once_ask_amazon_once(linked: Any, amazon: Any) -> None:
    held = renewal.Credentials(linked.pk, "NA", linked.generation, "Atza|1", fresh=False)
    ready = threading.Barrier(4)

    def lease() -> Any:
        ready.wait()
        return renewal.lease_refreshes([held])[0]

    four = [aside(lease) for _ in range(4)]
    [thread.join() for thread, _ in four]
    answers = [found[0] for _, found in four]
    assert [answer for answer in answers if isinstance(answer, str)] == ["Atzr|1"]
    assert sum(isinstance(answer, renewal.RefreshElsewhere) for answer in answers) == 3


def test_requests_that_never_answer_do_not_hold_the_others(
    crema: Any, django_user_model: Any, amazon: Any, court: Any, settings: Any
) -> None:
    """No barrier, and no place lost: with places for two requests, three that are never answered do not keep eight from being told."""
    settings.DELIVERY_CONNECTIONS = 2
    names = []
    for number in range(11):
        user = django_user_model.objects.create(email=f"customer{number}@example.com")
        device = owned(user, crema, f"CRM20-1{number:03d}")
        names.append(str(device.ownership))
        known(device, amazon, court)
    never = asyncio.Event()

    async def silent_about_three(event: dict[str, Any]) -> None:
        if event["event"]["endpoint"]["endpointId"] in names[:3]:
            await asyncio.wait_for(never.wait(), 15)

    amazon.script = silent_about_three
    for device in Device.objects.order_by("pk"):
        reading(device, 50, 1)
    worker, _ = aside(lambda: delivery.deliver(2))
    end = time.monotonic() + 9
    while (len(amazon.named("ChangeReport")) < 8 or not told()) and time.monotonic() < end:
        time.sleep(0.05)
    accepted, settled = len(amazon.named("ChangeReport")), told()
    amazon.loop.call_soon_threadsafe(never.set)
    worker.join()
    assert accepted == 8
    assert settled > 0, "nothing is settled before the last one has answered"


def told() -> int:
    return Endpoint.objects.exclude(reported_at=None).count()
