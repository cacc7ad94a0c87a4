"""TurnOn and TurnOff: a wish, a short wait, and an answer now, later, or a plain no."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models.functions import Now
from django.utils import timezone

from devices import registry, shadow
from devices.models import Device, Shadow
from skill import linking, power, tasks
from skill.models import Event
from tests.people import owned
from tests.skill.deeds import deliver_all, directive, error_of, reading, report_state
from tests.skill.test_golden import without_id

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "WAIT", 0.08)
    monkeypatch.setattr(power, "LOOK_EVERY", 0.05)


@pytest.fixture
def crema(crema: Any) -> Any:
    """The machine can be switched."""
    crema.capabilities = ["PowerController"]
    crema.save()
    return crema


@pytest.fixture
def machine(machine: Any) -> Any:
    """It has been heard from: it is off."""
    Device.objects.update(last_seen_at=timezone.now())
    shadow.update(machine, reported={"powerState": "OFF"}, door="https")
    return machine


def turn(name: str, token: str, machine: Any, **header: Any) -> dict[str, Any]:
    header = {"correlationToken": "p0w3r=="} | header
    return directive("Alexa.PowerController", name, token, str(machine.ownership), **header)


def state_of(message: dict[str, Any]) -> Any:
    return {item["name"]: item["value"] for item in message["context"]["properties"]}.get("powerState")


@pytest.fixture
def firmware(machine: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Obeys as soon as it is asked, from firmware() on."""
    monkeypatch.setattr(power, "WAIT", 5)
    stop, threads = threading.Event(), []

    def obey() -> None:
        while not stop.wait(0.01):
            if "powerState" in (wish := shadow.delta(shadow.read(machine))):
                shadow.update(machine, reported=wish, door="https")
        connections.close_all()

    def start() -> None:
        threads.append(threading.Thread(target=obey))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def test_a_machine_that_obeys(ask: Any, token: str, machine: Any, linked: Any, firmware: Any, amazon: Any) -> None:
    firmware()
    answer = ask(turn("TurnOn", token, machine))
    (switched,) = [item for item in answer["context"]["properties"] if item["name"] == "powerState"]
    (connected,) = [item for item in answer["context"]["properties"] if item["name"] == "connectivity"]
    assert without_id(answer) == {
        "context": {
            "properties": [
                connected,
                {
                    "namespace": "Alexa.PowerController",
                    "name": "powerState",
                    "value": "ON",
                    "timeOfSample": switched["timeOfSample"],
                    "uncertaintyInMilliseconds": 0,
                },
            ]
        },
        "event": {
            "header": {"namespace": "Alexa", "name": "Response", "payloadVersion": "3", "correlationToken": "p0w3r=="},
            "endpoint": {"endpointId": str(machine.ownership)},
            "payload": {},
        },
    }
    deliver_all()
    (report,) = amazon.named("ChangeReport")
    assert report["event"]["payload"]["change"]["cause"] == {"type": "ALEXA_INTERACTION"}
    assert not Event.objects.exists(), "answered at once; nothing is said twice"


def test_on_and_off_and_twice(ask: Any, token: str, machine: Any, linked: Any, firmware: Any) -> None:
    firmware()
    told = [state_of(ask(turn(name, token, machine))) for name in ("TurnOn", "TurnOn", "TurnOff", "TurnOff", "TurnOn")]
    assert told == ["ON", "ON", "OFF", "OFF", "ON"]


