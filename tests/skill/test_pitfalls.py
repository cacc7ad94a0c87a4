"""The list of pitfalls at the end of the Alexa reference (section 11), where no other test is about it; and that every error we can
say can be provoked."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from devices import registry
from devices.inventory import Measurement, record_reading
from devices.models import Device
from skill import handlers
from skill.alexa import errors
from skill.models import AlexaGrant, Application, Endpoint, Event
from tests.skill.deeds import accept_grant, deliver_all, directive, error_of, make_due, reading, report_state, token_of

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.mark.parametrize("body", ['{"payload": {"type": "SKILL_DISABLED_EXCEPTION", "message": "x"}}', "{}", "", "[1]"])
def test_2_and_4_only_amazons_own_words_end_a_link(linked: Any, machine: Any, amazon: Any, body: str) -> None:
    """The gateway says `code`, not `type`; a 403 that does not say it deletes nothing."""
    AlexaGrant.objects.update(accepted_at=Now() - timedelta(hours=1))
    amazon.script = lambda event: (403, body, "raw")
    reading(machine, 40, 1)
    deliver_all()
    linked.refresh_from_db()
    assert linked.state == "active"


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
    record_reading(machine, [Measurement("beans", 1, Decimal(40), far_east)], datetime(2026, 3, 3, tzinfo=UTC))
    level = ask(report_state(token, str(machine.ownership)))["context"]["properties"][0]
    assert level["timeOfSample"] == "2026-03-01T23:31:45.123Z"


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
