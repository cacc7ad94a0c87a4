"""Who the tests speak of. Alice has a coffee machine; Bob has none of her business."""

import uuid
from importlib import import_module
from typing import Any

import pytest
from django.utils import timezone

BEANS = {
    "slot_id": "beans",
    "name": "Coffee beans",
    "sensor": "level",
    "measurement": "Percentage",
    "instance": "Beans.Hopper",
}
REPLENISHMENT_ID = "arn:alexa:smarthome:drs:sensor:6a1f0c52-93d4-4c0e-8a55-0d5b6f2f7711"


@pytest.fixture
def alice(db: None, django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("alice@example.com", "correct horse battery", name="Alice")


@pytest.fixture
def bob(db: None, django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("bob@example.com", "staple stable table", name="Bob")


@pytest.fixture
def crema(db: None) -> Any:
    """The coffee machine's model: one level sensor."""
    from devices.models import DeviceModel

    model = DeviceModel.objects.create(
        model_id="CREMA-20",
        name="Crema 20",
        manufacturer="Nordkap Home",
        description="Espresso machine by Nordkap Home",
        display_category="COFFEE_MAKER",
    )
    model.slots.create(replenishment_id=REPLENISHMENT_ID, **BEANS)
    return model


@pytest.fixture
def machine(crema: Any, alice: Any) -> Any:
    """Alice's coffee machine. `machine.key` is its device key."""
    return owned(alice, crema, "CRM20-0001")


def owned(owner: Any, model: Any, serial: str) -> Any:
    """What `register` and `claim` leave, by one statement instead of eighteen; a test of claiming holds them together."""
    from devices.claiming import months_after
    from devices.credentials import hash_code, hash_key, new_code, new_key
    from devices.models import Device

    key, now = new_key(), timezone.now()
    device = Device.objects.create(
        serial_number=serial,
        device_model=model,
        name=model.name,
        key_hash=hash_key(key),
        claim_code_hash=hash_code(serial, new_code()),
        owner=owner,
        ownership=uuid.uuid4(),
        claimed_at=now,
        warranty_until=months_after(now.date(), model.warranty_months),
    )
    device.key = key
    return device


def signed_in(client: Any, user: Any, backend: str | None = None) -> None:
    """Django's `force_login`, for a new client by three statements instead of fifteen; a test of the entrance holds them together."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, user_logged_in
    from django.http import HttpRequest

    user.backend = backend or client._get_backend()
    if settings.SESSION_COOKIE_NAME in client.cookies:  # its session goes on
        client._login(user, user.backend)
        return
    known = {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: user.backend,
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
    sessions = import_module(settings.SESSION_ENGINE).SessionStore
    row = sessions().create_model_instance(known)
    row.save(force_insert=True)
    request = HttpRequest()
    request.session = sessions(row.session_key)
    user_logged_in.send(sender=type(user), request=request, user=user)
    client._set_login_cookies(request)
