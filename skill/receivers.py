"""How the registry reaches Alexa: its signals, heard inside its transactions, written down by outbox."""

from datetime import datetime
from typing import Any

from django.db.models import Count
from django.dispatch import receiver

from devices import shadow
from devices.signals import doorbell_pressed, endpoint_changed, inventory_changed, reach_asked
from skill import endpoints, outbox, power
from skill.models import Endpoint


@receiver(inventory_changed)
def on_inventory_changed(sender: Any, changes: list[Any], **kwargs: Any) -> None:
    outbox.enqueue(changes)


@receiver(endpoint_changed)
def on_endpoint_changed(sender: Any, device_ids: list[int], what: str, **kwargs: Any) -> None:
    match what:
        case "ownership":
            outbox.follow_ownership(device_ids)
        case "description":
            outbox.announce_again(device_ids, kwargs.get("among", len(device_ids)))
        case "connectivity":
            outbox.mark_changed(device_ids, {endpoints.CONNECTIVITY: "PERIODIC_POLL"})
        case "power":
            cause = "ALEXA_INTERACTION" if kwargs["wished"] else "PHYSICAL_INTERACTION"
            outbox.mark_changed(device_ids, {shadow.POWER: cause})
            power.confirmed(device_ids)


@receiver(doorbell_pressed)
def on_doorbell_pressed(sender: Any, device_id: int, pressed_at: datetime, **kwargs: Any) -> None:
    outbox.press(device_id, pressed_at)


@receiver(reach_asked)
def on_reach_asked(sender: Any, device_model_id: int, **kwargs: Any) -> int:
    """How many customers are linked and have a device of this model that Alexa knows."""
    live = Endpoint.objects.filter(device__device_model=device_model_id, wanted=True, due_at__isnull=False)
    return live.aggregate(customers=Count("grant__user", distinct=True))["customers"]
