"""What support sees of Amazon's messages, and the one thing that they can do with them."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from notifications.models import DrsRegistration, Message, Notification, Order, Topic
from tests.notifications.signing_amazon import Amazon, dash, pem

pytestmark = pytest.mark.django_db
LEDGERS: list[type[Any]] = [Message, Notification, Order, DrsRegistration]


@pytest.fixture
def sam(django_user_model: Any) -> Any:
    """Sam of support may look at everything here."""
    user = django_user_model.objects.create_user("sam@example.com", "support all the way", name="Sam", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="notifications").exclude(
            codename__in=["replay_message", "rebuild_notification"]
        )
    )
    return user


@pytest.fixture
def desk(sam: Any) -> Client:
    client = Client()
    client.force_login(sam)
    return client


@pytest.fixture
def order(door: Any, topic: Topic, amazon: Amazon, machine: Any, work: Any) -> Order:
    door(amazon.message(json.dumps(dash())))
    door(amazon.message(json.dumps(dash("SubscriptionChangedNotification"))))
    door(amazon.confirmation())
    work()
    return Order.objects.get()


def page(model: type[Any], pk: int | None = None) -> str:
    name = model._meta.model_name
    return (
        reverse(f"admin:notifications_{name}_change", args=[pk])
        if pk
        else reverse(f"admin:notifications_{name}_changelist")
    )


def test_every_list_and_every_page_opens_without_a_secret_and_with_few_statements(
    desk: Client, order: Order, amazon: Amazon, django_assert_max_num_queries: Any
) -> None:
    pages: dict[Any, str] = {}
    for model in (*LEDGERS, Topic):
        assert desk.get(page(model)).status_code == 200, model
        for row in model.objects.all():
            with django_assert_max_num_queries(12):
                pages[row] = desk.get(page(model, row.pk)).content.decode()
            assert str(row) in pages[row]
            for secret in ("secret-token", "secret-link", "ConfirmSubscription"):
                assert secret not in pages[row], (row, secret)
    message = order.notifications.get().message
    expected = {
        message: ["valid, version 2", "CRM20-0001", page(Order, order.pk), "OrderPlacedNotification", "(masked)",
                  escape(pem(amazon.certificate).decode())],
        order: ["B00BEANS01", "OrderPlacedNotification", message.notification.notification_id, "Ordered"],
        DrsRegistration.objects.get(): ["beans", "B00BEANS01", "SubscriptionChangedNotification"],
    }  # fmt: skip
    for row, words in expected.items():
        assert [word for word in words if word not in pages[row]] == [], row


def test_ledgers_cannot_be_written(desk: Client, order: Order) -> None:
    for model in LEDGERS:
        name, row = model._meta.model_name, model.objects.first()
        delete = reverse(f"admin:notifications_{name}_delete", args=[row.pk])
        assert desk.get(reverse(f"admin:notifications_{name}_add")).status_code == 403, name
        assert desk.post(page(model, row.pk), {"state": "SHIPPED"}).status_code == 403, name
        assert desk.post(delete, {"post": "yes"}).status_code == 403, name
        assert model.objects.filter(pk=row.pk).exists()


def test_a_message_is_found_by_whole_identifiers(desk: Client, order: Order) -> None:
    message = order.notifications.get().message
    other = Message.objects.get(kind="SubscriptionConfirmation").message_id
    for term in (message.message_id, message.notification.notification_id, "CRM20-0001"):
        found = desk.get(page(Message), {"q": term}).content.decode()
        assert message.message_id in found, term
        assert other not in found, term
        assert message.message_id not in desk.get(page(Message), {"q": term[:-1]}).content.decode(), term


def test_process_again_needs_its_own_permission_and_calls_the_verb(
    desk: Client, sam: Any, order: Order, work: Any
) -> None:
    message = order.notifications.get().message
    choice = {"action": "process_again", "_selected_action": [message.pk]}
    desk.post(page(Message), choice)
    message.refresh_from_db()
    assert message.due_at is None
    sam.user_permissions.add(Permission.objects.get(codename="replay_message"))
    answer = desk.post(page(Message), choice, follow=True)
    assert "will be processed again" in answer.content.decode()
    message.refresh_from_db()
    assert message.state == Message.State.WAITING
    work()
    message.refresh_from_db()
    assert message.state == Message.State.DONE


def test_deriving_again_needs_its_own_permission_and_says_what_came_of_it(desk: Client, sam: Any, order: Order) -> None:
    def derive_again(model: type[Any]) -> str:
        choice = {"action": "derive_again", "_selected_action": [model.objects.get().pk]}
        return desk.post(page(model), choice, follow=True).content.decode()

    for model in (Order, DrsRegistration):
        model.objects.update(state="UNCLEAR")
        derive_again(model)
        assert model.objects.get().state == "UNCLEAR"
    sam.user_permissions.add(Permission.objects.get(codename="rebuild_notification"))
    for model in (Order, DrsRegistration):
        assert "1 came to something else" in derive_again(model)
        assert model.objects.get().state != "UNCLEAR"
        assert "It came to the same" in derive_again(model)


def test_a_topic_s_arn_is_entered_once(desk: Client, topic: Topic) -> None:
    data = {
        "arn": "arn:aws:sns:us-east-1:999999999999:mine",
        "kind": "drs",
        "signature_version": "2",
        "subscription": "none",
    }
    desk.post(page(Topic, topic.pk), data)
    changed = Topic.objects.get()
    assert (changed.arn, changed.signature_version) == (topic.arn, "2")


def test_a_customer_is_not_let_in(alice: Any) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(page(Message)).status_code == 302
