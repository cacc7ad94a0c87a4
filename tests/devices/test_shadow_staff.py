"""What support sees of a machine's shadow and events, and how long events are kept."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from devices import events, shadow
from devices.models import Device, DeviceEvent


@pytest.fixture
def staff(client: Any, django_user_model: Any) -> Any:
    client.force_login(django_user_model.objects.create_superuser("staff@example.com", "support staff please"))
    return client


def test_support_sees_what_the_machine_still_has_to_do_and_cannot_write_it(staff: Any, machine: Device) -> None:
    shadow.update(machine, desired={"powerState": "OFF"}, reported={"powerState": "ON"}, door="mqtt")
    events.tell(machine, events.Happening("doorbell_press", "press-1"), timezone.now())
    listed = staff.get("/admin/devices/shadow/", {"q": "CRM20-0001"})
    assert "CRM20-0001" in listed.content.decode()
    page = staff.get(f"/admin/devices/shadow/{machine.pk}/change/").content.decode()
    assert "still to do" in page.lower()
    assert "&#x27;powerState&#x27;: &#x27;OFF&#x27;" in page
    assert "press-1" in staff.get("/admin/devices/deviceevent/").content.decode()
    assert staff.post(f"/admin/devices/shadow/{machine.pk}/change/", {"version": 9}).status_code == 403
    assert shadow.read(machine).version == 1


def test_events_are_kept_for_ninety_days(machine: Device, monkeypatch: Any) -> None:
    monkeypatch.setattr(events, "BATCH", 2)
    now = timezone.now()
    for number in range(5):
        events.tell(machine, events.Happening("consumable_replaced", f"old-{number}"), now)
    DeviceEvent.objects.update(heard_at=now - timedelta(days=91))
    events.tell(machine, events.Happening("consumable_replaced", "new"), now)
    assert events.forget(now) == 5
    assert [event.event_id for event in DeviceEvent.objects.all()] == ["new"]
    assert events.forget(now) == 0
