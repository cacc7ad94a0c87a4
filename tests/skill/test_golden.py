"""Every kind of message that we emit, whole, as it leaves the house. (Discover.Response, the ChangeReport of a change and
AcceptGrant.Response stand where they are first needed: test_directives.py and test_delivery.py.)"""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from devices import registry
from devices.inventory import Measurement, record_reading
from skill import linking, outbox
from skill.models import Endpoint
from tests.skill.deeds import accept_grant, deliver_all, directive, make_due, more_machines, reading, report_state

pytestmark = pytest.mark.django_db(transaction=True)
MEASURED = datetime(2026, 3, 2, 7, 31, 45, 250_999, tzinfo=UTC)
HEARD = "2026-03-02T08:00:00.000Z"
LEVEL = {
    "namespace": "Alexa.InventoryLevelSensor",
    "instance": "Beans.Hopper",
    "name": "level",
    "value": {"@type": "Percentage", "value": 38},
    "timeOfSample": "2026-03-02T07:31:45.250Z",
    "uncertaintyInMilliseconds": 0,
}
CONNECTED = {
    "namespace": "Alexa.EndpointHealth",
    "name": "connectivity",
    "value": {"value": "OK"},
    "timeOfSample": HEARD,
    "uncertaintyInMilliseconds": 0,
}


def without_id(message: dict[str, Any]) -> dict[str, Any]:
    """The message without what is new in each; that it is a UUID is checked."""
    assert uuid.UUID(message["event"]["header"].pop("messageId")).version == 4
    return {key: value for key, value in message.items() if not key.startswith("_")}


def measured(machine: Any) -> None:
    """38 % in the morning; last heard at eight."""
    record_reading(machine, [Measurement("beans", 1, Decimal(38), MEASURED)], timezone.now())
    type(machine).objects.update(last_seen_at=datetime(2026, 3, 2, 8, tzinfo=UTC), claimed_at=MEASURED)


def bearer(number: int = 1) -> dict[str, str]:
    return {"type": "BearerToken", "token": f"Atza|{number}"}


def test_state_report(ask: Any, token: str, machine: Any) -> None:
    measured(machine)
    assert without_id(ask(report_state(token, str(machine.ownership)))) == {
        "context": {"properties": [LEVEL, CONNECTED]},
        "event": {
            "header": {
                "namespace": "Alexa",
                "name": "StateReport",
                "payloadVersion": "3",
                "correlationToken": "c0rr3l4tion==",
            },
            "endpoint": {"endpointId": str(machine.ownership)},
            "payload": {},
        },
    }


def test_the_daily_change_report(linked: Any, machine: Any, amazon: Any) -> None:
    measured(machine)
    Endpoint.objects.update(changed={})
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    (report,) = amazon.named("ChangeReport")
    assert without_id(report) == {
        "context": {"properties": [CONNECTED]},
        "event": {
            "header": {"namespace": "Alexa", "name": "ChangeReport", "payloadVersion": "3"},
            "endpoint": {"scope": bearer(), "endpointId": str(machine.ownership)},
            "payload": {"change": {"cause": {"type": "PERIODIC_POLL"}, "properties": [LEVEL]}},
        },
    }


def test_the_report_of_a_lost_connection(linked: Any, machine: Any, amazon: Any) -> None:
    measured(machine)
    deliver_all()
    type(machine).objects.update(online=False)
    outbox.mark_changed([machine.pk], {"connectivity": "PERIODIC_POLL"})
    deliver_all()
    assert without_id(amazon.named("ChangeReport")[-1]) == {
        "context": {"properties": [LEVEL]},
        "event": {
            "header": {"namespace": "Alexa", "name": "ChangeReport", "payloadVersion": "3"},
            "endpoint": {"scope": bearer(), "endpointId": str(machine.ownership)},
            "payload": {
                "change": {
                    "cause": {"type": "PERIODIC_POLL"},
                    "properties": [CONNECTED | {"value": {"value": "UNREACHABLE"}}],
                }
            },
        },
    }, "levels are not repeated as changed: Amazon counts updates"


