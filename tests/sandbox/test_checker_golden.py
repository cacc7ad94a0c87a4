"""Right messages of every kind, whole: the oracle has nothing to say. Alice's kitchen, our own values."""

from portal.sandbox.checker import kind_of, violations
from tests.sandbox.far_side import TIME, change_report, coffee_machine, connectivity, header, level, scope

ENDPOINT = {"endpointId": "crema-alice-1"}
GATEWAY = ENDPOINT | {"scope": scope()}
TOKEN = {"correlationToken": "c29tZSBvcGFxdWUgdGV4dA=="}
USAGE, LEVEL_USAGE = "Alexa.InventoryUsageSensor", "Alexa.InventoryLevelUsageSensor"


def sensor(interface: str, instance: str, measurement: dict) -> dict:
    """A usage or level-usage capability: no properties."""
    return {
        "type": "AlexaInterface",
        "interface": interface,
        "version": "3",
        "instance": instance,
        "capabilityResources": {"friendlyNames": [{"@type": "text", "value": {"text": "Supply", "locale": "de-DE"}}]},
        "configuration": {
            "measurement": measurement,
            "replenishment": {"@type": "DashReplenishmentId", "value": "opaque-id"},
        },
    }


def every_sensor() -> dict:
    """A machine with pods, water and a filter, a switch and a bell."""
    machine = coffee_machine() | {"endpointId": "crema-alice-2", "friendlyName": "Küche 2 รินกาแฟ"}
    power = {"type": "AlexaInterface", "interface": "Alexa.PowerController", "version": "3"}
    machine["capabilities"] += [
        sensor(USAGE, "Pod.Coffee", {"@type": "Count"}),
        sensor(USAGE, "Cleaner", {"@type": "Volume", "unit": "MILLILITER"}),
        sensor(LEVEL_USAGE, "Filter", {"@type": "Percentage"}),
        power
        | {"properties": {"supported": [{"name": "powerState"}], "proactivelyReported": True, "retrievable": True}},
        {
            "type": "AlexaInterface",
            "interface": "Alexa.DoorbellEventSource",
            "version": "3",
            "proactivelyReported": True,
        },
    ]
    return machine


def consumed(interface: str, instance: str, usage: dict) -> dict:
    """A use, told once."""
    payload = {"usage": usage, "timeOfSample": "2026-11-21T07:31:45Z"}
    told = header(interface, "InventoryConsumed", instance=instance)
    return {"event": {"header": told, "endpoint": GATEWAY, "payload": payload}}


def error(kind: str, **more: object) -> dict:
    """An ErrorResponse to a directive for Alice's machine."""
    payload = {"type": kind, "message": "The machine has not been heard from."} | more
    return {"event": {"header": header("Alexa", "ErrorResponse", **TOKEN), "endpoint": ENDPOINT, "payload": payload}}


def discovery(*endpoints: dict) -> dict:
    """A Discover.Response."""
    payload = {"endpoints": list(endpoints)}
    return {"event": {"header": header("Alexa.Discovery", "Discover.Response"), "payload": payload}}


def state_report(*properties: dict) -> dict:
    """A StateReport."""
    told = header("Alexa", "StateReport", **TOKEN)
    return {"context": {"properties": list(properties)}, "event": {"header": told, "endpoint": ENDPOINT, "payload": {}}}


def report_of_endpoints(name: str, *endpoints: dict) -> dict:
    """AddOrUpdateReport or DeleteReport."""
    payload = {"endpoints": list(endpoints), "scope": scope()}
    return {"event": {"header": header("Alexa.Discovery", name), "payload": payload}}


def doorbell() -> dict:
    """Somebody is at the door."""
    payload = {"cause": {"type": "PHYSICAL_INTERACTION"}, "timestamp": "2026-11-21T16:44:03Z"}
    told = header("Alexa.DoorbellEventSource", "DoorbellPress")
    return {"context": {}, "event": {"header": told, "endpoint": GATEWAY, "payload": payload}}


