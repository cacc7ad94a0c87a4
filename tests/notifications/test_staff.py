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
def desk(sam: Any, settings: Any) -> Client:
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
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


def test_every_list_and_every_page_opens(desk: Client, order: Order) -> None:
    for model in (*LEDGERS, Topic):
        assert desk.get(page(model)).status_code == 200, model
        for row in model.objects.all():
            text = desk.get(page(model, row.pk)).content.decode()
            assert str(row) in text
            for secret in ("secret-token", "secret-link", "ConfirmSubscription"):
                assert secret not in text


def test_a_message_shows_why_what_and_where_to(
    desk: Client, order: Order, amazon: Amazon, django_assert_max_num_queries: Any
) -> None:
    message = order.notifications.get().message
    with django_assert_max_num_queries(20):
        text = desk.get(page(Message, message.pk)).content.decode()
    for shown in ("valid, version 2", "CRM20-0001", page(Order, order.pk), "OrderPlacedNotification", "(masked)"):
        assert shown in text
    assert escape(pem(amazon.certificate).decode()) in text


def test_an_order_shows_its_items_and_the_notifications_behind_it(desk: Client, order: Order) -> None:
    text = desk.get(page(Order, order.pk)).content.decode()
    for shown in ("B00BEANS01", "OrderPlacedNotification", order.notifications.get().notification_id):
        assert shown in text


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


def test_an_order_tells_its_story_and_a_registration_its_slots(desk: Client, order: Order) -> None:
    assert "Ordered" in desk.get(page(Order, order.pk)).content.decode()
    text = desk.get(page(DrsRegistration, DrsRegistration.objects.get().pk)).content.decode()
    for shown in ("beans", "B00BEANS01", "SubscriptionChangedNotification"):
        assert shown in text


@pytest.mark.parametrize("model", [Order, DrsRegistration])
def test_deriving_again_needs_its_own_permission_and_says_what_came_of_it(
    model: type[Any], desk: Client, sam: Any, order: Order
) -> None:
    choice = {"action": "derive_again", "_selected_action": [model.objects.get().pk]}
    model.objects.update(state="UNCLEAR")
    desk.post(page(model), choice)
    assert model.objects.get().state == "UNCLEAR"
    sam.user_permissions.add(Permission.objects.get(codename="rebuild_notification"))
    assert "1 came to something else" in desk.post(page(model), choice, follow=True).content.decode()
    assert model.objects.get().state != "UNCLEAR"
    assert "It came to the same" in desk.post(page(model), choice, follow=True).content.decode()


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


def test_a_customer_is_not_let_in(alice: Any, order: Order) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(page(Message)).status_code == 302
