"""The registry is tested alone: the rooms above it listen to its signals elsewhere."""

from typing import Any

import pytest

from devices import throttles
from devices.signals import doorbell_pressed, endpoint_changed, inventory_changed


@pytest.fixture(autouse=True)
def alone(monkeypatch: Any) -> None:
    """Only the test's own receivers hear the registry."""
    for signal in (inventory_changed, endpoint_changed, doorbell_pressed):
        monkeypatch.setattr(signal, "receivers", [])


@pytest.fixture(autouse=True)
def nobody_has_tried_yet() -> None:
    """Limits on requests are counted from nothing in every test; what is counted in the database goes with it."""
    throttles.forget()
