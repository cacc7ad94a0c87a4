"""Events that Amazon refused: parked after three days of trying or at once, kept until a person decides, told again under the same id."""

import uuid
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.db.models.functions import Now

from skill import delivery, health, linking, parked, tasks
from skill.models import Endpoint, Event
from tests.skill.deeds import deliver_all, make_due, reading

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pods(linked: Any, machine: Any, crema: Any, amazon: Any) -> Any:
    """Alice's coffee machine counts its pods, too."""
    crema.slots.create(
        slot_id="pods", name="P", sensor="usage", measurement="Count", instance="P", replenishment_id="a"
    )
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    amazon.attempts.clear()
    return machine


def use(machine: Any, sequence: int = 1) -> Event:
    reading(machine, 1, sequence, slot="pods")
    return Event.objects.latest("pk")


def answer(amazon: Any, status: int, code: str) -> None:
    amazon.script = lambda event: (status, code) if event["event"]["header"]["name"] == "InventoryConsumed" else None


def refused(machine: Any, amazon: Any) -> Event:
    answer(amazon, 400, "INVALID_REQUEST_EXCEPTION")
    event = use(machine)
    deliver_all()
    amazon.script = lambda event: None
    amazon.attempts.clear()
    event.refresh_from_db()
    assert event.status == "parked"
    return event


def test_after_three_days_it_is_parked_with_amazons_words(pods: Any, amazon: Any) -> None:
    refusals = {
        403: "INSUFFICIENT_PERMISSION_EXCEPTION",
        429: "THROTTLING_EXCEPTION",
        503: "SERVICE_UNAVAILABLE_EXCEPTION",
    }
    for status, code in refusals.items():
        answer(amazon, status, code)
        event = use(pods, status)
        delivery.deliver(5)
        event.refresh_from_db()
        assert (event.status, event.last_code, event.last_text, event.attempts) == ("pending", code, "told so", 1)
        Event.objects.update(first_tried_at=Now() - timedelta(days=3, seconds=1))
        make_due(Endpoint.objects.all())
        delivery.deliver(5)
        event.refresh_from_db()
        assert (event.status, event.last_code, event.attempts) == ("parked", code, 2)
        assert health.parked_events() == [f"1 InventoryConsumed: {code} (newest #{event.pk})"]
        parked.let_go([event.pk])
        make_due(Endpoint.objects.all())


def test_what_nobody_had_time_to_tell_for_days_is_not_given_up_at_the_first_trouble(pods: Any, amazon: Any) -> None:
    """Three days of trying, not of waiting; and one event is given up at a time, not all that wait behind it."""
    uses = [use(pods, sequence) for sequence in (1, 2, 3)]
    Event.objects.update(created_at=Now() - timedelta(days=4))
    answer(amazon, 503, "SERVICE_UNAVAILABLE_EXCEPTION")
    delivery.deliver(5)
    assert set(Event.objects.values_list("status", flat=True)) == {"pending"}
    Event.objects.update(first_tried_at=Now() - timedelta(days=4))
    make_due(Endpoint.objects.all())
    delivery.deliver(5)
    told = dict(Event.objects.values_list("pk", "status"))
    assert [told[each.pk] for each in uses] == ["parked", "pending", "pending"]
    assert Endpoint.objects.get().attempts == 2
    amazon.script = lambda event: None
    make_due(Endpoint.objects.all())
    deliver_all()
    assert len(amazon.named("InventoryConsumed")) == 2


def test_the_alarm_stays_until_a_person_decides(pods: Any, amazon: Any) -> None:
    event = refused(pods, amazon)
    Event.objects.update(settled_at=Now() - timedelta(days=40), created_at=Now() - timedelta(days=40))
    tasks.tidy()
    assert len(health.parked_events()) == 1
    assert parked.let_go([event.pk, event.pk]) == 1
    assert parked.let_go([event.pk]) == 0
    assert health.parked_events() == []
    event.refresh_from_db()
    assert event.status == "cancelled"
    assert parked.resend([event.pk]) == 0


