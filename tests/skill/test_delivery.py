"""The engine: claim, talk, settle; the daily report; the gateway's error table; the races that delivery must answer."""

import asyncio
import threading
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now
from django.utils import timezone

from devices.inventory import Measurement, record_reading
from devices.models import Device, Reading
from skill import claims, delivery, jobs, linking
from skill.models import Endpoint, Event
from tests.people import owned
from tests.skill.deeds import deliver_all, known, levels, make_due, more_machines, pods, reading, report_state
from tests.the_house import until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_reading_reaches_alexa_whole(linked: Any, machine: Any, amazon: Any) -> None:
    reading(machine, 42.5, 1)
    deliver_all()
    (report,) = amazon.named("ChangeReport")
    endpoint = Endpoint.objects.get()
    sample = machine.inventories.get().measured_at
    stamp = sample.strftime("%Y-%m-%dT%H:%M:%S.") + f"{sample.microsecond // 1000:03d}Z"
    seen = report["context"]["properties"][0].pop("timeOfSample")
    assert seen.endswith("Z")
    assert report["event"] == {
        "header": {
            "namespace": "Alexa",
            "name": "ChangeReport",
            "payloadVersion": "3",
            "messageId": report["event"]["header"]["messageId"],
        },
        "endpoint": {"scope": {"type": "BearerToken", "token": "Atza|1"}, "endpointId": endpoint.endpoint_id},
        "payload": {
            "change": {
                "cause": {"type": "PHYSICAL_INTERACTION"},
                "properties": [
                    {
                        "namespace": "Alexa.InventoryLevelSensor",
                        "instance": "Beans.Hopper",
                        "name": "level",
                        "value": {"@type": "Percentage", "value": 42.5},
                        "timeOfSample": stamp,
                        "uncertaintyInMilliseconds": 0,
                    }
                ],
            }
        },
    }
    assert report["context"]["properties"] == [
        {
            "namespace": "Alexa.EndpointHealth",
            "name": "connectivity",
            "value": {"value": "OK"},
            "uncertaintyInMilliseconds": 0,
        }
    ]
    assert endpoint.lease is None
    assert endpoint.changed == {}
    assert endpoint.reported_at is not None


def test_nothing_is_said_twice(linked: Any, machine: Any, amazon: Any) -> None:
    reading(machine, 50, 1)
    deliver_all()
    deliver_all()
    reading(machine, 50, 2)  # the same level again pulls nothing
    deliver_all()
    assert [levels(report) for report in amazon.named("ChangeReport")] == [[50]]


def test_a_new_owners_alexa_hears_no_hour_of_the_former_owner(
    ask: Any, token: str, linked: Any, machine: Any, amazon: Any
) -> None:
    """What is left is the machine's own; when it was measured is told as the claim at the earliest, in both answers."""
    long_ago = timezone.now() - timedelta(days=3)
    record_reading(machine, [Measurement("beans", 1, Decimal(41), long_ago)], timezone.now())
    deliver_all()
    (report,) = amazon.named("ChangeReport")
    answer = ask(report_state(token, str(machine.ownership)))
    changed, stated = report["event"]["payload"]["change"]["properties"][0], answer["context"]["properties"][0]
    claim = machine.claimed_at
    stamp = f"{claim:%Y-%m-%dT%H:%M:%S}.{claim.microsecond // 1000:03d}Z"
    for level in (changed, stated):
        assert (level["value"]["value"], level["timeOfSample"]) == (41, stamp)


def test_level_zero_is_a_level(linked: Any, machine: Any, amazon: Any) -> None:
    reading(machine, 0, 1)
    deliver_all()
    assert levels(amazon.named("ChangeReport")[0]) == [0]


def test_the_daily_report_repeats_an_unchanged_level_and_moves_along_the_grid(
    linked: Any, machine: Any, amazon: Any
) -> None:
    reading(machine, 50, 1)
    deliver_all()
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    _, daily = amazon.named("ChangeReport")
    assert daily["event"]["payload"]["change"]["cause"] == {"type": "PERIODIC_POLL"}
    assert levels(daily) == [50]
    endpoint = Endpoint.objects.annotate(now=Now()).get()
    assert timedelta(hours=1) < endpoint.daily_at - endpoint.now <= timedelta(hours=23)
    assert endpoint.due_at == endpoint.daily_at


def test_a_machine_without_a_reading_says_nothing_and_is_not_asked_in_a_hot_loop(
    linked: Any, machine: Any, amazon: Any
) -> None:
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    assert amazon.attempts == []
    endpoint = Endpoint.objects.annotate(now=Now()).get()
    assert endpoint.due_at > endpoint.now + timedelta(hours=1)
    assert endpoint.reported_at is None