def test_a_machine_that_takes_its_time(ask: Any, token: str, machine: Any, linked: Any, amazon: Any) -> None:
    """DeferredResponse at once, whole; the Response follows over the gateway when the machine has done it."""
    reading(machine, 42, 1)
    assert without_id(ask(turn("TurnOn", token, machine))) == {
        "event": {
            "header": {
                "namespace": "Alexa",
                "name": "DeferredResponse",
                "payloadVersion": "3",
                "correlationToken": "p0w3r==",
            },
            "payload": {"estimatedDeferralInSeconds": 20},
        }
    }
    deliver_all()
    assert amazon.named("Response") == []
    shadow.update(machine, reported={"powerState": "ON"}, door="https")
    deliver_all()
    (answer,) = amazon.named("Response")
    level, connected, switched = answer["context"]["properties"]
    assert (level["value"]["value"], connected["value"], switched["value"]) == (42, {"value": "OK"}, "ON")
    assert without_id(answer)["event"] == {
        "header": {"namespace": "Alexa", "name": "Response", "payloadVersion": "3", "correlationToken": "p0w3r=="},
        "endpoint": {
            "scope": {"type": "BearerToken", "token": answer["_token"]},
            "endpointId": str(machine.ownership),
        },
        "payload": {},
    }
    names = [event["event"]["header"]["name"] for event in amazon.events]
    assert names.count("Response") == 1
    assert Event.objects.get().status == Event.Status.SENT


def test_a_machine_that_never_does_it(ask: Any, token: str, machine: Any, linked: Any, amazon: Any) -> None:
    """The answer is an error, whole; and what was wished is withdrawn: it must not switch itself on at night."""
    ask(turn("TurnOn", token, machine))
    assert power.give_up() == 0, "not yet"
    Event.objects.update(expires_at=Now() - timedelta(seconds=1))
    tasks.deliver()
    deliver_all()
    (answer,) = amazon.named("ErrorResponse")
    assert without_id(answer) == {
        "event": {
            "header": {
                "namespace": "Alexa",
                "name": "ErrorResponse",
                "payloadVersion": "3",
                "correlationToken": "p0w3r==",
            },
            "endpoint": {
                "scope": {"type": "BearerToken", "token": answer["_token"]},
                "endpointId": str(machine.ownership),
            },
            "payload": {"type": "ENDPOINT_UNREACHABLE", "message": "The device did not confirm in time."},
        }
    }
    assert shadow.read(machine).desired == {}
    shadow.update(machine, reported={"powerState": "ON"}, door="https")
    deliver_all()
    assert len(amazon.named("ErrorResponse")) == 1
    assert amazon.named("Response") == [], "answered once, whatever comes later"


def test_an_odd_row_stops_nobody(ask: Any, token: str, machine: Any, linked: Any, amazon: Any) -> None:
    for number in range(2):
        ask(turn("TurnOn", token, machine, correlationToken=f"c{number}"))
    Event.objects.filter(correlation_token="c0").update(payload={})
    Event.objects.update(expires_at=Now() - timedelta(seconds=1))
    tasks.deliver()
    deliver_all()
    assert [event["event"]["header"]["correlationToken"] for event in amazon.named("ErrorResponse")] == ["c1"]


def test_giving_up_on_an_older_directive_leaves_a_younger_wish(
    ask: Any, token: str, machine: Any, linked: Any, amazon: Any
) -> None:
    for _ in range(2):
        ask(turn("TurnOn", token, machine))
    Event.objects.filter(pk=Event.objects.earliest("pk").pk).update(expires_at=Now() - timedelta(seconds=1))
    assert power.give_up() == 1
    assert shadow.read(machine).desired == {"powerState": "ON"}
    shadow.update(machine, reported={"powerState": "ON"}, door="https")
    deliver_all()
    assert [len(amazon.named(name)) for name in ("ErrorResponse", "Response")] == [1, 1]


def test_switched_off_before_it_was_on(ask: Any, token: str, machine: Any, linked: Any, amazon: Any) -> None:
    ask(turn("TurnOn", token, machine))
    assert state_of(ask(turn("TurnOff", token, machine))) == "OFF"
    assert shadow.delta(shadow.read(machine)) == {}
    Event.objects.update(expires_at=Now() - timedelta(seconds=1))
    power.give_up()
    assert shadow.read(machine).desired == {"powerState": "OFF"}, "the later wish stays"


