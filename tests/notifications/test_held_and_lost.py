"""Messages out of their time, and orders whose machine or owner is somebody else's or nobody's yet."""

import json
from datetime import timedelta
from typing import Any
from unittest import mock

import psycopg
import pytest
from django.urls import reverse

from notifications import health, inbox, tasks
from notifications.models import Message, Order, Topic
from tests.notifications.signing_amazon import NOW, Amazon, dash
from tests.notifications.test_inbox import COFFEE, send, snapshot


@pytest.mark.django_db
def test_a_message_out_of_its_time_is_held_until_a_person_says(
    door: Any, topic: Topic, amazon: Amazon, work: Any, rings: list[str]
) -> None:
    for number, age in enumerate((timedelta(minutes=76), timedelta(days=30), timedelta(minutes=-6))):
        message = send(door, amazon, dash(order=f"order-{number}"), at=NOW - age)
        assert (message.state, message.due_at) == (Message.State.HELD, None), age
        assert message.reason in inbox.HELD.values(), age
        assert (work(), Order.objects.count()) == (0, number), age
        inbox.replay(message)
        assert (work(), Order.objects.filter(state="PLACED").count()) == (1, number + 1), age


@pytest.mark.django_db
def test_a_message_in_its_time_is_applied(door: Any, topic: Topic, amazon: Amazon, work: Any) -> None:
    for age in (timedelta(minutes=74), timedelta(minutes=-4)):
        send(door, amazon, dash(order=f"{age} old"), at=NOW - age)
    assert (work(), Order.objects.filter(state="PLACED").count()) == (2, 2)


@pytest.mark.django_db
def test_a_message_from_the_future_is_freed_when_sns_repeats_it_in_its_time(
    door: Any, topic: Topic, amazon: Amazon, set_clock: Any, work: Any
) -> None:
    message = amazon.message(json.dumps(dash()), at=NOW + timedelta(minutes=30))
    assert door(message).status_code == 200
    assert work() == 0
    set_clock(NOW + timedelta(minutes=29))
    assert door(message).status_code == 200
    work()
    assert Order.objects.get().state == "PLACED"
    assert Message.objects.count() == 1


@pytest.mark.django_db
def test_a_replayed_capture_of_an_applied_message_does_nothing(
    door: Any, topic: Topic, amazon: Amazon, set_clock: Any, work: Any
) -> None:
    message = amazon.message(json.dumps(dash()))
    door(message)
    work()
    before = snapshot()
    set_clock(NOW + timedelta(days=3))
    assert door(message).status_code == 200
    assert work() == 0
    assert (snapshot(), Message.objects.get().state) == (before, Message.State.DONE)


@pytest.mark.django_db
def test_staff_set_aside_what_fails_again_and_again(topic: Topic, admin_client: Any) -> None:
    for attempts, state in ((4, "waiting"), (5, "aside")):
        Message.objects.update_or_create(
            message_id="m-1", defaults={"topic": topic, "kind": "Notification", "sent_at": NOW, "attempts": attempts}
        )
        assert len(health.failing()) == (state == "aside"), attempts
        chosen = {"action": "set_aside", "_selected_action": [Message.objects.get().pk]}
        admin_client.post(reverse("admin:notifications_message_changelist"), chosen)
        message = Message.objects.get()
        assert (message.state, message.due_at is None, health.failing()) == (state, state == "aside", [])


@pytest.mark.django_db
def test_an_order_for_a_machine_that_is_not_registered_yet_finds_it_later(
    door: Any, topic: Topic, amazon: Amazon, work: Any, request: Any
) -> None:
    send(door, amazon, dash())
    work()
    order = Order.objects.get()
    assert (order.device, order.slot, order.serial_number, order.slot_name) == (None, None, "CRM20-0001", "beans")
    assert tasks.find_devices() == 0
    machine = request.getfixturevalue("machine")
    assert tasks.find_devices() == 2
    order.refresh_from_db()
    assert (order.device, order.slot) == (machine, machine.device_model.slots.get())
    assert tasks.find_devices() == 0


@pytest.mark.django_db
def test_a_serial_number_is_compared_to_the_letter(
    door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any
) -> None:
    for serial in ("crm20-0001", "CRM20-0001 ", "CRM20-0002"):
        send(door, amazon, dash(serial=serial, order=f"of {serial}"))
    work()
    for _ in range(2):
        assert [order.device for order in Order.objects.all()] == [None] * 3
        tasks.find_devices()


@pytest.mark.django_db
def test_alice_sees_her_order_and_nobody_else_does(
    door: Any, topic: Topic, amazon: Amazon, machine: Any, alice: Any, bob: Any, work: Any
) -> None:
    type(machine).objects.update(claimed_at=NOW - timedelta(days=1))
    send(door, amazon, dash())
    work()
    assert [order.instance_id for order in Order.objects.shown_to(alice)] == [COFFEE]
    assert not Order.objects.shown_to(bob).exists()


@pytest.mark.django_db
def test_who_buys_the_machine_second_hand_does_not_see_the_orders_of_its_first_owner(
    door: Any, topic: Topic, amazon: Amazon, machine: Any, bob: Any, work: Any
) -> None:
    send(door, amazon, dash())
    work()
    type(machine).objects.update(owner=bob, claimed_at=NOW + timedelta(days=1))
    assert not Order.objects.shown_to(bob).exists()


@pytest.mark.django_db
def test_the_way_from_the_door_to_the_row_takes_one_statement_once_topic_and_certificate_are_known(
    door: Any, topic: Topic, amazon: Amazon
) -> None:
    for statements in (3, 1):
        with mock.patch("psycopg.Cursor.execute", autospec=True, side_effect=psycopg.Cursor.execute) as execute:
            assert door(amazon.message(json.dumps(dash()))).status_code == 200
        assert execute.call_count == statements, execute.call_args_list


@pytest.mark.django_db
def test_what_staff_change_at_a_topic_takes_effect_within_seconds(
    door: Any, topic: Topic, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert door(amazon.message(SignatureVersion="1")).status_code == 200
    Topic.objects.update(signature_version="2")
    monkeypatch.setattr(inbox, "TOPIC_LIFE", -1.0)
    inbox.forget()
    assert door(amazon.message(SignatureVersion="1")).status_code == 403
    Message.objects.all().delete()
    Topic.objects.all().delete()
    assert door(amazon.message()).status_code == 403


@pytest.mark.django_db
def test_a_model_id_under_a_name_that_cannot_be_stored(
    door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any
) -> None:
    document = dash()
    document["deviceInfo"]["productIdentifier"] = {"\x00": "CREMA-20"}
    send(door, amazon, document)
    work()
    assert (Order.objects.get().device, Message.objects.get().state) == (machine, Message.State.DONE)
