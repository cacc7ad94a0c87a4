"""What support sees at a glance: why a device is not reported, whose an order is, a menu of what they may see."""

from __future__ import annotations

import copy
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


def test_why_alexa_hears_nothing(endpoint: Endpoint) -> None:
    now = timezone.now()
    for columns, kind, words in (
        ({}, "waiting", "not reported yet"),
        ({"reported_at": now}, "good", "reported"),
        ({"reported_at": now - timedelta(hours=25)}, "trouble", "late: more than 24 hours"),
        ({"attempts": 3, "last_code": "THROTTLING_EXCEPTION"}, "trouble", "after 3 failures: THROTTLING_EXCEPTION"),
        ({"last_code": "INVALID_REQUEST_EXCEPTION"}, "trouble", "Amazon answered INVALID_REQUEST_EXCEPTION"),
        ({"wanted": False}, "waiting", "a DeleteReport is due"),
        ({"wanted": False, "due_at": None}, "stopped", "gone"),
    ):
        row = copy.copy(endpoint)
        for name, value in columns.items():
            setattr(row, name, value)
        told = situation(row, now)
        assert told[0] == kind, columns
        assert words in told[1], columns


def test_a_link_that_ended_says_why_on_every_page_about_it(desk: Any, endpoint: Endpoint) -> None:
    linking.close(endpoint.grant.pk, endpoint.grant.generation, "Amazon: SKILL_DISABLED_EXCEPTION")
    for row in told_of(endpoint):
        assert "SKILL_DISABLED_EXCEPTION" in (text := desk.get(change_page(row)).content.decode())
        assert row == endpoint.grant.user or "no active link: Amazon: SKILL_DISABLED_EXCEPTION" in text


def test_pages_lead_to_each_other_and_show_neither_a_token_nor_python(desk: Any, endpoint: Endpoint) -> None:
    order = ordered(endpoint.device)
    pages = {row: desk.get(change_page(row)).content.decode() for row in told_of(endpoint, order)}
    lists = [
        f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist" for row in (order, endpoint, endpoint.grant)
    ]
    for text in (*pages.values(), *(desk.get(reverse(name)).content.decode() for name in lists)):
        assert "secret" not in text.replace("client_secret", "")
        assert "(&#x27;" not in text
    assert change_page(endpoint) in pages[endpoint.device]
    assert change_page(order) in pages[endpoint.device]


def told_of(endpoint: Endpoint, *more: Any) -> list[Any]:
    """All that has a page about this link."""
    return [endpoint.device, endpoint, endpoint.grant, endpoint.grant.user, *more]


def test_an_order_says_whose_it_is(desk: Any, machine: Any) -> None:
    order = ordered(machine)
    Order.objects.filter(pk=order.pk).update(first_at=machine.claimed_at + timedelta(seconds=1), conflict=True)
    text = desk.get(change_page(order)).content.decode()
    assert "alice@example.com" in text
    assert "Amazon said both shipped and cancelled" in text
    Order.objects.filter(pk=order.pk).update(first_at=machine.claimed_at - timedelta(days=1))
    assert "ordered for an earlier owner" in desk.get(change_page(order)).content.decode()


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
