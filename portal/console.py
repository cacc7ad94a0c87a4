"""The admin's menu, room by room in the order in which support looks, and its small picture. What a person may not see is not listed."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

ROOMS: dict[str, list[tuple[str, str, str]]] = {  # title → (words, icon, app_model)
    "Devices": [
        ("Devices", "coffee_maker", "devices_device"),
        ("Inventory", "inventory_2", "devices_inventory"),
        ("Readings", "show_chart", "devices_reading"),
        ("Models", "category", "devices_devicemodel"),
        ("Slots", "grid_view", "devices_slot"),
        ("Publications", "publish", "devices_revision"),
        ("Marketplaces", "public", "devices_marketplace"),
        ("Refused claims", "help", "devices_claimattempt"),
        ("Shadows", "contrast", "devices_shadow"),
        ("Device events", "notifications_active", "devices_deviceevent"),
    ],
    "Alexa": [
        ("Links", "link", "skill_alexagrant"),
        ("Linking attempts", "troubleshoot", "skill_linkingattempt"),
        ("Endpoints", "sensors", "skill_endpoint"),
        ("Missed reports", "event_busy", "skill_miss"),
        ("Events", "outbox", "skill_event"),
        ("Gateways", "traffic", "skill_gateway"),
        ("OAuth clients", "key", "skill_application"),
    ],
    "Amazon's notifications": [
        ("Orders", "package_2", "notifications_order"),
        ("Messages", "mail", "notifications_message"),
        ("Notifications", "notifications", "notifications_notification"),
        ("Registrations", "how_to_reg", "notifications_drsregistration"),
        ("Smart Properties", "apartment", "notifications_propertyevent"),
        ("Units and roles", "meeting_room", "notifications_propertyoperation"),
        ("Topics", "campaign", "notifications_topic"),
    ],
    "On call": [("Alarms", "alarm", "portal_alarm")],
    "People": [
        ("Users", "person", "portal_user"),
        ("Email addresses", "alternate_email", "account_emailaddress"),
        ("Groups", "group", "auth_group"),
    ],
}


def menu(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar for this person; a room of which nothing may be seen is left out."""
    rooms = {room: [_item(*item) for item in items if _may_see(request, item[2])] for room, items in ROOMS.items()}
    return [{"title": room, "items": items} for room, items in rooms.items() if items]


def favicon(request: HttpRequest) -> str:
    return static("portal/favicon.svg")


def style(request: HttpRequest) -> str:
    return static("portal/admin.css")


def _item(words: str, icon: str, model: str) -> dict[str, str]:
    return {"title": words, "icon": icon, "link": reverse(f"admin:{model}_changelist")}


def _may_see(request: HttpRequest, model: str) -> bool:
    app, _, name = model.partition("_")
    return any(request.user.has_perm(f"{app}.{verb}_{name}") for verb in ("view", "change"))  # type: ignore[union-attr]