def test_a_confirmation_and_the_end_of_patience_at_once(
    ask: Any, token: str, machine: Any, linked: Any, amazon: Any
) -> None:
    """One of the two is told, whichever is first, and neither waits for the other for ever."""
    for number in range(6):
        wanted = ("ON", "OFF")[number % 2]
        ask(turn(f"Turn{wanted.title()}", token, machine, correlationToken=f"c{number}"))
        Event.objects.filter(status="waiting").update(expires_at=Now() - timedelta(seconds=1))
        start = threading.Barrier(2)

        def confirm(wanted: str = wanted, start: threading.Barrier = start) -> None:
            start.wait(30)
            shadow.update(machine, reported={"powerState": wanted})
            connections.close_all()

        confirming = threading.Thread(target=confirm)
        confirming.start()
        start.wait(30)
        power.give_up()
        confirming.join()
    deliver_all()
    answers = [
        event["event"]["header"]["correlationToken"]
        for name in ("Response", "ErrorResponse")
        for event in amazon.named(name)
    ]
    assert sorted(answers) == [f"c{number}" for number in range(6)]


def test_a_confirmation_just_when_we_stop_waiting(
    ask: Any, token: str, machine: Any, linked: Any, amazon: Any, monkeypatch: Any
) -> None:
    """Between the last look and the promise."""
    looked = power._confirms

    def confirms(device: Any, wanted: str) -> bool:
        found = looked(device, wanted)
        shadow.update(machine, reported={"powerState": "ON"}, door="https")
        return found

    monkeypatch.setattr(power, "_confirms", confirms)
    assert ask(turn("TurnOn", token, machine))["event"]["header"]["name"] == "Response"
    assert not Event.objects.exists()


def test_no_transaction_is_open_while_it_waits(
    ask: Any, token: str, machine: Any, linked: Any, amazon: Any, monkeypatch: Any
) -> None:
    seen = []
    sleep = time.sleep
    monkeypatch.setattr(
        power.time, "sleep", lambda s: (seen.append(transaction.get_connection().in_atomic_block), sleep(s))
    )
    ask(turn("TurnOn", token, machine))
    assert seen
    assert not any(seen)


def test_when_too_many_wait_already_nobody_waits(
    ask: Any, token: str, machine: Any, linked: Any, amazon: Any, monkeypatch: Any
) -> None:
    """Sixteen threads serve the whole portal; machines that sleep must not take them all."""
    monkeypatch.setattr(power, "_waiters", threading.BoundedSemaphore(1))
    monkeypatch.setattr(power, "WAIT", 60)
    with power._waiters:
        assert ask(turn("TurnOn", token, machine))["event"]["header"]["name"] == "DeferredResponse"


def test_an_offline_machine_is_not_asked(ask: Any, token: str, machine: Any, linked: Any) -> None:
    Device.objects.update(online=False)
    answer = ask(turn("TurnOn", token, machine))
    assert error_of(answer) == "ENDPOINT_UNREACHABLE"
    assert answer["event"]["header"]["correlationToken"] == "p0w3r=="
    assert shadow.read(machine).desired == {}, "it would switch itself on when it is back"
    told = ask(report_state(token, str(machine.ownership)))
    values = {item["name"]: item["value"] for item in told["context"]["properties"]}
    assert values == {"connectivity": {"value": "UNREACHABLE"}, "powerState": "OFF"}


def test_a_machine_that_was_never_heard_of(ask: Any, token: str, machine: Any, linked: Any) -> None:
    Device.objects.update(last_seen_at=None)
    payload = ask(turn("TurnOn", token, machine))["event"]["payload"]
    assert payload == {
        "type": "NOT_SUPPORTED_IN_CURRENT_MODE",
        "message": "The device has not been heard from yet.",
        "currentDeviceMode": "NOT_PROVISIONED",
    }


