"""The engine: claim, talk, settle; the daily report; the gateway's error table; the races that delivery must answer."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now

from skill import claims, delivery, linking
from skill.models import AlexaGrant, Endpoint, Event, Gateway
from tests.skill.deeds import deliver_all, make_due, reading

pytestmark = pytest.mark.django_db(transaction=True)


def levels(report: dict[str, Any]) -> list[float]:
    changed = report["event"]["payload"]["change"]["properties"]
    return [item["value"]["value"] for item in changed if item["name"] == "level"]


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


def test_who_overran_the_lease_changes_nothing(linked: Any, machine: Any) -> None:
    reading(machine, 20, 1)
    slow = claims.load(claims.claim("NA", 10))
    Endpoint.objects.update(leased_until=Now() - timedelta(seconds=1))
    quick = claims.load(claims.claim("NA", 10))
    (job,) = slow[linked.pk][1]
    assert claims.settle([claims.Outcome(job, done=["level:Beans.Hopper"], reported=True, whole=True)]) == 0
    endpoint = Endpoint.objects.get()
    assert endpoint.lease == quick[linked.pk][1][0].lease
    assert endpoint.reported_at is None
    assert endpoint.changed != {}


def test_the_claim_reads_what_is_said_after_it_holds_the_row(linked: Any, machine: Any) -> None:
    reading(machine, 20, 1)
    claimed = claims.claim("NA", 10)
    reading(machine, 19, 2)
    (job,) = claims.load(claimed)[linked.pk][1]
    assert (
        job.device.inventories.all()[0].value == 19
    )  # a newer level under an older version: it will be looked at again
    assert job.version < Endpoint.objects.get().version


def test_two_workers_never_hold_the_same_endpoint(linked: Any, machine: Any) -> None:
    reading(machine, 20, 1)
    assert len(claims.claim("NA", 10)) == 1
    assert claims.claim("NA", 10) == []


def test_eight_workers_at_once_claim_each_endpoint_once(linked: Any, machine: Any, crema: Any, alice: Any) -> None:
    from devices import registry

    for number in range(40):
        device, _, code = registry.register(f"CRM20-1{number:03d}", crema)
        registry.claim(alice, device.serial_number, code) if number < 9 else None
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


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "THROTTLING_EXCEPTION"), (500, "INTERNAL_SERVICE_EXCEPTION"), (503, "SERVICE_UNAVAILABLE_EXCEPTION")],
)
def test_overload_backs_off_and_a_new_reading_does_not_bypass_it(
    linked: Any, machine: Any, amazon: Any, status: int, code: str
) -> None:
    amazon.script = lambda event: (status, code)
    reading(machine, 20, 1)
    delivery.deliver(5)
    assert len(amazon.attempts) == 1
    reading(machine, 19, 2)
    delivery.deliver(5)
    assert len(amazon.attempts) == 1, "the back-off was bypassed"
    endpoint = Endpoint.objects.annotate(now=Now()).get()
    assert endpoint.last_code == code
    assert endpoint.attempts == 1
    assert endpoint.due_at == endpoint.not_before
    amazon.script = lambda event: None
    make_due(Endpoint.objects.all())
    deliver_all()
    assert [levels(report) for report in amazon.named("ChangeReport")] == [[19]]
    assert Endpoint.objects.get().attempts == 0


def test_throttling_halves_the_rate_and_it_creeps_back(linked: Any, machine: Any, amazon: Any, settings: Any) -> None:
    amazon.script = lambda event: (429, "THROTTLING_EXCEPTION")
    reading(machine, 20, 1)
    delivery.deliver(5)
    assert Gateway.objects.get(name="NA").rate == pytest.approx(settings.GATEWAY_RATE / 2, rel=0.1)
    Gateway.objects.update(refilled_at=Now() - timedelta(seconds=10))
    delivery.deliver(1)
    assert settings.GATEWAY_RATE * 0.55 < Gateway.objects.get(name="NA").rate <= settings.GATEWAY_RATE * 0.75


def test_a_refused_report_is_not_repeated_and_shows_amazons_words(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.script = lambda event: (400, "INVALID_REQUEST_EXCEPTION")
    reading(machine, 20, 1)
    deliver_all()
    deliver_all()
    assert len(amazon.attempts) == 1
    endpoint = Endpoint.objects.get()
    assert (endpoint.last_code, endpoint.last_text) == ("INVALID_REQUEST_EXCEPTION", "told so")
    assert endpoint.reported_at is None


def test_an_expired_token_is_refreshed_once_and_the_report_sent_again(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.valid.clear()
    reading(machine, 20, 1)
    deliver_all()
    assert [request["grant_type"] for request in amazon.token_requests] == ["authorization_code", "refresh_token"]
    (report,) = amazon.named("ChangeReport")
    assert report["_token"] == "Atza|2" == report["event"]["endpoint"]["scope"]["token"]
    assert AlexaGrant.objects.get().generation == linked.generation + 1


def test_a_token_about_to_expire_is_refreshed_before_it_is_used(linked: Any, machine: Any, amazon: Any) -> None:
    AlexaGrant.objects.update(expires_at=Now() + timedelta(minutes=4))
    reading(machine, 20, 1)
    deliver_all()
    assert [event["_token"] for event in amazon.attempts] == ["Atza|2"]


def test_a_second_401_stops_and_keeps_the_link(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.script = lambda event: (401, "INVALID_ACCESS_TOKEN_EXCEPTION")
    reading(machine, 20, 1)
    delivery.deliver(5)
    assert len(amazon.attempts) == 2
    assert AlexaGrant.objects.get().state == "active"
    assert Endpoint.objects.get().last_code == "INVALID_ACCESS_TOKEN_EXCEPTION"


def test_invalid_grant_closes_the_link_and_keeps_the_device(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.valid.clear()
    amazon.lwa_script = lambda form: (400, {"error": "invalid_grant", "error_description": "withdrawn"})
    reading(machine, 20, 1)
    deliver_all()
    grant = AlexaGrant.objects.get()
    assert (grant.state, grant.access_token, grant.refresh_token) == ("closed", "", "")
    assert "withdrawn" in grant.reason
    assert Endpoint.objects.get().due_at is None
    machine.refresh_from_db()
    assert machine.owner is not None
    attempts = len(amazon.attempts)
    reading(machine, 10, 2)
    deliver_all()
    assert len(amazon.attempts) == attempts, "something was sent for a closed link"


def test_invalid_client_never_unlinks(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.valid.clear()
    amazon.lwa_script = lambda form: (401, {"error": "invalid_client"})
    reading(machine, 20, 1)
    delivery.deliver(5)
    grant = AlexaGrant.objects.get()
    assert grant.state == "active"
    assert grant.refresh_token == "Atzr|1"
    assert "invalid_client" in grant.trouble
    asked = len(amazon.token_requests)
    make_due(Endpoint.objects.all())
    delivery.deliver(5)
    assert len(amazon.token_requests) == asked, "the breaker of Login with Amazon must be open"


def test_skill_disabled_closes_only_after_the_first_minutes(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.script = lambda event: (403, "SKILL_DISABLED_EXCEPTION")
    reading(machine, 20, 1)
    delivery.deliver(5)
    assert AlexaGrant.objects.get().state == "active"
    AlexaGrant.objects.update(accepted_at=Now() - timedelta(minutes=11))
    make_due(Endpoint.objects.all())
    deliver_all()
    assert AlexaGrant.objects.get().state == "closed"


@pytest.mark.parametrize("code", ["SKILL_NEVER_ENABLED_EXCEPTION", "INSUFFICIENT_PERMISSION_EXCEPTION", ""])
def test_other_403s_keep_the_link(linked: Any, machine: Any, amazon: Any, code: str) -> None:
    AlexaGrant.objects.update(accepted_at=Now() - timedelta(days=1))
    amazon.script = lambda event: (403, code)
    reading(machine, 20, 1)
    delivery.deliver(5)
    assert AlexaGrant.objects.get().state == "active"
    endpoint = Endpoint.objects.annotate(now=Now()).get()
    assert endpoint.due_at - endpoint.now > timedelta(seconds=5)


def test_a_late_answer_to_an_old_generation_changes_nothing(linked: Any, machine: Any, amazon: Any, alice: Any) -> None:
    def link_again_meanwhile(form: dict[str, str]) -> Any:
        if form["grant_type"] == "refresh_token":
            worker = threading.Thread(
                target=lambda: (linking.accept_grant(alice, "code-2", "NA"), connections.close_all())
            )
            worker.start()
            return _after(worker)
        return None

    async def _after(worker: threading.Thread) -> Any:
        import asyncio

        await asyncio.to_thread(worker.join)
        return (400, {"error": "invalid_grant", "error_description": "that one is over"})

    amazon.valid.clear()
    amazon.lwa_script = link_again_meanwhile
    reading(machine, 20, 1)
    delivery.deliver(5)
    grant = AlexaGrant.objects.get()
    assert grant.state == "active", "the new link was closed by an answer to the old one"
    assert grant.refresh_token != ""
    make_due(Endpoint.objects.all())
    deliver_all()
    assert levels(amazon.named("ChangeReport")[-1]) == [20]


def test_only_one_of_two_refreshes(linked: Any, amazon: Any) -> None:
    held = linking.Credentials(linked.pk, "NA", linked.generation, "Atza|1", "Atzr|1", fresh=False)
    linking._lease_refresh(held)
    with pytest.raises(linking.RefreshElsewhere):
        linking._lease_refresh(held)


def test_a_region_that_is_down_starves_nobody(
    linked: Any, machine: Any, bob: Any, crema: Any, amazon: Any, monkeypatch: Any
) -> None:
    from devices import registry

    other, _, code = registry.register("CRM20-0002", crema)
    other = registry.claim(bob, "CRM20-0002", code)
    linking.accept_grant(bob, "code-bob", "EU")
    make_due(Endpoint.objects.filter(region="EU"))
    deliver_all()

    async def never(event: dict[str, Any]) -> Any:
        import asyncio

        await asyncio.sleep(30)

    monkeypatch.setattr("skill.gateway.TIMEOUT_SECONDS", 2)
    amazon.script = lambda event: never(event) if event["_region"] == "EU" else None
    reading(other, 70, 1)
    worker = threading.Thread(target=lambda: delivery.deliver(1))
    started = time.monotonic()
    worker.start()
    time.sleep(0.5)
    reading(machine, 60, 1)
    while not amazon.named("ChangeReport") and time.monotonic() - started < 8:
        time.sleep(0.05)
    reached = time.monotonic() - started
    worker.join()
    assert levels(amazon.named("ChangeReport")[-1]) == [60]
    assert reached < 1.9, "the report waited behind a region that never answers"
    assert Endpoint.objects.get(region="EU").last_code == "TimeoutError"


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


def pods(crema: Any) -> None:
    crema.slots.create(
        slot_id="pods",
        name="Coffee pods",
        sensor="usage",
        measurement="Count",
        instance="Pod.Coffee",
        replenishment_id="arn:alexa:pods",
    )
