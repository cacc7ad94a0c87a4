"""Dash: counts level updates, places one order per low spell, ships and cancels (Alexa reference 3.1, 9.4).

A level at or below the threshold in three updates in a row is an order, also when all three say the same. Refilling
ends the low spell. Levels are believed only where they were announced; the gateway sees to that before it calls here.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta

from . import links, notices, sns
from .amazon import Amazon
from .checker.words import LEVEL
from .state import Json, now, stamp

UPDATES = 3


class OrderError(Exception):
    """The order is not there or cannot do that any more; the text is for a person."""


def count(amazon: Amazon, account: str, message: Json) -> None:
    """Takes the levels of an accepted ChangeReport into account, at most one order for each slot."""
    endpoint_id = message["event"]["endpoint"]["endpointId"]
    for member in message["event"]["payload"]["change"]["properties"]:
        if member["namespace"] == LEVEL:
            run = _run(amazon, account, endpoint_id, member["instance"])
            _update(amazon, run, member["value"])
            _order_if_low(amazon, run)
    amazon.state.touch()  # an order has been saved by now; a count may be lost with half a second, as the wire may


def _run(amazon: Amazon, account: str, endpoint_id: str, instance: str) -> Json:
    fresh = {
        "account": account,
        "endpoint": endpoint_id,
        "instance": instance,
        "low_run": 0,
        "order": None,
        "highest": 0,
    }
    run: Json = amazon.state.dash.setdefault(f"{account}|{endpoint_id}|{instance}", fresh)
    return run


def _update(amazon: Amazon, run: Json, value: Json) -> None:
    run |= {"level": value["value"], "measurement": value["@type"], "unit": value.get("unit", ""), "heard_at": stamp()}
    run["highest"] = max(run["highest"], value["value"])
    run["low"] = value["value"] <= _threshold(amazon, run)
    run["low_run"] = run["low_run"] + 1 if run["low"] else 0
    run["order"] = run["order"] if run["low"] else None


def _threshold(amazon: Amazon, run: Json) -> float:
    """Per cent as it is; for anything else the same share of the highest level ever heard."""
    share = float(amazon.state.knobs["threshold"])
    return share if run["measurement"] == "Percentage" else run["highest"] * share / 100


def _order_if_low(amazon: Amazon, run: Json) -> None:
    if run["low_run"] < UPDATES or run["order"] or not amazon.state.knobs["automatic_reorder"]:
        return
    order = _new_order(amazon, run)
    run["order"] = order["id"]
    amazon.state.orders.append(order)
    _tell(amazon, order, "OrderPlaced")


def _new_order(amazon: Amazon, run: Json) -> Json:
    device = _device(amazon, run)
    return {
        "id": f"amzn1.dash.v2.o.{uuid.uuid4()}",
        "number": amazon.state.next_number("orders"),
        "account": run["account"],
        "customer": _customer(run["account"]),
        "endpoint": run["endpoint"],
        "instance": run["instance"],
        **device,
        "asin": amazon.settings.asin,
        "quantity": 1.0,
        "unit": "count",
        "level": run["level"],
        "placed_at": stamp(),
        "estimated_delivery": (now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "state": "placed",
    }


def _device(amazon: Amazon, run: Json) -> Json:
    """How the Dash console knows the device: serial and model by its name there, the slot by its own."""
    endpoint = links.announced(amazon.state, run["account"]).get(run["endpoint"], {})
    attributes = endpoint.get("additionalAttributes") or {}
    serial = attributes.get("serialNumber") or amazon.settings.device_serial
    ours = serial == amazon.settings.device_serial
    model = amazon.settings.model_id if ours else attributes.get("model", amazon.settings.model_id)
    slot = amazon.settings.slot_id or run["instance"]
    return {"serial": serial, "model": model, "slot": slot, "name": endpoint.get("friendlyName", run["endpoint"])}


def _customer(account: str) -> str:
    """A pseudonym, the same for an account at all times."""
    return "amzn1.account." + hashlib.sha256(account.encode()).hexdigest()[:28].upper()


def _tell(amazon: Amazon, order: Json, kind: str) -> None:
    message = notices.notification(kind, order, str(uuid.uuid4()), stamp(), amazon.settings.lwa_client_id)
    order["told"] = {"kind": kind, "message": message}
    sns.publish(amazon, order["id"], f"{kind}Notification", message, notices.attributes(kind))


def order_named(amazon: Amazon, order_id: str | None) -> Json:
    """The order, or the newest one that is still open where no name is given; OrderError."""
    open_ones = [order for order in amazon.state.orders if order["state"] == "placed"]
    wanted = [order for order in amazon.state.orders if order["id"] == order_id] if order_id else open_ones
    if not wanted:
        raise OrderError("There is no such order." if order_id else "There is no open order.")
    found: Json = wanted[-1]
    return found


def ship(amazon: Amazon, order: Json) -> None:
    """ItemShippedNotification; OrderError unless the order is open."""
    _close(amazon, order, "shipped", "ItemShipped")


def cancel(amazon: Amazon, order: Json) -> None:
    """OrderCancelledNotification; OrderError unless the order is open."""
    _close(amazon, order, "cancelled", "OrderCancelled")


def _close(amazon: Amazon, order: Json, state: str, kind: str) -> None:
    if order["state"] != "placed":
        raise OrderError(f"Order {order['number']} is already {order['state']}.")
    order |= {"state": state, f"{state}_at": stamp()}
    _tell(amazon, order, kind)


def resend(amazon: Amazon, order: Json) -> None:
    """Publishes the order's last notification again: a new SNS message with the same notificationId inside."""
    kind = order["told"]["kind"]
    sns.publish(amazon, order["id"], f"{kind}Notification", order["told"]["message"], notices.attributes(kind))