def test_a_silent_machine_is_still_reported_unreachable_with_its_last_level(
    linked: Any, machine: Any, amazon: Any
) -> None:
    reading(machine, 30, 1)
    deliver_all()
    type(machine).objects.filter(pk=machine.pk).update(online=False)
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    report = amazon.named("ChangeReport")[-1]
    assert levels(report) == [30]
    assert report["context"]["properties"][0]["value"] == {"value": "UNREACHABLE"}


def test_a_burst_is_coalesced_to_its_newest_level(linked: Any, machine: Any, amazon: Any, settings: Any) -> None:
    settings.REPORT_MIN_INTERVAL = 60
    reading(machine, 50, 1)
    deliver_all()
    for sequence, value in enumerate([49, 48, 47], start=2):
        reading(machine, value, sequence)
    deliver_all()
    assert [levels(report) for report in amazon.named("ChangeReport")] == [[50]]
    endpoint = Endpoint.objects.annotate(now=Now()).get()
    assert timedelta(seconds=50) < endpoint.due_at - endpoint.now <= timedelta(seconds=60)
    Endpoint.objects.update(sent_at=Now() - timedelta(seconds=61), due_at=Now())
    deliver_all()
    assert [levels(report) for report in amazon.named("ChangeReport")] == [[50], [47]]


def test_a_reading_during_the_talk_is_not_lost(linked: Any, machine: Any, amazon: Any) -> None:
    def while_amazon_listens(event: dict[str, Any]) -> None:
        if len(amazon.attempts) == 1:
            worker = threading.Thread(target=lambda: (reading(machine, 12, 2), connections.close_all()))
            worker.start()
            worker.join()

    amazon.script = while_amazon_listens
    reading(machine, 13, 1)
    deliver_all()
    assert [levels(report) for report in amazon.named("ChangeReport")] == [[13], [12]]


def test_the_claim_reads_what_is_said_after_it_holds_the_row(linked: Any, machine: Any) -> None:
    reading(machine, 20, 1)
    claimed = claims.claim("NA", 10)
    reading(machine, 19, 2)
    (job,) = jobs.load(claimed)[linked.pk][1]
    assert job.device.levels[0].value == 19  # a newer level under an older version: it will be looked at again
    assert job.version < Endpoint.objects.get().version


def test_two_workers_never_hold_the_same_endpoint(linked: Any, machine: Any) -> None:
    reading(machine, 20, 1)
    assert len(claims.claim("NA", 10)) == 1
    assert claims.claim("NA", 10) == []


def test_eight_workers_at_once_claim_each_endpoint_once(linked: Any, machine: Any, crema: Any, alice: Any) -> None:
    more_machines(9, crema, alice)
    make_due(Endpoint.objects.all())
    taken: list[int] = []
    ready = threading.Barrier(8)

    def work() -> None:
        ready.wait()
        taken.extend(pk for pk, _, _ in claims.claim("NA", 100))
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(8)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    assert sorted(taken) == sorted(Endpoint.objects.filter(due_at__isnull=False).values_list("pk", flat=True))


def test_a_region_that_is_down_starves_nobody(
    linked: Any, machine: Any, bob: Any, crema: Any, amazon: Any, monkeypatch: Any
) -> None:
    other = owned(bob, crema, "CRM20-0002")
    linking.accept_grant(bob, "code-bob", "EU")
    make_due(Endpoint.objects.filter(region="EU"))
    deliver_all()

    asked, answered = threading.Event(), asyncio.Event()

    async def not_yet(event: dict[str, Any]) -> Any:
        asked.set()
        await answered.wait()
        return 503, "SERVICE_UNAVAILABLE_EXCEPTION"

    amazon.script = lambda event: not_yet(event) if event["_region"] == "EU" else None
    monkeypatch.setattr("skill.gateway.TIMEOUT_SECONDS", 40)
    reading(other, 70, 1)
    worker = threading.Thread(target=lambda: delivery.deliver(40))
    worker.start()
    try:
        assert asked.wait(30)
        reading(machine, 60, 1)
        until(lambda: amazon.named("ChangeReport"), 30, "told beside a region that does not answer")
        until(lambda: Endpoint.objects.get(region="NA").changed == {}, 30, "settled beside it, too")
        assert Endpoint.objects.get(region="EU").lease is not None, "it is still being asked"
    finally:
        amazon.loop.call_soon_threadsafe(answered.set)
        worker.join()
    assert levels(amazon.named("ChangeReport")[-1]) == [60]
    assert Endpoint.objects.get(region="EU").last_code == "SERVICE_UNAVAILABLE_EXCEPTION"


