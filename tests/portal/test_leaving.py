"""Deleting an account: Alexa forgets the devices while Amazon's tokens live; then everything is gone."""

from typing import Any

import pytest
from oauth2_provider.models import AccessToken, RefreshToken

from devices.models import Device
from portal import leaving
from skill import linking
from skill.models import AlexaGrant, Endpoint
from tests.people import REPLENISHMENT_ID  # noqa: F401  (people are fixtures)
from tests.portal.markup import faults, page_of
from tests.portal.test_pages_unlink import granted, tokens_for_alexa

pytestmark = pytest.mark.django_db
ADDRESS = "/account/delete/"
PASSWORD = "correct horse battery"


def told() -> None:
    """As if delivery had told Alexa."""
    Endpoint.objects.update(due_at=None)
    linking.finish_closing()


def test_from_the_page_to_nothing_left(client: Any, machine: Any, django_user_model: Any) -> None:
    alice = machine.owner
    granted(alice)
    tokens_for_alexa(alice)
    client.force_login(alice)
    assert faults(page_of(client.get(ADDRESS))) == []
    page = page_of(client.post(ADDRESS, {"password": PASSWORD}, follow=True))
    assert "switched off" in page.text
    assert client.get("/account/").status_code == 302, "signed out"
    assert AlexaGrant.objects.get().state == "closing"
    assert Endpoint.objects.get().wanted is False
    assert leaving.finish() == 0, "Alexa is not told yet"
    assert AlexaGrant.objects.defer(None).get().refresh_token == "Atzr|rt"
    told()
    assert leaving.finish() == 1
    for model in (django_user_model, AlexaGrant, AccessToken, RefreshToken):
        assert not model.objects.exists()
    assert Device.objects.get().owner is None
    assert leaving.finish() == 0


def test_without_the_password_nothing_happens(client: Any, machine: Any) -> None:
    client.force_login(machine.owner)
    page = client.post(ADDRESS, {"password": "guess"})
    assert page.status_code == 400
    assert "not your password" in page_of(page).text
    machine.owner.refresh_from_db()
    assert (machine.owner.is_active, machine.owner.leaving_at) == (True, None)


def test_a_stranger_signs_in_first(client: Any, db: None) -> None:
    assert client.post(ADDRESS, {"password": "x"})["Location"].startswith("/accounts/login/")


def test_a_crash_in_between_is_made_up_for(machine: Any, django_user_model: Any, monkeypatch: Any) -> None:
    granted(machine.owner)
    monkeypatch.setattr(leaving, "_let_go", lambda user: None)
    leaving.leave(machine.owner)
    monkeypatch.undo()
    assert leaving.finish() == 0
    told()
    assert leaving.finish() == 1
    assert not django_user_model.objects.exists()


def test_staff_deletes_in_the_same_order(admin_client: Any, machine: Any, django_user_model: Any) -> None:
    granted(machine.owner)
    address = f"/admin/portal/user/{machine.owner.pk}/delete/"
    assert admin_client.get(address).status_code == 200
    assert admin_client.post(address, {"post": "yes"}).status_code == 302
    assert AlexaGrant.objects.get().state == "closing"
    told()
    leaving.finish()
    assert not django_user_model.objects.filter(email="alice@example.com").exists()
