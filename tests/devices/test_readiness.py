"""The checklist of a model: what is done, what is missing, what to do; from the description, from units, from people."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import catalogue, registry
from devices.catalogue import Description, Finding
from devices.inventory import Measurement, record_reading
from devices.models import Device, DeviceModel, HandCheck, Marketplace
from devices.readiness import BY_HAND, Evidence, SlotEvidence, checklist, readiness, slot_evidence
from tests.devices.products import BEANS, CREMA, SHOPS, beans

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SHOWN = Evidence(
    registered=True,
    claimed=True,
    slots={"beans": SlotEvidence(last_heard=NOW, low_in_a_row=3, replaced=True)},
    languages=SHOPS,
)
READY = replace(CREMA, picture="0" * 64)


def missing(description: Description, evidence: Evidence = SHOWN, findings: Any = ()) -> dict[str, str]:
    checked = dict.fromkeys(BY_HAND, "seen")
    lines = readiness(description, list(findings), evidence, checked, NOW)
    return {line.name: line.todo for line in lines if line.status != "done"}


def history(*values: int) -> list[tuple[Decimal, datetime]]:
    start = NOW - timedelta(hours=len(values))
    return [(Decimal(value), start + timedelta(hours=place + 1)) for place, value in enumerate(values)]


def test_a_model_with_everything_is_ready() -> None:
    assert missing(READY) == {}


@pytest.mark.parametrize(
    ("line", "description"),
    [
        ("maker", replace(READY, description="An espresso machine")),
        ("category", replace(READY, display_category="OTHER")),
        ("picture", CREMA),
        ("marketplaces", replace(READY, marketplaces=())),
        ("slots", replace(READY, slots=())),
        ("friendly-name", replace(READY, marketplaces=(replace(READY.marketplaces[0], friendly_name=" "),))),
        ("slot-names", replace(beans(names=BEANS.names[:1]), picture="0")),
        ("asins", replace(beans(products=BEANS.products[:1]), picture="0")),
        ("live-id", replace(beans(live_replenishment_id=""), picture="0")),
    ],
)
def test_each_line_of_the_description(line: str, description: Description) -> None:
    found = missing(description)
    assert list(found) == [line]
    assert found[line]


@pytest.mark.parametrize(
    ("line", "evidence"),
    [
        ("unit", replace(SHOWN, registered=False)),
        ("claimed", replace(SHOWN, claimed=False)),
        ("daily", replace(SHOWN, slots={"beans": replace(SHOWN.slots["beans"], last_heard=NOW - timedelta(hours=25))})),
        ("low", replace(SHOWN, slots={"beans": replace(SHOWN.slots["beans"], low_in_a_row=2)})),
        ("replaced", replace(SHOWN, slots={"beans": replace(SHOWN.slots["beans"], replaced=False)})),
    ],
)
def test_each_line_that_a_unit_shows(line: str, evidence: Evidence) -> None:
    assert list(missing(READY, evidence)) == [line]


def test_errors_of_lint_are_a_line() -> None:
    finding = Finding("slot-twice", "error", "slots", "beans is there 2 times.", "Leave one of them.")
    assert missing(READY, findings=[finding]) == {"lint": "Correct 1 in a draft, first: slots."}
    assert missing(READY, findings=[replace(finding, severity="warning")]) == {}


def test_a_usage_sensor_is_used_not_emptied() -> None:
    usage = replace(beans(sensor="usage", measurement="Count"), picture="0")
    assert list(missing(usage, replace(SHOWN, slots={}))) == ["used"]
    assert missing(usage, replace(SHOWN, slots={"beans": SlotEvidence(used=True)})) == {}


@pytest.mark.parametrize(
    ("values", "in_a_row", "replaced"),
    [
        ((50, 40), 0, False),
        ((19, 50, 19, 18, 50, 19), 2, True),
        ((20, 20, 20), 3, False),
        ((0, 0, 0, 100), 3, True),
        ((100, 0), 1, False),
    ],
)
def test_what_a_history_shows(values: tuple[int, ...], in_a_row: int, replaced: bool) -> None:
    seen = slot_evidence(BEANS, [[], history(*values)])
    assert (seen.low_in_a_row, seen.replaced, seen.last_heard) == (in_a_row, replaced, NOW)


def test_three_low_units_are_not_three_low_readings() -> None:
    assert slot_evidence(BEANS, [history(10), history(10), history(10)]).low_in_a_row == 1


def test_what_is_low_needs_what_is_full() -> None:
    grams = replace(BEANS, measurement="Weight", unit="GRAM")
    assert slot_evidence(grams, [history(0, 0, 0)]).low_in_a_row == 0
    assert slot_evidence(replace(grams, capacity=Decimal(1000)), [history(200, 0, 0)]).low_in_a_row == 3


def test_the_units_of_a_model_are_the_evidence(crema: DeviceModel, machine: Device) -> None:
    now = timezone.now()
    for sequence, value in enumerate((50, 15, 14, 13, 100)):
        record_reading(machine, [Measurement("beans", sequence, Decimal(value))], now)
    found = {line.name: line.status for line in checklist(crema, now)}
    assert [found[name] for name in ("unit", "claimed", "daily", "low", "replaced")] == ["done"] * 5
    assert found["test-order"] == "by hand"


def test_it_costs_the_same_for_many_units(crema: DeviceModel, machine: Device) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            checklist(crema, timezone.now())
        return len(captured)

    few = queries()
    for number in range(5):
        registry.register(f"CRM20-1{number}", crema)
    assert queries() == few


def test_by_command(crema: DeviceModel) -> None:
    Marketplace.objects.get_or_create(code="US", defaults={"name": "US", "locale": "en-US"})
    HandCheck.objects.create(device_model=crema, item="test-order", note="Order 1234")
    out = StringIO()
    call_command("readiness", "CREMA-20", stdout=out)
    assert "[x] model: It has a slot\n" in out.getvalue()
    assert "[ ] model: It is sold somewhere. Add at least one marketplace.\n" in out.getvalue()
    assert "[?] by hand: Amazon has approved in writing." in out.getvalue()
    assert "[x] by hand: Each slot has made a test order. Order 1234" in out.getvalue()
    out = StringIO()
    call_command("readiness", "CREMA-20", missing=True, stdout=out)
    assert "[x]" not in out.getvalue()
    with pytest.raises(CommandError, match="no model NOPE"):
        call_command("readiness", "NOPE")


def test_what_is_live_counts_not_the_draft(crema: DeviceModel) -> None:
    draft = catalogue.open_draft(crema)
    catalogue.save_draft(draft, CREMA, catalogue.live(crema).digest())
    assert {line.name: line.status for line in checklist(crema, NOW)}["marketplaces"] == "missing"
