"""The bell: told at once or never."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from devices.events import Happening, tell
from skill.models import Endpoint, Event
from tests.skill.deeds import deliver_all
from tests.skill.test_golden import without_id

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def crema(crema: Any) -> Any:
    """The machine rings when coffee is ready."""
    crema.capabilities = ["DoorbellEventSource"]
    crema.save()
    return crema


def test_the_press_of_a_bell(machine: Any, linked: Any, amazon: Any) -> None:
    """Whole; the context empty, the time in whole seconds, whatever the device's clock says in between."""
    happening = Happening("doorbell_press", "ring-1", timezone.now())
    for _ in range(2):
        tell(machine, happening, timezone.now())
    Endpoint.objects.update(sent_at=Now())  # no pause between reports holds up a bell
    deliver_all()
    (press,) = amazon.named("DoorbellPress")
    assert without_id(press) == {
        "context": {},
        "event": {
            "header": {"namespace": "Alexa.DoorbellEventSource", "name": "DoorbellPress", "payloadVersion": "3"},
            "endpoint": {
                "scope": {"type": "BearerToken", "token": press["_token"]},
                "endpointId": str(machine.ownership),
            },
            "payload": {
                "cause": {"type": "PHYSICAL_INTERACTION"},
                "timestamp": happening.happened_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        },
    }


def test_a_press_that_is_older_than_a_minute(machine: Any, linked: Any, amazon: Any) -> None:
    """Heard too late, or held up until it is too late: not told, and the trace says so."""
    tell(machine, Happening("doorbell_press", "ring-1", timezone.now() - timedelta(seconds=61)), timezone.now())
    tell(machine, Happening("doorbell_press", "ring-2", timezone.now()), timezone.now())
    Event.objects.filter(status="pending").update(expires_at=Now() - timedelta(seconds=1))
    deliver_all()
    assert amazon.named("DoorbellPress") == []
    assert [event.status for event in Event.objects.all()] == [Event.Status.EXPIRED] * 2
    assert all(event.settled_at for event in Event.objects.all())


def test_a_press_heard_by_a_process_whose_clock_is_fast(
    machine: Any, linked: Any, amazon: Any, monkeypatch: Any
) -> None:
    pressed = timezone.now()
    monkeypatch.setattr("django.utils.timezone.now", lambda: pressed + timedelta(minutes=10))
    tell(machine, Happening("doorbell_press", "ring-1", pressed), timezone.now())
    deliver_all()
    assert len(amazon.named("DoorbellPress")) == 1


def test_a_press_of_what_alexa_does_not_know_as_a_bell(machine: Any, linked: Any, crema: Any) -> None:
    crema.capabilities = []
    crema.save()
    tell(machine, Happening("doorbell_press", "ring-1", timezone.now()), timezone.now())
    assert not Event.objects.exists()


def test_a_bell_goes_before_what_is_due(machine: Any, linked: Any) -> None:
    """Somebody stands at the door; yesterday's backlog can wait."""
    other = Endpoint.objects.get()
    tell(machine, Happening("doorbell_press", "ring-1", timezone.now()), timezone.now())
    other.refresh_from_db()
    assert other.due_at < timezone.now() - timedelta(minutes=4)