def test_who_cannot_be_switched_or_answered_is_not_asked(
    ask: Any, token: str, machine: Any, linked: Any, crema: Any, bob: Any
) -> None:
    bobs = owned(bob, crema, "BOBS-1")
    assert error_of(ask(turn("TurnOn", token, bobs))) == "NO_SUCH_ENDPOINT"
    assert not Shadow.objects.filter(device=bobs, desired__powerState="ON").exists()
    body = turn("TurnOn", token, machine)
    del body["directive"]["header"]["correlationToken"]
    assert error_of(ask(body)) == "INVALID_DIRECTIVE"
    assert error_of(ask(turn("TurnOn", token, machine), region="EU")) == "ENDPOINT_UNREACHABLE", "linked in NA only"
    crema.capabilities = []
    crema.save()
    assert error_of(ask(turn("TurnOn", token, machine))) == "INVALID_DIRECTIVE", "it has no switch"
    assert shadow.read(machine).desired == {}
    assert not Event.objects.exists()


def test_without_a_link_there_is_no_later(ask: Any, token: str, machine: Any) -> None:
    """She has a token, and no AcceptGrant came: over what should a later answer go?"""
    assert error_of(ask(turn("TurnOn", token, machine))) == "ENDPOINT_UNREACHABLE"
    assert shadow.read(machine).desired == {}
    assert not Event.objects.exists()


def test_an_answer_that_nobody_waits_for_any_more(ask: Any, token: str, machine: Any, linked: Any, amazon: Any) -> None:
    ask(turn("TurnOn", token, machine))
    shadow.update(machine, reported={"powerState": "ON"}, door="https")
    Event.objects.update(expires_at=Now() - timedelta(seconds=1))
    deliver_all()
    assert Event.objects.get().status == Event.Status.EXPIRED
    assert amazon.named("Response") == []


def test_a_machine_that_is_given_away_before_it_answers(
    ask: Any, token: str, machine: Any, linked: Any, amazon: Any
) -> None:
    ask(turn("TurnOn", token, machine))
    registry.release(machine)
    Event.objects.update(expires_at=Now() - timedelta(seconds=1))
    power.give_up()
    deliver_all()
    assert amazon.named("Response") == []
    assert not Event.objects.filter(status__in=["waiting", "pending"]).exists()


def test_unlinking_cancels_what_waits(ask: Any, token: str, machine: Any, linked: Any) -> None:
    ask(turn("TurnOn", token, machine))
    linking.close(linked.pk, linked.generation, "Disabled.")
    assert Event.objects.get().status == Event.Status.CANCELLED


def test_switched_by_hand(machine: Any, linked: Any, amazon: Any) -> None:
    """A ChangeReport with only the switch; what else is known stands in the context."""
    reading(machine, 42, 1)
    deliver_all()
    shadow.update(machine, reported={"powerState": "ON"}, door="https")
    deliver_all()
    report = amazon.named("ChangeReport")[-1]
    change = report["event"]["payload"]["change"]
    assert change["cause"] == {"type": "PHYSICAL_INTERACTION"}
    assert [(item["namespace"], item["value"]) for item in change["properties"]] == [("Alexa.PowerController", "ON")]
    assert [item["name"] for item in report["context"]["properties"]] == ["level", "connectivity"]


def test_switched_by_hand_after_alexa_switched_it(
    ask: Any, token: str, machine: Any, linked: Any, firmware: Any
) -> None:
    """Alice presses the button: it stays as she wants it, whatever was wished before."""
    firmware()
    ask(turn("TurnOn", token, machine))
    shadow.update(machine, reported={"powerState": "OFF"}, door="https")
    assert shadow.delta(shadow.read(machine)) == {}


def test_a_power_state_that_is_none_is_not_told(ask: Any, token: str, machine: Any, linked: Any, amazon: Any) -> None:
    for said in ["on", "", None, 1, True, {"value": "ON"}, ["ON"]]:
        shadow.update(machine, reported={"powerState": said})
        deliver_all()
        assert state_of(ask(report_state(token, str(machine.ownership)))) is None, said


def test_the_power_state_of_a_former_owner_is_not_told(
    ask: Any, token: str, machine: Any, alice: Any, bob: Any
) -> None:
    Shadow.objects.update(ownership="00000000-0000-4000-8000-000000000000")
    assert state_of(ask(report_state(token, str(machine.ownership)))) is None
