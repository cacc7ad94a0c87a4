"""Which region a customer is in, and what we find out when the courier that brought the link was in the wrong one."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from skill import claims, gateway
from skill.models import AlexaGrant, Endpoint, Event
from tests.skill.deeds import accept_grant, deliver_all, make_due, outlast_older_links, pods, reading

pytestmark = pytest.mark.django_db(transaction=True)


def only(*regions: str, code: str = "SKILL_NEVER_ENABLED_EXCEPTION", status: int = 403) -> Any:
    """These regions know the customer."""
    return lambda event: None if event["_region"] in regions else (status, code)


def tell_again(machine: Any, level: int) -> None:
    reading(machine, level, level)
    make_due(Endpoint.objects.all())
    deliver_all()


@pytest.fixture
def settled(linked: Any) -> Any:
    AlexaGrant.objects.update(accepted_at=Now() - timedelta(hours=1))
    return linked


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "SKILL_NEVER_ENABLED_EXCEPTION"), (404, "SKILL_NOT_FOUND_EXCEPTION"), (403, "")],
)
def test_another_region_knows_her(settled: Any, machine: Any, amazon: Any, status: int, code: str) -> None:
    amazon.script = only("EU", status=status, code=code)
    tell_again(machine, 41)
    tell_again(machine, 40)
    assert [event["_region"] for event in amazon.attempts] == ["NA", "EU", "FE", "NA"], "asked once, not every time"
    settled.refresh_from_db()
    assert settled.other_regions == (
        "EU took the event that NA refused: the function that brought this link is in the wrong region. "
        "Deploy one for EU; then the customer disables the skill and enables it again."
    )
    assert (settled.state, settled.region) == ("active", "NA")


def test_no_region_knows_her(settled: Any, machine: Any, amazon: Any) -> None:
    amazon.script = only()
    tell_again(machine, 41)
    settled.refresh_from_db()
    assert settled.other_regions == (
        "No other region knows this customer either "
        "(EU: SKILL_NEVER_ENABLED_EXCEPTION, FE: SKILL_NEVER_ENABLED_EXCEPTION)."
    )
    assert settled.state == "active", "a 403 without SKILL_DISABLED ends no link"


def test_only_what_does_no_harm_twice_asks_the_others(settled: Any, machine: Any, crema: Any, amazon: Any) -> None:
    """A use that a second region took would count twice."""
    pods(crema)
    amazon.script = only("EU")
    reading(machine, 1, 1, slot="pods")
    make_due(Endpoint.objects.all())
    deliver_all()
    assert [event["_region"] for event in amazon.attempts if "InventoryConsumed" in str(event)] == ["NA"]
    settled.refresh_from_db()
    assert settled.other_regions == ""
    amazon.attempts.clear()
    Event.objects.all().delete()
    tell_again(machine, 41)
    assert {event["_region"] for event in amazon.attempts} == {"NA", "EU", "FE"}


def test_nobody_else_is_asked_where_the_lease_may_run_out_meanwhile(
    settled: Any, machine: Any, amazon: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(claims, "LEASE_SECONDS", gateway.TIMEOUT_SECONDS * 2 + 4)
    amazon.script = only("EU")
    tell_again(machine, 41)
    assert {event["_region"] for event in amazon.attempts} == {"NA"}


def test_in_the_first_minutes_it_may_only_not_have_spread_yet(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.script = only("EU")
    tell_again(machine, 41)
    assert {event["_region"] for event in amazon.attempts} == {"NA"}


def test_a_new_link_begins_again(settled: Any, machine: Any, amazon: Any, ask: Any, token: str) -> None:
    AlexaGrant.objects.update(other_regions="Something of old.")
    ask(accept_grant(token, "code-2"))
    settled.refresh_from_db()
    assert settled.other_regions == ""


@pytest.mark.parametrize("code", ["INSUFFICIENT_PERMISSION_EXCEPTION", "SKILL_DISABLED_EXCEPTION"])
def test_what_has_nothing_to_do_with_regions_asks_nobody_else(
    settled: Any, machine: Any, amazon: Any, code: str
) -> None:
    amazon.script = only(code=code)
    tell_again(machine, 41)
    assert {event["_region"] for event in amazon.attempts} == {"NA"}


def test_a_link_in_each_region_and_reports_only_where_the_last_courier_was(
    ask: Any, token: str, machine: Any, amazon: Any
) -> None:
    """To two she would be sold the beans twice."""
    for number, region in enumerate(("NA", "EU", "FE", "EU")):
        amazon.events.clear()
        ask(accept_grant(token, f"code-{number}"), region=region)
        outlast_older_links()
        tell_again(machine, 33 + number)
        assert {event["_region"] for event in amazon.events} == {region}
    assert dict(AlexaGrant.objects.values_list("region", "state")) == {"NA": "dormant", "EU": "active", "FE": "dormant"}
