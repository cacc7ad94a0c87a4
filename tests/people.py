"""Who the tests speak of. Alice has a coffee machine; Bob has none of her business."""

from typing import Any

import pytest

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
    from devices import registry

    device, key, code = registry.register("CRM20-0001", crema)
    device = registry.claim(alice, "CRM20-0001", code)
    device.key = key
    return device
