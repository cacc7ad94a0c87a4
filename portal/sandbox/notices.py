"""The Dash notifications about orders, as Amazon puts them into the Message of an SNS notification. Pure.

Version 2.0 of OrderPlaced and ItemShipped; OrderCancelled has one version only. (DRS reference 2 and 3.)
"""

from __future__ import annotations

from .state import Json


def notification(kind: str, order: Json, identifier: str, moment: str, client_id: str) -> Json:
    """One notification of kind OrderPlaced, OrderCancelled or ItemShipped; moment is UTC with milliseconds."""
    return {
        "notificationInfo": {
            "notificationType": f"{kind}Notification",
            "lwaClientId": client_id,
            "notificationTime": moment,
            "notificationId": f"amzn1.dash.notification.v1.{identifier}",
            "version": "2015-06-05",
        },
        "deviceInfo": {
            "deviceIdentifier": {"serialNumber": order["serial"]},
            "productIdentifier": {"modelId": order["model"]},
        },
        "customerInfo": {"directedCustomerId": order["customer"]},
        "orderInfo": _order_info(kind, order),
    }


def _order_info(kind: str, order: Json) -> Json:
    info: Json = {"instanceId": order["id"], "slotId": order["slot"]}
    return info if kind == "OrderCancelled" else info | {"productInfo": [_product(order)]}


def _product(order: Json) -> Json:
    return {
        "asin": order["asin"],
        "quantity": float(order["quantity"]),
        "unit": order["unit"],
        "estimatedDeliveryDate": order["estimated_delivery"],
    }


def attributes(kind: str) -> Json | None:
    """The SNS MessageAttributes that announce the version, where there is one."""
    return None if kind == "OrderCancelled" else {"version": {"Type": "String", "Value": "2.0"}}