def test_add_or_update_report(linked: Any, machine: Any, amazon: Any) -> None:
    registry.rename(machine, "Kitchen espresso")
    deliver_all()
    (report,) = amazon.named("AddOrUpdateReport")
    assert without_id(report) == {
        "event": {
            "header": {"namespace": "Alexa.Discovery", "name": "AddOrUpdateReport", "payloadVersion": "3"},
            "payload": {
                "endpoints": [
                    {
                        "endpointId": str(machine.ownership),
                        "manufacturerName": "Nordkap Home",
                        "friendlyName": "Kitchen espresso",
                        "description": "Espresso machine by Nordkap Home",
                        "displayCategories": ["COFFEE_MAKER"],
                        "additionalAttributes": {
                            "manufacturer": "Nordkap Home",
                            "model": "Crema 20",
                            "serialNumber": "CRM20-0001",
                        },
                        "capabilities": [
                            {"type": "AlexaInterface", "interface": "Alexa", "version": "3"},
                            {
                                "type": "AlexaInterface",
                                "interface": "Alexa.EndpointHealth",
                                "version": "3",
                                "properties": {
                                    "supported": [{"name": "connectivity"}],
                                    "proactivelyReported": True,
                                    "retrievable": True,
                                },
                            },
                            {
                                "type": "AlexaInterface",
                                "interface": "Alexa.InventoryLevelSensor",
                                "version": "3",
                                "instance": "Beans.Hopper",
                                "properties": {
                                    "supported": [{"name": "level"}],
                                    "proactivelyReported": True,
                                    "retrievable": True,
                                },
                                "capabilityResources": {
                                    "friendlyNames": [
                                        {"@type": "text", "value": {"text": "Coffee beans", "locale": "en-US"}}
                                    ]
                                },
                                "configuration": {
                                    "measurement": {"@type": "Percentage"},
                                    "replenishment": {
                                        "@type": "DashReplenishmentId",
                                        "value": "arn:alexa:smarthome:drs:sensor:6a1f0c52-93d4-4c0e-8a55-0d5b6f2f7711",
                                    },
                                },
                            },
                        ],
                    }
                ],
                "scope": bearer(),
            },
        }
    }


def test_delete_report(linked: Any, machine: Any, amazon: Any) -> None:
    endpoint_id = str(machine.ownership)
    registry.release(machine)
    deliver_all()
    (report,) = amazon.named("DeleteReport")
    assert without_id(report) == {
        "event": {
            "header": {"namespace": "Alexa.Discovery", "name": "DeleteReport", "payloadVersion": "3"},
            "payload": {"endpoints": [{"endpointId": endpoint_id}], "scope": bearer()},
        }
    }


@pytest.mark.parametrize(
    ("sensor", "interface", "usage"),
    [
        ("usage", "Alexa.InventoryUsageSensor", {"@type": "Volume", "value": 120, "unit": "MILLILITER"}),
        ("level_usage", "Alexa.InventoryLevelUsageSensor", {"@type": "Percentage", "value": 1.5}),
    ],
)
def test_inventory_consumed(
    linked: Any, machine: Any, crema: Any, amazon: Any, sensor: str, interface: str, usage: dict[str, Any]
) -> None:
    kind = {"measurement": usage["@type"], "unit": usage.get("unit", "")}
    crema.slots.create(
        slot_id="cleaner", name="Descaler", sensor=sensor, instance="Cleaner", replenishment_id="a", **kind
    )
    outbox.mark_changed([machine.pk], {"description": ""})
    type(machine).objects.update(claimed_at=MEASURED)
    record_reading(machine, [Measurement("cleaner", 1, Decimal(str(usage["value"])), MEASURED)], timezone.now())
    deliver_all()
    (event,) = amazon.named("InventoryConsumed")
    assert without_id(event) == {
        "event": {
            "header": {
                "namespace": interface,
                "name": "InventoryConsumed",
                "payloadVersion": "3",
                "instance": "Cleaner",
            },
            "endpoint": {"scope": bearer(), "endpointId": str(machine.ownership)},
            "payload": {"usage": usage, "timeOfSample": "2026-03-02T07:31:45Z"},
        }
    }


def test_error_response(ask: Any, token: str, machine: Any) -> None:
    assert without_id(ask(report_state(token, "nk-brz300-ffffffff"))) == {
        "event": {
            "header": {
                "namespace": "Alexa",
                "name": "ErrorResponse",
                "payloadVersion": "3",
                "correlationToken": "c0rr3l4tion==",
            },
            "endpoint": {"endpointId": "nk-brz300-ffffffff"},
            "payload": {"type": "NO_SUCH_ENDPOINT", "message": "No such endpoint."},
        }
    }


