"""From a stored message to Alice's order: processed once in effect, whatever happens in between."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import hypothesis
import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from notifications import inbox, ledger, orders, processing, tasks
from notifications.models import DrsRegistration, Message, Notification, Order, OrderItem, Topic
from tests.effort import examples
from tests.notifications.conftest import undone
from tests.notifications.signing_amazon import ARN, NOW, Amazon, dash

PLACED, CANCELLED, SHIPPED = "OrderPlacedNotification", "OrderCancelledNotification", "ItemShippedNotification"
COFFEE = "amzn1.dash.v2.o.coffee-1"
ID = "amzn1.dash.notification.v1.6f9619ff-8b86-d011-b42d-00cf4fc964ff"


def send(door: Any, amazon: Amazon, document: Any, **changes: Any) -> Message:
    """Dash publishes a notification; SNS brings it to the door."""
    text = document if isinstance(document, str) else json.dumps(document)
    message = amazon.message(text, **changes)
    assert door(message).status_code == 200
    return Message.objects.get(message_id=message["MessageId"])


def snapshot() -> list[tuple[Any, ...]]:
    """All that customers see of the orders."""
    seen = []
    for order in Order.objects.order_by("instance_id"):
        items = [
            (item.place, item.asin, item.quantity, item.unit, item.estimated_delivery) for item in order.items.all()
        ]
        times = (order.first_at, order.placed_at, order.last_at, order.estimated_delivery)
        seen.append((order.instance_id, order.state, order.conflict, order.device_id, order.slot_id, *times, items))
    return seen


@pytest.mark.django_db
def test_an_order_placed_becomes_alice_s_order(
    door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any
) -> None:
    message = send(door, amazon, dash())
    assert not Order.objects.exists()
    assert work() == 1
    order = Order.objects.get()
    assert (order.instance_id, order.state, order.conflict) == (COFFEE, "PLACED", False)
    assert (order.device, order.slot) == (machine, machine.device_model.slots.get())
    assert order.placed_at == order.first_at == order.last_at == datetime(2026, 11, 21, 9, 59, 58, 120000, UTC)
    assert order.estimated_delivery == datetime(2026, 11, 24, 20, tzinfo=UTC)
    item = order.items.get()
    assert (item.asin, item.quantity, item.unit) == ("B00BEANS01", Decimal(2), "count")
    message.refresh_from_db()
    assert (message.state, message.due_at, message.error) == (Message.State.DONE, None, "")
    assert message.notification.order == order


@pytest.mark.django_db
def test_an_order_in_version_1(door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any) -> None:
    send(door, amazon, dash(version="1"))
    work()
    item = OrderItem.objects.get()
    assert (item.asin, item.quantity, item.estimated_delivery) == (
        "",
        Decimal(2),
        datetime(2026, 11, 24, 20, tzinfo=UTC),
    )


@pytest.mark.django_db
def test_placed_and_shipped_and_cancelled_in_any_order(door: Any, topic: Topic, amazon: Amazon, work: Any) -> None:
    send(door, amazon, dash(SHIPPED, time="2026-11-21T12:00:00Z", version="1", date="2026-11-23T20:00:00Z"))
    work()
    assert (Order.objects.get().state, Order.objects.get().placed_at) == ("SHIPPED", None)
    send(door, amazon, dash(PLACED))
    work()
    order = Order.objects.get()
    assert (order.state, order.items.get().asin) == ("SHIPPED", "B00BEANS01")
    assert order.estimated_delivery == datetime(2026, 11, 23, 20, tzinfo=UTC)
    send(door, amazon, dash(CANCELLED, time="2026-11-21T11:00:00Z"))
    work()
    assert (Order.objects.get().state, Order.objects.get().conflict) == ("SHIPPED", True)


SAID = st.lists(
    st.tuples(
        st.sampled_from([PLACED, CANCELLED, SHIPPED]), st.integers(0, 2), st.sampled_from("123"), st.sampled_from("ab")
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.django_db
def test_any_order_and_repetition_of_messages_comes_to_the_same_rows(crema: Any) -> None:
    """The database's version of the fold's property, contradicting twins included."""
    topic = Topic.objects.create(arn=ARN)

    @hypothesis.settings(max_examples=examples(6))
    @given(SAID.flatmap(lambda said: st.tuples(st.just(said), st.permutations(said + said[:2]))))
    def check(pair: tuple[list[Any], list[Any]]) -> None:
        results = []
        for said in pair:
            with undone():
                store_and_process(topic, said)
                results.append(snapshot())
        assert results[0] == results[1]

    check()


def store_and_process(topic: Topic, said: list[Any]) -> None:
    for number, (kind, hour, name, order) in enumerate(said):
        document = dash(kind, time=f"2026-11-21T1{hour}:00:00Z", id=f"id-{name}", order=f"order-{order}")
        Message.objects.create(
            topic=topic,
            message_id=f"message-{number}",
            kind="Notification",
            sent_at=NOW,
            body=json.dumps({"Message": json.dumps(document)}),
        )
        assert processing.process_due() == 1


@pytest.mark.django_db
def test_processing_again_changes_nothing(door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any) -> None:
    message = send(door, amazon, dash())
    send(door, amazon, dash(SHIPPED, time="2026-11-21T12:00:00Z"))
    work()
    before, rows = snapshot(), Notification.objects.count()
    for _ in range(2):
        inbox.replay(message)
        assert work() == 1
    assert (snapshot(), Notification.objects.count()) == (before, rows)


@pytest.mark.django_db
def test_rebuild_comes_to_the_same_whatever_was_there(
    door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any
) -> None:
    send(door, amazon, dash())
    send(door, amazon, dash(CANCELLED, time="2026-11-21T12:00:00Z"))
    work()
    before = snapshot()
    Order.objects.update(
        state="SHIPPED", conflict=True, device=None, slot=None, placed_at=None, estimated_delivery=None
    )
    OrderItem.objects.all().delete()
    assert snapshot() != before
    assert orders.rebuild({Order.objects.get().pk}) == 1
    assert snapshot() == before


@pytest.mark.django_db
def test_a_lost_doorbell_loses_nothing(
    door: Any, topic: Topic, amazon: Amazon, rings: list[str], monkeypatch: Any
) -> None:
    def no_broker(name: str, **options: Any) -> None:
        raise OSError("the broker is down")

    monkeypatch.setattr("notifications.doorbell.current_app.send_task", no_broker)
    send(door, amazon, dash())
    assert tasks.process() == 1
    assert Order.objects.get().state == "PLACED"


@contextmanager
def on_every_new_item(statement: str) -> Iterator[None]:
    """PostgreSQL does `statement` whenever a product is written: the far side of the storage fails."""
    table = OrderItem._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE FUNCTION fail() RETURNS trigger AS $$ BEGIN {statement}; RETURN NEW; END $$ LANGUAGE plpgsql"
        )
        cursor.execute(f"CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER fail ON {table}")
        cursor.execute("DROP FUNCTION fail")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("statement", ["RAISE EXCEPTION 'no room'", "PERFORM pg_terminate_backend(pg_backend_pid())"])
def test_a_crash_in_the_middle_leaves_the_message_and_nothing_else(
    statement: str, door: Any, amazon: Amazon, work: Any
) -> None:
    Topic.objects.create(arn=ARN)
    send(door, amazon, dash())
    with on_every_new_item(statement):
        assert work() == 1
        message = Message.objects.get()
        assert (message.state, message.attempts) == (Message.State.WAITING, 1)
        assert message.error
        assert timezone.now() < message.due_at < timezone.now() + timedelta(seconds=5)
        assert not Notification.objects.exists()
        assert not Order.objects.exists()
        assert work() == 0
    Message.objects.update(due_at=timezone.now())
    assert work() == 1
    message.refresh_from_db()
    assert (message.state, message.error, Order.objects.get().state) == (Message.State.DONE, "", "PLACED")


@pytest.mark.django_db
def test_one_bad_message_does_not_stop_the_others(door: Any, topic: Topic, amazon: Amazon, work: Any) -> None:
    send(door, amazon, dash(items=[{"asin": "POISON", "quantity": 1, "unit": "count"}], order="bad"))
    send(door, amazon, dash(order="good"))
    with on_every_new_item("IF NEW.asin = 'POISON' THEN RAISE EXCEPTION 'no room'; END IF"):
        assert work() == 2
    assert [order.instance_id for order in Order.objects.all()] == ["good"]


@pytest.mark.django_db
def test_attempts_come_less_and_less_often(topic: Topic) -> None:
    message = Message.objects.create(topic=topic, message_id="m", sent_at=NOW, body="{}")
    for attempts, longest in ((0, 2), (3, 16), (10, 2048), (50, 3600)):
        message.attempts = attempts
        message.save()
        processing._remember(message, ValueError("nonsense"))
        message.refresh_from_db()
        pause = (message.due_at - timezone.now()).total_seconds()
        assert longest / 2 - 1 < pause <= longest, attempts
        assert (message.attempts, message.error) == (attempts + 1, "ValueError: nonsense")


@pytest.mark.django_db
def test_a_twin_that_comes_later_takes_the_first_one_back(door: Any, topic: Topic, amazon: Amazon, work: Any) -> None:
    first = send(door, amazon, dash(PLACED, id=ID))
    work()
    assert Order.objects.get().state == "PLACED"
    send(door, amazon, dash(CANCELLED, id=ID))
    work()
    first.refresh_from_db()
    assert (first.state, Order.objects.get().state) == (Message.State.QUARANTINED, "UNCLEAR")
    assert first.reason == ledger.TWINS.format(ID)
    assert not OrderItem.objects.exists()


@pytest.mark.django_db
def test_the_same_notification_published_twice_counts_once(door: Any, topic: Topic, amazon: Amazon, work: Any) -> None:
    for _ in range(2):
        send(door, amazon, dash(id=ID))
    work()
    assert Notification.objects.filter(contradicted=False).count() == 2
    assert (Order.objects.get().state, OrderItem.objects.count()) == ("PLACED", 1)


@pytest.mark.django_db
def test_what_cannot_be_understood_is_quarantined_with_the_reason(
    door: Any, topic: Topic, amazon: Amazon, work: Any
) -> None:
    reasons = {
        "This notification has no subject.": "The text inside is not JSON.",
        "{}": "There is no notificationInfo: this is not a Dash notification.",
        json.dumps(dash()).replace("}]}}", "},]}}"): "The text inside is not JSON.",
        json.dumps(dash()) + "}": "The text inside is not JSON.",
        json.dumps(dash(items=[])): "orderInfo.productInfo is not a list of products.",
    }
    messages = [send(door, amazon, text) for text in reasons]
    work()
    for message, (text, reason) in zip(messages, reasons.items(), strict=True):
        message.refresh_from_db()
        found = (message.state, message.reason, message.due_at, message.text)
        assert found == (Message.State.QUARANTINED, reason, None, text)


@pytest.mark.django_db
def test_a_type_that_we_do_not_know_is_kept(door: Any, topic: Topic, amazon: Amazon, work: Any) -> None:
    kind = "DevicePreRegisteredNotification"
    message = send(door, amazon, dash(kind))
    work()
    message.refresh_from_db()
    assert (message.state, message.reason) == (Message.State.UNUSED, f"Nothing here uses {kind} yet.")
    assert message.notification.kind == kind
    assert not Order.objects.exists()
    assert not DrsRegistration.objects.exists()


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
SECRETS = st.sampled_from(["Token", "TOKEN", "SubscribeURL", "unsubscribeUrl"])
LAYOUTS = st.fixed_dictionaries(
    {"ensure_ascii": st.booleans(), "indent": st.sampled_from([None, 0, 3]),
     "separators": st.sampled_from([(",", ":"), (" ,\r\n", "\t: ")])}
)  # fmt: skip


TEXTS = st.text() | st.sampled_from(["Token", '"Token"', '"Token":"x"', '\\"TOKEN\\" : ', 'unsubscribeUrl"'])


@given(
    st.dictionaries(st.text() | SECRETS, VALUES, max_size=6) | st.dictionaries(TEXTS | SECRETS, TEXTS, max_size=6),
    LAYOUTS,
)
def test_a_body_is_kept_as_it_came_but_for_the_values_of_its_secrets(
    document: dict[str, Any], layout: dict[str, Any]
) -> None:
    kept = inbox.without_secrets(json.dumps(document, **layout))
    masked = {name: inbox.MASK if name.lower() in inbox.SPELLINGS else value for name, value in document.items()}
    assert kept == json.dumps(masked, **layout)
    assert inbox.without_secrets(kept) == kept
    assert inbox.without_secrets(json.dumps(document, **layout), document) == kept


@pytest.mark.django_db
def test_spaces_escapes_and_numbers_of_a_body_stay_as_they_were_written(
    door: Any, topic: Topic, amazon: Amazon
) -> None:
    message = amazon.message("Caf\u00e9", UnsubscribeURL=None)
    written = json.dumps(message, indent=2).removesuffix("\n}")
    secret = (
        ',\n "\\u0054oken" :\t"who reads it has it" , "Unsubscribe\\u0055RL":["and", "this"], "Extra": 1.50E+3 \n}\n'
    )
    assert door((written + secret).encode()).status_code == 200
    kept = secret.replace('"who reads it has it"', '"(masked)"').replace('["and", "this"]', '"(masked)"')
    assert Message.objects.get().body == written + kept
    assert Message.objects.get().text == "Caf\u00e9"
