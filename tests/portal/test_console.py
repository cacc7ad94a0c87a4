"""What support sees at a glance: why a device is not reported, whose an order is, a menu of what they may see."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from notifications.models import Order
from portal import console
from skill import linking, outbox
from skill.admin import situation
from skill.models import AlexaGrant, Endpoint
from tests.portal.household import ordered


@pytest.fixture
def desk(client: Any, django_user_model: Any) -> Any:
    """A browser in which support is signed in."""
    client.force_login(django_user_model.objects.create_superuser("sam@example.com", "support-please"))
    return client


@pytest.fixture
def endpoint(machine: Any) -> Endpoint:
    """Alice's coffee machine as her Alexa knows it, just linked."""
    now = timezone.now()
    grant = AlexaGrant.objects.create(
        user=machine.owner,
        region="NA",
        accepted_at=now,
        expires_at=now + timedelta(hours=1),
        access_token="Atza|secret",
        refresh_token="Atzr|secret",
    )
    outbox.introduce(grant, [machine])
    return grant.endpoints.get()


def change_page(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


@pytest.mark.parametrize(
    ("columns", "kind", "words"),
    [
        ({}, "waiting", "not reported yet"),
        ({"reported_at": timedelta()}, "good", "reported"),
        ({"reported_at": timedelta(hours=25)}, "trouble", "late: more than 24 hours"),
        ({"attempts": 3, "last_code": "THROTTLING_EXCEPTION"}, "trouble", "after 3 failures: THROTTLING_EXCEPTION"),
        ({"last_code": "INVALID_REQUEST_EXCEPTION"}, "trouble", "Amazon answered INVALID_REQUEST_EXCEPTION"),
        ({"wanted": False}, "waiting", "a DeleteReport is due"),
        ({"wanted": False, "due_at": None}, "stopped", "gone"),
    ],
)
def test_why_alexa_hears_nothing(columns: dict[str, Any], kind: str, words: str, endpoint: Endpoint) -> None:
    now = timezone.now()
    for name, value in columns.items():
        setattr(endpoint, name, now - value if isinstance(value, timedelta) else value)
    told = situation(endpoint, now)
    assert told[0] == kind
    assert words in told[1]


def test_a_link_that_ended_says_why_on_every_page_about_it(desk: Any, endpoint: Endpoint) -> None:
    linking.close(endpoint.grant.pk, endpoint.grant.generation, "Amazon: SKILL_DISABLED_EXCEPTION")
    for row in (endpoint, endpoint.device, endpoint.grant):
        assert "no active link: Amazon: SKILL_DISABLED_EXCEPTION" in desk.get(change_page(row)).content.decode()
    assert "SKILL_DISABLED_EXCEPTION" in desk.get(change_page(endpoint.grant.user)).content.decode()


def test_a_device_leads_to_its_endpoint_and_orders_and_no_token_shows(desk: Any, endpoint: Endpoint) -> None:
    order = ordered(endpoint.device)
    for row in (endpoint.device, endpoint, endpoint.grant, endpoint.grant.user):
        assert "secret" not in desk.get(change_page(row)).content.decode().replace("client_secret", "")
    text = desk.get(change_page(endpoint.device)).content.decode()
    assert change_page(endpoint) in text
    assert change_page(order) in text


def test_an_order_says_whose_it_is(desk: Any, machine: Any) -> None:
    order = ordered(machine)
    Order.objects.filter(pk=order.pk).update(first_at=machine.claimed_at + timedelta(seconds=1), conflict=True)
    text = desk.get(change_page(order)).content.decode()
    assert "alice@example.com" in text
    assert "Amazon said both shipped and cancelled" in text
    Order.objects.filter(pk=order.pk).update(first_at=machine.claimed_at - timedelta(days=1))
    assert "ordered for an earlier owner" in desk.get(change_page(order)).content.decode()


def test_no_cell_shows_python(desk: Any, endpoint: Endpoint) -> None:
    order = ordered(endpoint.device)
    for row in (order, endpoint, endpoint.grant):
        for address in (change_page(row), reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")):
            assert "(&#x27;" not in desk.get(address).content.decode()


def test_the_menu_leads_to_every_page_of_the_admin(desk: Any) -> None:
    from django.contrib import admin

    listed = {model for items in console.ROOMS.values() for _, _, model in items}
    assert listed == {model._meta.label_lower.replace(".", "_") for model in admin.site._registry}
    text = desk.get("/admin/").content.decode()
    for model in listed:
        assert reverse(f"admin:{model}_changelist") in text


def test_the_menu_shows_only_what_one_may_see(rf: Any, django_user_model: Any, db: None) -> None:
    request = rf.get("/admin/")
    request.user = django_user_model.objects.create_user("kim@example.com", "support-please", is_staff=True)
    assert console.menu(request) == []
    request.user.user_permissions.add(Permission.objects.get(codename="view_order"))
    request.user = django_user_model.objects.get(pk=request.user.pk)
    [room] = console.menu(request)
    assert [item["title"] for item in room["items"]] == ["Orders"]