def test_a_full_lane_beside_empty_ones_is_not_the_end_of_the_work(
    linked: Any, machine: Any, bob: Any, crema: Any, amazon: Any, court: Any, settings: Any, monkeypatch: Any
) -> None:
    """With a window of one, the first talk fills it; that the other regions have nothing to do must not end the slice."""
    device = owned(bob, crema, "CRM20-0002")
    known(device, amazon, court)
    settings.DELIVERY_CONNECTIONS = 1
    monkeypatch.setattr(delivery, "WINDOW_PER_CONNECTION", 1)
    reading(machine, 60, 1)
    reading(device, 70, 1)
    delivery.deliver(5)
    assert sorted(levels(report)[0] for report in amazon.named("ChangeReport")) == [60, 70]


def test_a_use_is_told_once_in_order_and_resent_with_its_id(linked: Any, machine: Any, crema: Any, amazon: Any) -> None:
    pods(crema)
    amazon.script = lambda event: (
        (503, "SERVICE_UNAVAILABLE_EXCEPTION") if event["event"]["header"]["name"] == "InventoryConsumed" else None
    )
    for sequence in (1, 2, 3):
        reading(machine, sequence, sequence, slot="pods")
    reading(machine, 80, 1)
    delivery.deliver(5)
    refused = [event for event in amazon.attempts if event["event"]["header"]["name"] == "InventoryConsumed"]
    assert len(refused) == 1, "a 503 stops the events of this endpoint"
    assert [levels(report) for report in amazon.named("ChangeReport")] == [[80]], "but not its report"
    amazon.script = lambda event: None
    make_due(Endpoint.objects.all())
    deliver_all()
    uses = amazon.named("InventoryConsumed")
    assert [use["event"]["payload"]["usage"] for use in uses] == [{"@type": "Count", "value": n} for n in (1, 2, 3)]
    assert uses[0]["event"]["header"]["messageId"] == refused[0]["event"]["header"]["messageId"]
    assert uses[0]["event"]["header"]["instance"] == "Pod.Coffee"
    assert uses[0]["event"]["header"]["namespace"] == "Alexa.InventoryUsageSensor"
    deliver_all()
    assert len(amazon.named("InventoryConsumed")) == 3


def test_the_former_owners_uses_are_not_told_to_the_new_owners_alexa(
    linked: Any, machine: Any, crema: Any, amazon: Any
) -> None:
    """The buffer of a machine that was sold offline: kept in the history, told from the claim on."""
    pods(crema)
    claimed_at = Device.objects.get().claimed_at
    moments = [claimed_at + timedelta(microseconds=step) for step in (-1, 0, 1)]
    uses = [Measurement("pods", n, Decimal(n), moment) for n, moment in enumerate(moments, 1)]
    record_reading(machine, uses, timezone.now())
    deliver_all()
    assert [event["event"]["payload"]["usage"]["value"] for event in amazon.named("InventoryConsumed")] == [2, 3]
    assert Reading.objects.count() == 3


def test_a_refused_use_is_parked_and_its_followers_go_on(linked: Any, machine: Any, crema: Any, amazon: Any) -> None:
    pods(crema)
    amazon.script = lambda event: (
        (400, "INVALID_REQUEST_EXCEPTION") if event["event"]["payload"].get("usage", {}).get("value") == 1 else None
    )
    reading(machine, 1, 1, slot="pods")
    reading(machine, 2, 2, slot="pods")
    deliver_all()
    assert [event.status for event in Event.objects.order_by("pk")] == ["parked", "sent"]


def test_a_reading_that_is_rolled_back_leaves_no_event_and_no_ring(
    linked: Any, machine: Any, crema: Any, silent_doorbell: list[str]
) -> None:
    from django.db import transaction

    pods(crema)
    time.sleep(0.3)  # what was rung before is heard by now
    silent_doorbell.clear()
    version = Endpoint.objects.get().version
    with pytest.raises(ZeroDivisionError):  # noqa: PT012, SIM117
        with transaction.atomic():
            reading(machine, 1, 1, slot="pods")
            raise ZeroDivisionError
    assert Event.objects.count() == 0
    assert Endpoint.objects.get().version == version
    time.sleep(0.3)
    assert silent_doorbell == []


def test_a_crash_between_answer_and_settling_sends_again_after_the_lease(
    linked: Any, machine: Any, amazon: Any, monkeypatch: Any
) -> None:
    reading(machine, 20, 1)
    monkeypatch.setattr(delivery.claims, "settle", lambda outcomes: (_ for _ in ()).throw(Killed) if outcomes else 0)
    with pytest.raises(Killed):
        delivery.deliver(2)
    monkeypatch.undo()
    assert len(amazon.events) == 1
    Endpoint.objects.update(leased_until=Now() - timedelta(seconds=1))
    deliver_all()
    assert [levels(report) for report in amazon.named("ChangeReport")] == [[20], [20]]
    assert Endpoint.objects.get().lease is None


class Killed(BaseException):
    """As good as SIGKILL: nothing catches it."""
