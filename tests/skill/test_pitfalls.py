"""The list of pitfalls at the end of the Alexa reference (section 11): here where no other test is about it, ELSEWHERE names the
others. And that every error we can say can be provoked."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now
from django.utils import timezone

from devices import registry
from devices.inventory import Measurement, record_reading
from devices.models import Device
from skill import handlers
from skill.alexa import errors
from skill.models import AlexaGrant, Application, Endpoint, Event
from tests import oracle
from tests.skill.deeds import accept_grant, deliver_all, directive, error_of, make_due, reading, report_state, token_of

pytestmark = pytest.mark.django_db(transaction=True)
TESTS = Path(__file__).parents[1]
ELSEWHERE = {
    3: ("skill/test_gateway_answers.py", "test_an_expired_token_is_refreshed_once_and_the_report_sent_again"),
    5: ("skill/test_golden.py", "test_inventory_consumed"),
    8: ("skill/test_delivery.py", "test_the_daily_report_repeats_an_unchanged_level_and_moves_along_the_grid"),
    9: ("skill/test_delivery.py", "test_level_zero_is_a_level"),
    12: ("skill/test_directives.py", "test_it_stores_the_tokens_encrypted_and_the_region"),
    13: ("skill/test_oauth.py", "test_all_three_redirect_addresses"),
    14: ("portal/test_connect.py", "test_a_server_of_few_threads_does_not_lock_itself"),
    17: (
        "skill/test_linking.py",
        "test_unlinking_tells_what_was_used_and_then_the_deletion_once_while_the_tokens_live",
    ),
}


def test_none_of_the_eighteen_is_without_a_test() -> None:
    numbers = re.findall(r"\ndef test_((?:\d+_(?:and_)?)+)", Path(__file__).read_text())
    here = {int(number) for each in numbers for number in re.findall(r"\d+", each)}
    assert here | ELSEWHERE.keys() == set(range(1, 19))
    for file, name in ELSEWHERE.values():
        assert f"def {name}(" in (TESTS / file).read_text(), (file, name)


def test_1_the_token_that_comes_in_never_goes_out(ask: Any, token: str, machine: Any, amazon: Any) -> None:
    """Ours in directives, Amazon's in events, and there in both places the same."""
    ask(accept_grant(token))
    ask(directive("Alexa.Discovery", "Discover", token))
    reading(machine, 40, 1)
    registry.rename(machine, "Kitchen espresso")
    make_due(Endpoint.objects.all())
    deliver_all()
    registry.release(machine)
    deliver_all()
    told = {event["event"]["header"]["name"] for event in amazon.events}
    assert told == {"AddOrUpdateReport", "ChangeReport", "DeleteReport"}
    for event in amazon.events:
        scope = event["event"].get("endpoint", event["event"]["payload"])["scope"]
        assert scope == {"type": "BearerToken", "token": event["_token"]}
        assert token not in json.dumps(event)


def test_2_and_4_only_amazons_own_words_end_a_link(linked: Any, machine: Any, amazon: Any) -> None:
    """The gateway says `code`, not `type`; a 403 that does not say it deletes nothing."""
    AlexaGrant.objects.update(accepted_at=Now() - timedelta(hours=1))
    for body in ['{"payload": {"type": "SKILL_DISABLED_EXCEPTION", "message": "x"}}', "{}", "", "[1]"]:
        amazon.script = lambda event, body=body: (403, body, "raw")
        amazon.attempts.clear()
        reading(machine, 40, 1)
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        assert amazon.attempts, body
        linked.refresh_from_db()
        assert linked.state == "active", body


def test_3_a_400_is_about_the_event_and_not_about_the_token(linked: Any, machine: Any, amazon: Any) -> None:
    """Nothing is refreshed for it, and the link stays."""
    asked = len(amazon.token_requests)
    amazon.script = lambda event: (400, "INVALID_REQUEST_EXCEPTION")
    reading(machine, 40, 1)
    deliver_all()
    assert len(amazon.attempts) == 1
    assert len(amazon.token_requests) == asked
    linked.refresh_from_db()
    assert linked.state == "active"


def test_7_what_the_schema_is_too_old_for_is_judged_all_the_same(
    linked: Any, machine: Any, crema: Any, amazon: Any
) -> None:
    """It would refuse what is right; our oracles know, and the second one still condemns what is wrong."""
    oracle.needs_schema()
    crema.slots.create(
        slot_id="pods", name="Pods", sensor="usage", measurement="Count", instance="Pod", replenishment_id="a"
    )
    record_reading(machine, [Measurement("pods", 1, Decimal(2), None)], timezone.now())
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    told = [*amazon.named("AddOrUpdateReport"), *amazon.named("InventoryConsumed")]
    assert len(told) == 2
    for event in ({"event": each["event"]} for each in told):
        assert not oracle.schema().is_valid(event)  # type: ignore[union-attr]
        assert oracle.about_event(event) == []
    used = told[1]["event"]
    assert oracle.about_event({"event": used | {"header": used["header"] | {"instance": ""}}})


