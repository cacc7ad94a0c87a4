"""The courier's door: every directive and every kind of nonsense gets HTTP 200 with an Alexa answer."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from skill.models import AlexaGrant, Application, Endpoint
from tests.skill.deeds import (
    accept_grant,
    directive,
    error_of,
    more_machines,
    reading,
    report_state,
    token_of,
)

pytestmark = pytest.mark.django_db


def test_discover_tells_of_the_coffee_machine(ask: Any, token: str, machine: Any) -> None:
    answer = ask(directive("Alexa.Discovery", "Discover", token))
    assert answer == {
        "event": {
            "header": {
                "namespace": "Alexa.Discovery",
                "name": "Discover.Response",
                "payloadVersion": "3",
                "messageId": answer["event"]["header"]["messageId"],
            },
            "payload": {
                "endpoints": [
                    {
                        "endpointId": str(machine.ownership),
                        "manufacturerName": "Nordkap Home",
                        "friendlyName": machine.name,
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
                ]
            },
        }
    }


def test_a_customer_without_devices_gets_an_empty_list(ask: Any, token: str) -> None:
    assert ask(directive("Alexa.Discovery", "Discover", token))["event"]["payload"] == {"endpoints": []}


def test_a_sensor_waits_for_its_replenishment_id(ask: Any, token: str, machine: Any, crema: Any) -> None:
    crema.slots.update(replenishment_id="")
    (endpoint,) = ask(directive("Alexa.Discovery", "Discover", token))["event"]["payload"]["endpoints"]
    assert [capability["interface"] for capability in endpoint["capabilities"]] == ["Alexa", "Alexa.EndpointHealth"]


def test_report_state_gives_every_property_as_measured(ask: Any, token: str, machine: Any) -> None:
    reading(machine, 0, 1)
    answer = ask(report_state(token, str(machine.ownership)))
    assert answer["event"]["header"]["name"] == "StateReport"
    assert answer["event"]["header"]["correlationToken"] == "c0rr3l4tion=="
    assert answer["event"]["endpoint"] == {"endpointId": str(machine.ownership)}
    values = {item["name"]: item["value"] for item in answer["context"]["properties"]}
    assert values == {"level": {"@type": "Percentage", "value": 0}, "connectivity": {"value": "OK"}}


def test_an_offline_machine_answers_with_its_last_values(ask: Any, token: str, machine: Any) -> None:
    reading(machine, 64, 1)
    type(machine).objects.update(online=False)
    values = {
        item["name"]: item["value"]
        for item in ask(report_state(token, str(machine.ownership)))["context"]["properties"]
    }
    assert values == {"level": {"@type": "Percentage", "value": 64}, "connectivity": {"value": "UNREACHABLE"}}


def test_unknown_endpoints(ask: Any, token: str, machine: Any) -> None:
    for endpoint in ["", "unknown", str(uuid.UUID(int=7)), "x" * 300, "\x00"]:
        assert error_of(ask(report_state(token, endpoint))) == "NO_SUCH_ENDPOINT", endpoint


def test_another_customers_machine_looks_like_an_unknown_one(
    ask: Any, machine: Any, bob: Any, alexa: Application
) -> None:
    theirs = ask(report_state(token_of(bob, alexa), str(machine.ownership)))
    unknown = ask(report_state(token_of(bob, alexa), str(uuid.uuid4())))
    for answer in (theirs, unknown):
        answer["event"]["header"].pop("messageId")
        answer["event"].pop("endpoint")
    assert theirs == unknown


def test_tokens_of_strangers(ask: Any, alice: Any, alexa: Application) -> None:
    discover = lambda token: error_of(ask(directive("Alexa.Discovery", "Discover", token)))  # noqa: E731
    assert discover("never-seen") == "INVALID_AUTHORIZATION_CREDENTIAL"
    assert discover("") == "INVALID_AUTHORIZATION_CREDENTIAL"
    expired = token_of(alice, alexa, expires=timezone.now() - timedelta(seconds=1))
    assert discover(expired) == "EXPIRED_AUTHORIZATION_CREDENTIAL"
    assert discover(token_of(alice, alexa, scope="other")) == "INVALID_AUTHORIZATION_CREDENTIAL"


def test_a_deactivated_customers_token_ends_at_once(ask: Any, alice: Any, token: str) -> None:
    alice.is_active = False
    alice.save()
    assert error_of(ask(directive("Alexa.Discovery", "Discover", token))) == "INVALID_AUTHORIZATION_CREDENTIAL"


NONSENSE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"42",
    b'"directive"',
    b"\xff\xfe",
    b"[" * 100_000,
    b"{}",
    b'{"directive": null}',
    b'{"directive": {"header": [], "payload": {}}}',
    b'{"directive": {"header": {"namespace": 1, "name": "x", "payloadVersion": "3"}, "payload": {}}}',
    json.dumps(directive("Alexa", "ReportState", "t", "e", payloadVersion="2")),
    json.dumps(directive("Alexa", "ReportState", "t", "e", correlationToken={"a": 1})),
    json.dumps(directive("Alexa", "ReportState", "t", "e")),
    json.dumps(directive("Alexa", "ReportState", "t", "e", correlationToken="")),
    json.dumps(
        {
            "directive": {
                "header": {"namespace": "Alexa", "name": "ReportState", "payloadVersion": "3"},
                "endpoint": 5,
                "payload": {},
            }
        }
    ),
    json.dumps(
        directive("Alexa.Discovery", "Discover", payload={"scope": {"type": "BearerTokenWithPartition", "token": "t"}})
    ),
    json.dumps(directive("Alexa.Discovery", "Discover", payload={"scope": {"type": "BearerToken", "token": 7}})),
    json.dumps(directive("Alexa.Discovery", "Discover", payload={})),
    json.dumps(directive("Alexa.Made.Up", "Thing", "t", "e")),
    json.dumps(directive("Alexa.PowerController", "TurnOn", "t", "e")),
    b'{"directive": {"header": {"namespace": "Alexa.Discovery", "name": "Discover", "payloadVersion": "3"},'
    b' "payload": {"scope": {"type": "BearerToken", "token": "\\ud800"}}}}',
    b'{"directive": {"header": {"namespace": "' + b"A" * 300_000 + b'"}}}',
]


def test_nonsense_is_an_invalid_directive(ask: Any) -> None:
    for body in NONSENSE:
        answer = ask(body)
        assert error_of(answer) == "INVALID_DIRECTIVE", body[:300]
        assert answer["event"]["payload"]["message"], body[:300]


def test_the_error_of_a_broken_directive_still_answers_to_it(ask: Any) -> None:
    answer = ask(directive("Alexa.Lights", "Dim", "t", "e-1", correlationToken="abc"))
    assert answer["event"]["header"]["correlationToken"] == "abc"
    assert answer["event"]["endpoint"] == {"endpointId": "e-1"}


def test_ten_megabytes_are_refused_in_words(ask: Any) -> None:
    assert error_of(ask(b"x" * 10_000_000)) == "INVALID_DIRECTIVE"


def test_an_unknown_region_is_refused(ask: Any, token: str) -> None:
    assert error_of(ask(directive("Alexa.Discovery", "Discover", token), region="MARS")) == "INVALID_DIRECTIVE"


def test_whoever_is_not_the_courier_is_refused(client: Any) -> None:
    for secret in ["", "wrong", "ä"]:
        headers = {"X-Courier-Secret": secret}
        answer = client.post("/skill/directive", "{}", content_type="application/json", headers=headers)
        assert answer.status_code == 403, secret
    assert client.get("/skill/directive").status_code == 405


def test_a_portal_without_the_door_before_its_middleware_answers_the_same(
    ask: Any, token: str, machine: Any, settings: Any, client: Any
) -> None:
    body = report_state(token, str(machine.ownership))
    first = ask(body)
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != "skill.views.Door"]
    client.handler.load_middleware()
    second = ask(body)
    for answer in (first, second):
        answer["event"]["header"].pop("messageId")
        answer["context"] = [item | {"timeOfSample": ""} for item in answer["context"]["properties"]]
    assert first == second


@pytest.mark.django_db(transaction=True)
class TestAcceptGrant:
    def test_it_stores_the_tokens_encrypted_and_the_region(
        self, ask: Any, token: str, machine: Any, amazon: Any
    ) -> None:
        answer = ask(accept_grant(token), region="EU")
        answer["event"]["header"].pop("messageId")
        assert answer == {
            "event": {
                "header": {"namespace": "Alexa.Authorization", "name": "AcceptGrant.Response", "payloadVersion": "3"},
                "payload": {},
            }
        }
        assert amazon.token_requests[0]["code"] == "code-1"
        assert "redirect_uri" not in amazon.token_requests[0]
        grant = AlexaGrant.objects.get()
        assert (grant.region, grant.refresh_token) == ("EU", "Atzr|1")
        with connection.cursor() as cursor:
            cursor.execute("SELECT access_token || refresh_token FROM skill_alexagrant")
            assert "Atza|" not in cursor.fetchone()[0]
        assert Endpoint.objects.get().device == machine

    def test_twice_with_the_same_code_is_success_and_asks_amazon_once(
        self, ask: Any, token: str, machine: Any, amazon: Any
    ) -> None:
        ask(accept_grant(token))
        assert ask(accept_grant(token))["event"]["header"]["name"] == "AcceptGrant.Response"
        assert len(amazon.token_requests) == 1

    def test_a_new_code_replaces_the_tokens_and_keeps_the_endpoint(
        self, ask: Any, token: str, machine: Any, amazon: Any
    ) -> None:
        ask(accept_grant(token))
        endpoint = Endpoint.objects.get().endpoint_id
        ask(accept_grant(token, "code-2"))
        assert AlexaGrant.objects.get().refresh_token == "Atzr|2"
        assert Endpoint.objects.get().endpoint_id == endpoint

    def test_another_region_makes_the_first_dormant(self, ask: Any, token: str, machine: Any, amazon: Any) -> None:
        ask(accept_grant(token), region="NA")
        ask(accept_grant(token, "code-2"), region="EU")
        assert dict(AlexaGrant.objects.values_list("region", "state")) == {"NA": "dormant", "EU": "active"}
        assert dict(Endpoint.objects.values_list("region", "due_at"))["NA"] is None

    def test_a_refusal_fails_the_linking_and_stores_nothing(self, ask: Any, token: str, amazon: Any) -> None:
        for refusal in [
            (400, {"error": "invalid_grant"}),
            (401, {"error": "invalid_client"}),
            (500, {}),
            (200, {"nothing": "here"}),
        ]:
            amazon.lwa_script = lambda form, refusal=refusal: refusal
            answer = ask(accept_grant(token))
            assert error_of(answer) == "ACCEPT_GRANT_FAILED", refusal
            assert answer["event"]["header"]["namespace"] == "Alexa.Authorization"
            assert not AlexaGrant.objects.exists(), refusal

    def test_login_with_amazon_out_of_reach(self, ask: Any, token: str, settings: Any) -> None:
        settings.LWA_TOKEN_URL = "http://127.0.0.1:9/auth/o2/token"
        assert error_of(ask(accept_grant(token))) == "ACCEPT_GRANT_FAILED"

    def test_malformed_grants(self, ask: Any, token: str) -> None:
        for broken in [{"code": ""}, {"code": 5}, {"type": "Other"}]:
            assert error_of(ask(accept_grant(token, **broken))) == "ACCEPT_GRANT_FAILED", broken

    def test_discover_after_it_leaves_nothing_to_announce(
        self, ask: Any, token: str, machine: Any, amazon: Any
    ) -> None:
        from tests.skill.deeds import deliver_all, make_due

        ask(accept_grant(token))
        ask(directive("Alexa.Discovery", "Discover", token))
        make_due(Endpoint.objects.all())
        deliver_all()
        assert amazon.named("AddOrUpdateReport") == []

    def test_discover_before_it_works_too(self, ask: Any, token: str, machine: Any, amazon: Any) -> None:
        from tests.skill.deeds import deliver_all, make_due

        ask(directive("Alexa.Discovery", "Discover", token))
        ask(accept_grant(token))
        make_due(Endpoint.objects.all())
        deliver_all()
        (announced,) = amazon.named("AddOrUpdateReport")
        assert announced["event"]["payload"]["endpoints"][0]["endpointId"] == str(machine.ownership)


def test_queries_do_not_grow_with_the_devices(ask: Any, token: str, machine: Any, crema: Any, alice: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def count(body: Any) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            ask(body)
        return len(queries)

    one = count(directive("Alexa.Discovery", "Discover", token)), count(report_state(token, str(machine.ownership)))
    more_machines(6, crema, alice)
    eight = count(directive("Alexa.Discovery", "Discover", token)), count(report_state(token, str(machine.ownership)))
    assert one == eight == (5, 2)  # without a link each Discover notes that it came