def test_error_response_of_accept_grant(ask: Any, token: str, amazon: Any) -> None:
    amazon.lwa_script = lambda form: (400, {"error": "invalid_grant", "error_description": "used\x00 up"})
    assert without_id(ask(accept_grant(token))) == {
        "event": {
            "header": {"namespace": "Alexa.Authorization", "name": "ErrorResponse", "payloadVersion": "3"},
            "payload": {
                "type": "ACCEPT_GRANT_FAILED",
                "message": "Login with Amazon did not take the code: invalid_grant: used up",
            },
        }
    }


def test_a_name_that_alexa_would_not_take_is_made_one(ask: Any, token: str, machine: Any, crema: Any) -> None:
    def name() -> str:
        (endpoint,) = ask(directive("Alexa.Discovery", "Discover", token))["event"]["payload"]["endpoints"]
        return str(endpoint["friendlyName"])

    for given, said in [("Alice's machine", "Alices machine"), ("Küche (oben)", "Küche oben"), ("!?", "Crema 20")]:
        type(machine).objects.update(name=given)
        assert name() == said


def test_nothing_is_announced_when_the_description_is_the_same(linked: Any, machine: Any, amazon: Any) -> None:
    outbox.mark_changed([machine.pk], {"description": ""})
    deliver_all()
    assert amazon.attempts == []


def test_a_change_that_nobody_signalled_is_announced_with_the_daily_report(
    linked: Any, machine: Any, crema: Any, amazon: Any
) -> None:
    reading(machine, 50, 1)
    deliver_all()
    crema.slots.update(name="Espresso beans")
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    names = [event["event"]["header"]["name"] for event in amazon.events]
    assert names == ["ChangeReport", "AddOrUpdateReport", "ChangeReport"]


def test_one_bad_description_hides_nobody_else(linked: Any, machine: Any, crema: Any, alice: Any, amazon: Any) -> None:
    for number, device in enumerate(more_machines(2, crema, alice), 2):
        registry.rename(device, f"Machine {number}")
    amazon.script = lambda event: (
        (400, "INVALID_REQUEST_EXCEPTION")
        if "Machine 2" in [item.get("friendlyName") for item in event["event"]["payload"].get("endpoints", [])]
        else None
    )
    deliver_all()
    told = [item["friendlyName"] for event in amazon.events for item in event["event"]["payload"]["endpoints"]]
    assert told == ["Machine 3"]
    assert Endpoint.objects.get(device__name="Machine 2").last_code == "INVALID_REQUEST_EXCEPTION"


def test_a_refused_new_name_does_not_stop_the_levels(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.script = lambda event: (
        (400, "INVALID_REQUEST_EXCEPTION") if "endpoints" in event["event"]["payload"] else None
    )
    registry.rename(machine, "Kitchen espresso")
    reading(machine, 44, 1)
    deliver_all()
    (report,) = amazon.events
    assert report["event"]["payload"]["change"]["properties"][0]["value"]["value"] == 44


def test_three_hundred_and_one_machines(
    amazon: Any, ask: Any, token: str, machine: Any, crema: Any, alice: Any
) -> None:
    """Alexa takes 300; the 301st is told of when one of the others goes."""
    from devices.models import Device

    Device.objects.bulk_create(
        Device(
            serial_number=f"M-{number:04d}", device_model=crema, owner=alice, name=f"Machine {number}",
            ownership=uuid.uuid4(), claimed_at=timezone.now(), key_hash="", claim_code_hash="",
        )
        for number in range(300)
    )  # fmt: skip
    linking.accept_grant(alice, "code-1", "NA")
    told = ask(directive("Alexa.Discovery", "Discover", token))["event"]["payload"]["endpoints"]
    assert len(told) == 300
    assert str(machine.ownership) in [endpoint["endpointId"] for endpoint in told], "the first that was claimed"
    assert Endpoint.objects.count() == 300
    Endpoint.objects.update(announced_digest="unsure")
    make_due(Endpoint.objects.all())
    deliver_all()
    assert {len(event["event"]["payload"]["endpoints"]) for event in amazon.named("AddOrUpdateReport")} <= {
        *range(1, 301)
    }
    assert sum(len(event["event"]["payload"]["endpoints"]) for event in amazon.named("AddOrUpdateReport")) == 300
    registry.release(machine)
    last = Device.objects.get(serial_number="M-0299")
    assert Endpoint.objects.filter(device=last, wanted=True).exists()