def test_told_again_at_once_under_the_same_id_and_once(pods: Any, amazon: Any) -> None:
    event = refused(pods, amazon)
    Endpoint.objects.update(due_at=Now() + timedelta(hours=1), not_before=Now() + timedelta(hours=1))
    assert parked.resend([event.pk]) == 1, "it does not wait for the back-off"
    assert parked.resend([event.pk]) == 0, "it is pending already"
    deliver_all()
    ids = [told["event"]["header"]["messageId"] for told in amazon.named("InventoryConsumed")]
    assert ids == [str(event.message_id)]
    event.refresh_from_db()
    assert (event.status, event.attempts) == ("sent", 2)


def test_told_again_has_three_days_again(pods: Any, amazon: Any) -> None:
    event = refused(pods, amazon)
    Event.objects.update(first_tried_at=Now() - timedelta(days=30))
    parked.resend([event.pk])
    answer(amazon, 503, "SERVICE_UNAVAILABLE_EXCEPTION")
    delivery.deliver(5)
    event.refresh_from_db()
    assert event.status == "pending"
    Event.objects.update(first_tried_at=F("first_tried_at") - timedelta(days=3, seconds=1))
    make_due(Endpoint.objects.all())
    delivery.deliver(5)
    event.refresh_from_db()
    assert event.status == "parked"


def test_whose_link_is_no_more_is_not_told(pods: Any, amazon: Any) -> None:
    event = refused(pods, amazon)
    linking.unlink(pods.owner)
    deliver_all()
    assert parked.resend([event.pk]) == 0
    event.refresh_from_db()
    assert event.status == "parked"


def test_sent_events_go_by_age_in_batches_and_parked_ones_stay(pods: Any, amazon: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(parked, "AT_ONCE", 2)
    kept = refused(pods, amazon)
    for sequence in range(2, 9):
        use(pods, sequence)
    deliver_all()
    young = use(pods, 9)
    deliver_all()
    Event.objects.exclude(pk=young.pk).update(
        created_at=Now() - timedelta(days=31), settled_at=Now() - timedelta(days=31)
    )
    recent = Event.objects.exclude(pk__in=[kept.pk, young.pk]).latest("pk")
    Event.objects.filter(pk=recent.pk).update(settled_at=Now() - timedelta(days=29))
    assert parked.forget_told() == 6
    assert set(Event.objects.values_list("pk", flat=True)) == {kept.pk, recent.pk, young.pk}


def test_the_walk_through_the_old_ends_at_the_first_that_is_young(pods: Any, amazon: Any, monkeypatch: Any) -> None:
    """Told by an old one behind, which there is none of in life: it is not even looked at."""
    monkeypatch.setattr(parked, "AT_ONCE", 2)
    old, young, _, behind = [use(pods, sequence).pk for sequence in range(1, 5)]
    deliver_all()
    long_ago = Now() - timedelta(days=31)
    Event.objects.filter(pk__in=[old, behind]).update(created_at=long_ago, settled_at=long_ago)
    assert parked.forget_told() == 1
    assert list(Event.objects.order_by("pk").values_list("pk", flat=True))[::2] == [young, behind]
    Event.objects.update(created_at=long_ago, settled_at=long_ago)
    assert parked.forget_told() == 3
    assert parked.forget_told() == 0


class TestTheCommand:
    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command("resend_events", *arguments, stdout=out)
        return out.getvalue()

    def test_by_code_by_id_and_all(self, pods: Any, amazon: Any) -> None:
        event = refused(pods, amazon)
        assert "0 of 0" in self.run("--code", "NOTHING")
        assert "0 of 0" in self.run("--message-id", str(uuid.uuid4()))
        for which in (["--all"], ["--code", "INVALID_REQUEST_EXCEPTION"]):
            assert "1 parked events would" in self.run(*which, "--dry-run")
        for which in (
            ["--code", "INVALID_REQUEST_EXCEPTION", "--name", "InventoryConsumed"],
            ["--message-id", str(event.message_id)],
        ):
            event.refresh_from_db()
            assert event.status == "parked"
            assert "1 of 1" in self.run(*which)
            event.refresh_from_db()
            assert event.status == "pending"
            Event.objects.update(status="parked")

    def test_nothing_said_is_nothing_done(self, db: None) -> None:
        with pytest.raises(CommandError, match="Say which"):
            self.run()