def weight() -> dict:
    """Salt in a tank, in kilograms."""
    value = {"@type": "Weight", "value": 11.4, "unit": "KILOGRAM"}
    return level(1) | {"instance": "Salt.Tank", "value": value, "uncertaintyInMilliseconds": 60000}


def asynchronous() -> dict:
    """The Response after a DeferredResponse, through the gateway."""
    told = header("Alexa", "Response", **TOKEN)
    power = {"namespace": "Alexa.PowerController", "name": "powerState", "value": "OFF"}
    power |= {"timeOfSample": TIME, "uncertaintyInMilliseconds": 200}
    context = {"properties": [power, connectivity()]}
    return {"context": context, "event": {"header": told, "endpoint": GATEWAY, "payload": {}}}


def offline() -> dict:
    """The machine lost its network."""
    message = change_report()
    lost = connectivity("UNREACHABLE")
    lost["value"]["reason"] = "INTERNET_UNREACHABLE"
    message["event"]["payload"]["change"]["properties"] = [lost]
    return message | {"context": {}}


def authorization(name: str, payload: dict) -> dict:
    """An answer to AcceptGrant."""
    return {"event": {"header": header("Alexa.Authorization", name), "payload": payload}}


GOLDEN = {
    "daily level": change_report(),
    "level zero is data": change_report(0),
    "a hundred": change_report(100),
    "a fraction": change_report(12.5),
    "refilled": change_report(100, cause="PHYSICAL_INTERACTION"),
    "lost its network": offline(),
    "discovery": discovery(coffee_machine()),
    "no devices": discovery(),
    "every sensor": discovery(coffee_machine(), every_sensor()),
    "a new device": report_of_endpoints("AddOrUpdateReport", coffee_machine()),
    "gone": report_of_endpoints("DeleteReport", ENDPOINT),
    "state": state_report(connectivity(), level(42)),
    "state offline, old sample": state_report(connectivity("UNREACHABLE"), weight()),
    "pods": consumed(USAGE, "Pod.Coffee", {"@type": "Count", "value": 2}),
    "descaler": consumed(USAGE, "Cleaner", {"@type": "Volume", "value": 120, "unit": "MILLILITER"}),
    "filter": consumed(LEVEL_USAGE, "Filter", {"@type": "Percentage", "value": 1.5}),
    "bell": doorbell(),
    "deferred": {
        "event": {"header": header("Alexa", "DeferredResponse", **TOKEN), "payload": {"estimatedDeferralInSeconds": 7}}
    },
    "deferred without seconds": {"event": {"header": header("Alexa", "DeferredResponse", **TOKEN), "payload": {}}},
    "later": asynchronous(),
    "unreachable": error("ENDPOINT_UNREACHABLE"),
    "mode": error("NOT_SUPPORTED_IN_CURRENT_MODE", currentDeviceMode="NOT_PROVISIONED"),
    "low power": error("ENDPOINT_LOW_POWER", percentageState=5),
    "error of a discovery": {
        "event": {"header": header("Alexa", "ErrorResponse"), "payload": {"type": "INTERNAL_ERROR", "message": "Ours."}}
    },
    "granted": authorization("AcceptGrant.Response", {}),
    "not granted": authorization(
        "ErrorResponse", {"type": "ACCEPT_GRANT_FAILED", "message": "Login with Amazon refused."}
    ),
}


def test_a_right_message_has_no_violation():
    assert {name: found for name, message in GOLDEN.items() if (found := violations(message))} == {}


def test_each_kind_is_right_on_its_way_and_only_there():
    assert violations(GOLDEN["daily level"], over="gateway") == []
    assert violations(GOLDEN["later"], over="gateway") == []
    assert violations(GOLDEN["state"], over="answer") == []
    assert "goes to the Event Gateway" in violations(GOLDEN["daily level"], over="answer")[0]
    assert "never sent to the gateway" in violations(GOLDEN["discovery"], over="gateway")[0]
    assert "event.endpoint.scope: is missing" in violations(GOLDEN["state"], over="gateway")


def test_the_kind_is_the_name_in_the_header():
    assert kind_of(GOLDEN["pods"]) == "InventoryConsumed"
    assert kind_of(["no", "message"]) == "unreadable message"