def test_6_a_usage_sensor_has_no_properties(ask: Any, token: str, machine: Any, crema: Any) -> None:
    for sensor in ("usage", "level_usage"):
        crema.slots.create(
            slot_id=sensor,
            name="Pods",
            sensor=sensor,
            measurement="Count",
            instance=f"Pod.{sensor}",
            replenishment_id=sensor,
        )
        record_reading(machine, [Measurement(sensor, 1, Decimal(2), None)], timezone.now())
    (described,) = ask(directive("Alexa.Discovery", "Discover", token))["event"]["payload"]["endpoints"]
    sensors = [each for each in described["capabilities"] if each.get("instance", "").startswith("Pod.")]
    assert len(sensors) == 2
    assert not any("properties" in each for each in sensors)
    told = ask(report_state(token, str(machine.ownership)))["context"]["properties"]
    assert [item["name"] for item in told] == ["connectivity"]


def test_10_instances_are_of_the_model_and_endpoint_ids_of_the_ownership(
    ask: Any, token: str, machine: Any, crema: Any, bob: Any, alexa: Application
) -> None:
    def described(of: str) -> tuple[str, str]:
        (endpoint,) = ask(directive("Alexa.Discovery", "Discover", of))["event"]["payload"]["endpoints"]
        return endpoint["endpointId"], endpoint["capabilities"][-1]["instance"]

    registered = registry.register("BOBS-1", crema)
    registry.claim(bob, "BOBS-1", registered.claim_code)
    (hers, instance), (his, same) = described(token), described(token_of(bob, alexa))
    assert instance == same == "Beans.Hopper"
    assert hers != his
    assert described(token)[0] == hers, "stable"


def test_11_any_clock_becomes_utc_with_milliseconds(ask: Any, token: str, machine: Any) -> None:
    far_east = datetime.fromisoformat("2026-03-02T08:31:45.123456+09:00")
    type(machine).objects.update(claimed_at=far_east)
    record_reading(machine, [Measurement("beans", 1, Decimal(40), far_east)], datetime(2026, 3, 3, tzinfo=UTC))
    level = ask(report_state(token, str(machine.ownership)))["context"]["properties"][0]
    assert level["timeOfSample"] == "2026-03-01T23:31:45.123Z"


def test_15_a_rotated_refresh_token_is_stored_before_the_new_access_token_is_used(
    linked: Any, machine: Any, amazon: Any
) -> None:
    seen = []

    def stored() -> str:
        try:
            return str(AlexaGrant.objects.get().refresh_token)
        finally:
            connections.close_all()

    async def look(event: Any) -> None:
        seen.append((event["_token"], await asyncio.to_thread(stored)))

    AlexaGrant.objects.update(expires_at=Now())
    amazon.script = look
    reading(machine, 40, 1)
    deliver_all()
    assert seen == [("Atza|2", "Atzr|2")]


def test_16_names_of_any_script_arrive_whole(linked: Any, machine: Any, amazon: Any) -> None:
    """A length counted in characters would cut the message."""
    registry.rename(machine, "Küche コーヒー")
    deliver_all()
    (report,) = amazon.named("AddOrUpdateReport")
    assert report["event"]["payload"]["endpoints"][0]["friendlyName"] == "Küche コーヒー"


def test_18_accepted_is_the_end_of_it(linked: Any, machine: Any, amazon: Any, crema: Any) -> None:
    """There is no receipt to wait for."""
    crema.slots.create(
        slot_id="pods", name="Pods", sensor="usage", measurement="Count", instance="Pod", replenishment_id="a"
    )
    record_reading(machine, [Measurement("pods", 1, Decimal(2), None)], timezone.now())
    deliver_all()
    assert Event.objects.get().status == Event.Status.SENT
    deliver_all()
    assert len(amazon.named("InventoryConsumed")) == 1


def test_every_error_that_we_know_can_be_provoked(
    ask: Any, token: str, machine: Any, crema: Any, alice: Any, alexa: Application, amazon: Any, monkeypatch: Any
) -> None:
    crema.capabilities = ["PowerController"]
    crema.save()
    name = str(machine.ownership)
    turn_on = directive("Alexa.PowerController", "TurnOn", token, name, correlationToken="c")
    amazon.lwa_script = lambda form: (400, {"error": "invalid_grant"})
    expired = token_of(alice, alexa, expires=timezone.now() - timedelta(seconds=1))
    provoked = {
        error_of(ask(body))
        for body in (
            turn_on,
            report_state("unknown", name),
            report_state(expired, name),
            report_state(token, "unknown"),
            directive("Alexa.ColorController", "SetColor", token, name),
            accept_grant(token),
        )
    }
    Device.objects.update(online=False, last_seen_at=timezone.now())
    provoked.add(error_of(ask(turn_on)))
    monkeypatch.setitem(handlers.HANDLERS, ("Alexa", "ReportState"), lambda *arguments: 1 / 0)
    provoked.add(error_of(ask(report_state(token, name))))
    assert provoked == {kind.type for kind in errors.AlexaError.__subclasses__()}
