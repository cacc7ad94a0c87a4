"""From Dash's notifications to the rows about Alice's machine: registrations, subscriptions, and orders beside them."""

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications import drs, ledger, orders, registrations, tasks
from notifications.models import DrsRegistration, Message, Notification, Order, OrderItem, SlotSubscription, Topic
from tests.effort import examples
from tests.notifications.signing_amazon import ARN, NOW, Amazon, chosen, dash
from tests.notifications.test_inbox import ID, on_every_new_item, send
from tests.notifications.test_inbox import snapshot as snapshot_of_orders

SUBSCRIBED, REGISTERED, DEREGISTERED = drs.ABOUT_DEVICES
KINDS = [*drs.ABOUT_ORDERS, *drs.ABOUT_DEVICES]


def snapshot() -> list[Any]:
    """All that is derived."""
    registered = DrsRegistration.objects.order_by("serial_number").values_list(
        "serial_number", "state", "customer_id", "epoch", "since", "last_at", "device"
    )
    slots = SlotSubscription.objects.order_by("registration__serial_number", "slot_name").values_list(
        "registration__serial_number", "slot_name", "slot", "subscribed", "products", "stale", "gone", "last_at"
    )
    return [list(registered), list(slots), snapshot_of_orders()]


@pytest.mark.django_db
def test_alice_s_machine_is_registered_and_subscribed(
    door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any
) -> None:
    send(door, amazon, dash(SUBSCRIBED, time="2026-11-21T09:00:00Z"))
    message = send(door, amazon, dash(REGISTERED, time="2026-11-21T09:00:01Z"))
    assert work() == 2
    registration = DrsRegistration.objects.get()
    assert (registration.state, registration.device, registration.epoch) == ("REGISTERED", machine, 1)
    slot = registration.subscriptions.get()
    assert (slot.subscribed, slot.slot, slot.slot_name) == (True, machine.device_model.slots.get(), "beans")
    assert slot.products == [{"asin": "B00BEANS01", "quantity": "2", "unit": "count"}]
    message.refresh_from_db()
    assert (message.state, message.notification.registration) == (Message.State.DONE, registration)


@pytest.mark.django_db
def test_a_registration_finds_the_machine_that_is_registered_later(
    door: Any, topic: Topic, amazon: Amazon, work: Any, request: Any
) -> None:
    send(door, amazon, dash(SUBSCRIBED))
    work()
    assert tasks.find_devices() == 0
    machine = request.getfixturevalue("machine")
    assert tasks.find_devices() == 2
    assert DrsRegistration.objects.get().device == machine
    assert SlotSubscription.objects.get().slot == machine.device_model.slots.get()


@pytest.mark.django_db
def test_bob_does_not_see_what_alice_chose(
    door: Any, topic: Topic, amazon: Amazon, machine: Any, alice: Any, bob: Any, work: Any
) -> None:
    type(machine).objects.update(claimed_at=NOW.replace(hour=1))
    send(door, amazon, dash(SUBSCRIBED))
    work()
    assert SlotSubscription.objects.shown_to(alice).count() == 1
    type(machine).objects.update(owner=bob, claimed_at=NOW.replace(day=22))
    assert not SlotSubscription.objects.shown_to(bob).exists()


@pytest.mark.django_db
def test_twins_about_a_registration_count_for_nothing(door: Any, topic: Topic, amazon: Amazon, work: Any) -> None:
    first = send(door, amazon, dash(REGISTERED, id=ID))
    work()
    second = send(door, amazon, dash(DEREGISTERED, id=ID))
    work()
    assert DrsRegistration.objects.get().state == "UNCLEAR"
    for message in (first, second):
        message.refresh_from_db()
        assert (message.state, message.reason) == (Message.State.QUARANTINED, ledger.TWINS.format(ID))


@pytest.mark.django_db
def test_twins_about_an_order_and_a_registration_take_both_back(
    door: Any, topic: Topic, amazon: Amazon, work: Any
) -> None:
    send(door, amazon, dash(id=ID))
    work()
    send(door, amazon, dash(REGISTERED, id=ID))
    work()
    assert (Order.objects.get().state, DrsRegistration.objects.get().state) == ("UNCLEAR", "UNCLEAR")


@pytest.mark.django_db
def test_rebuilding_comes_to_the_same_and_says_whether_it_did(
    door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any
) -> None:
    for kind in KINDS:
        send(door, amazon, dash(kind, time="2026-11-21T09:00:00Z"))
    work()
    before = snapshot()
    keys = [(Order.objects.get().pk, None), (None, DrsRegistration.objects.get().pk)]
    assert ledger.rebuild(keys) == 0
    DrsRegistration.objects.update(state="PROVISIONAL", customer_id="somebody", epoch=9, device=None)
    SlotSubscription.objects.all().delete()
    Order.objects.update(state="PLACED", conflict=False)
    assert snapshot() != before
    assert ledger.rebuild(keys) == 2
    assert snapshot() == before
    assert orders.rebuild({Order.objects.get().pk}) == 0
    assert registrations.rebuild({DrsRegistration.objects.get().pk}) == 0


@pytest.mark.django_db
def test_what_was_said_outlives_its_message(door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any) -> None:
    send(door, amazon, dash())
    send(door, amazon, dash(REGISTERED))
    work()
    before = snapshot()
    Message.objects.all().delete()
    assert Notification.objects.count() == 2
    assert ledger.rebuild(Notification.objects.values_list("order_id", "registration_id")) == 0
    assert snapshot() == before


SAID = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 2),
        st.sampled_from("12345"),
        st.sampled_from(["AB", "CD"]),
        st.sampled_from([True, chosen(), chosen("", subscribed=False)]),
    ),
    min_size=1,
    max_size=7,
)
CRASH = st.sampled_from([None, "RAISE EXCEPTION 'no room'", "PERFORM pg_terminate_backend(pg_backend_pid())"])


@pytest.mark.django_db(transaction=True)
def test_any_order_repetition_and_crash_come_to_the_same_rows(crema: Any) -> None:
    """All six types, twins that contradict each other, and a database that fails under half of the orders."""
    topic = Topic.objects.create(arn=ARN)

    @hypothesis.settings(max_examples=examples(5))
    @given(SAID.flatmap(lambda said: st.tuples(st.just(said), st.permutations(said + said[:3]))), CRASH)
    def check(pair: tuple[list[Any], list[Any]], crash: str | None) -> None:
        results = []
        for said, statement in zip(pair, (None, crash), strict=True):
            for model in (Notification, Message, OrderItem, Order, DrsRegistration):
                model.objects.all().delete()
            store(topic, said)
            if statement:
                with on_every_new_item(statement):
                    tasks.process()
                Message.objects.filter(due_at__isnull=False).update(due_at=NOW)
            tasks.process()
            results.append(snapshot())
            assert Notification.objects.count() == Message.objects.count() == len(said)
        assert results[0] == results[1]

    check()


def store(topic: Topic, said: list[Any]) -> None:
    for number, (kind, hour, name, who, slot) in enumerate(said):
        document = dash(
            kind,
            time=f"2026-11-21T1{hour}:00:00Z",
            id=f"id-{name}",
            order=f"order-{who}",
            customer=f"amzn1.account.{who}",
            slots={"beans": slot},
        )
        Message.objects.create(
            topic=topic,
            message_id=f"message-{number}",
            kind="Notification",
            sent_at=NOW,
            body=json.dumps({"Message": json.dumps(document)}),
        )
