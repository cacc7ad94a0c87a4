"""How the registry reaches Alexa: its signals, heard inside its transactions, written down by outbox."""

from typing import Any

from django.dispatch import receiver

from devices.signals import endpoint_changed, inventory_changed
from skill import endpoints, outbox


@receiver(inventory_changed)
def on_inventory_changed(sender: Any, changes: list[Any], **kwargs: Any) -> None:
    outbox.enqueue(changes)


@receiver(endpoint_changed)
def on_endpoint_changed(sender: Any, device_ids: list[int], what: str, **kwargs: Any) -> None:
    match what:
        case "ownership":
            outbox.follow_ownership(device_ids)
        case "description":
            outbox.mark_changed(device_ids, {endpoints.DESCRIPTION: ""})
        case "connectivity":
            outbox.mark_changed(device_ids, {endpoints.CONNECTIVITY: "PERIODIC_POLL"})
