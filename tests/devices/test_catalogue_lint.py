"""Lint says what is wrong with a description, by name, where it is, and what to do; each rule is tried against the clean machine."""

from dataclasses import replace
from decimal import Decimal

import pytest

from devices.catalogue import Description, Facts, Product, Sale, lint, lint_changes
from tests.devices.products import BEANS, CREMA, FACTS, beans, with_product

LOCKED = replace(CREMA, drs_state="locked")
CERTIFIED = replace(CREMA, drs_state="certified")


def names(description: Description, facts: Facts = FACTS) -> list[str]:
    return [f"{finding.severity} {finding.name}" for finding in lint(description, facts)]


def test_a_complete_description_is_clean() -> None:
    assert lint(CREMA, FACTS) == []


FAULTS = [
        ("error field-not-valid", replace(CREMA, name="")),
        ("error field-not-valid", replace(CREMA, name="x" * 61)),
        ("error field-not-valid", replace(CREMA, model_id="Crema 20")),
        ("error field-not-valid", replace(CREMA, display_category="TOASTER")),
        ("error field-not-valid", replace(CREMA, capabilities=("Teleport",))),
        ("error field-not-valid", replace(CREMA, offline_after_seconds=1)),
        ("error field-not-valid", replace(CREMA, marketplaces=(Sale("US", ""), Sale("DE", "Kaffeemaschine")))),
        ("error field-not-valid", beans(instance="Beans Hopper")),
        ("error field-not-valid", beans(unit="GRAM")),
        ("error field-not-valid", beans(measurement="Weight")),
        ("error field-not-valid", beans(sensor="usage")),
        ("error field-not-valid", beans(raw_factor=Decimal(0))),
        ("error field-not-valid", beans(live_replenishment_id="two words")),
        ("error field-not-valid", beans(names=(("english", ("Beans",)), ("en-US", ("B",)), ("de-DE", ("B",))))),
        ("error field-not-valid", with_product(asin="B0SHORT")),
        ("error field-not-valid", with_product(asin="b0cremabns")),
        ("error name-missing", beans(names=())),
        ("error marketplace-twice", replace(CREMA, marketplaces=(*CREMA.marketplaces, Sale("US", "Again")))),
        ("error marketplace-unknown", replace(CREMA, marketplaces=(*CREMA.marketplaces, Sale("XX", "Nowhere")))),
        ("error slot-twice", replace(CREMA, slots=(BEANS, BEANS))),
        ("error instance-twice", replace(CREMA, slots=(BEANS, replace(BEANS, slot_id="pods")))),
        ("error asin-twice", beans(products=(*BEANS.products, Product("US", "B0CREMABNS")))),
        ("error product-unit", with_product(unit="sacks")),
        ("error product-unit", beans(measurement="Volume", unit="LITER", capacity=Decimal(2))),
        ("error replenishment-id-twice", replace(CREMA, slots=(BEANS, replace(BEANS, slot_id="pods")))),
        ("error picture-unknown", replace(CREMA, picture="0" * 64)),
        ("error live-id-missing", replace(beans(live_replenishment_id=""), drs_state="certified")),
        ("warning test-id-missing", beans(live_replenishment_id="", test_replenishment_id="")),
        ("warning marketplace-missing", replace(CREMA, marketplaces=())),
        ("warning product-missing", beans(products=BEANS.products[1:])),
        ("warning product-missing", with_product(active=False)),
        ("warning product-elsewhere", beans(products=(*BEANS.products, Product("FR", "B0CREMAFR1")))),
        ("warning name-missing", beans(names=(("en-US", ("Beans",)),))),
        ("warning slot-missing", replace(CREMA, slots=())),
        ("warning interface-missing", replace(CREMA, display_category="DOORBELL")),
        ("warning maker-not-named", replace(CREMA, description="An espresso machine")),
        ("warning asin-in-two-slots", replace(CREMA, slots=(BEANS, replace(BEANS, slot_id="decaf")))),
        ("warning asin-odd", with_product(asin="X0CREMABNS")),
        ("warning measurement-unconfirmed", beans(sensor="level_usage", measurement="Weight", unit="GRAM")),
        ("warning capacity-missing", beans(measurement="Weight", unit="GRAM")),
        ("warning product-quantity", replace(with_product(quantity=None), slots=(
            replace(BEANS, sensor="usage", measurement="Weight", unit="GRAM", products=(Product("US", "B0CREMABNS"),)),
        ))),
]  # fmt: skip


def test_each_rule_finds_its_fault() -> None:
    for fault, description in FAULTS:
        assert fault in names(description), description


def test_a_finding_says_where_and_what_to_do() -> None:
    [finding] = lint(beans(products=BEANS.products[1:]), FACTS)
    assert (finding.where, finding.what, finding.todo) == (
        "slot beans, DE",
        "Nothing fills it there.",
        "Add an ASIN for DE.",
    )


def test_a_usage_sensor_in_percent_is_refused_with_the_reason() -> None:
    [finding] = [found for found in lint(beans(sensor="usage"), FACTS) if found.severity == "error"]
    assert finding.what == "A usage sensor counts in Count, Volume or Weight."


def test_what_is_only_unconfirmed_is_no_error() -> None:
    assert not [
        name for name in names(beans(sensor="level_usage", measurement="Weight", unit="GRAM")) if "error" in name
    ]


def test_an_isbn_is_an_asin() -> None:
    assert "warning asin-odd" not in names(with_product(asin="0306406152"))
    assert "warning asin-odd" in names(with_product(asin="0306406153"))


def test_an_id_that_another_model_has_is_found_with_its_holder() -> None:
    [finding] = lint(CREMA, replace(FACTS, taken_ids={"arn:live:beans": "CREMA-30, slot beans"}))
    assert finding.name == "replenishment-id-twice"
    assert "CREMA-30, slot beans" in finding.what


def fixed(live: Description, draft: Description, facts: Facts = FACTS) -> list[str]:
    return [finding.name for finding in lint_changes(live, draft, facts)]


def test_before_certification_an_instance_may_change() -> None:
    assert fixed(CREMA, beans(instance="Beans.Box")) == []


@pytest.mark.parametrize("draft", [beans(instance="Beans.Box"), replace(CREMA, slots=())])
def test_after_certification_a_sensor_keeps_its_instance(draft: Description) -> None:
    assert fixed(CERTIFIED, replace(draft, drs_state="certified")) == ["instance-fixed"]


def test_a_certificate_is_not_given_back() -> None:
    assert fixed(CERTIFIED, CREMA) == ["state-back"]
    assert "locked" in fixed(LOCKED, CERTIFIED)


def test_the_model_id_stays() -> None:
    assert fixed(CREMA, replace(CREMA, model_id="CREMA-21")) == ["model-id-fixed"]


@pytest.mark.parametrize(
    ("found", "draft"),
    [("slot-in-use", replace(CREMA, slots=())), ("measurement-in-use", beans(measurement="Count"))],
)
def test_a_slot_with_readings_keeps_its_measurement(found: str, draft: Description) -> None:
    assert fixed(CREMA, draft) == []
    assert fixed(CREMA, draft, replace(FACTS, slots_in_use=frozenset({"beans"}))) == [found]


def test_a_locked_model_takes_a_marketplace_with_what_belongs_to_it() -> None:
    slot = replace(
        BEANS,
        names=(*BEANS.names, ("fr-FR", ("Grains",))),
        products=(*BEANS.products, Product("FR", "B0CREMAFR1", "Grains", Decimal(1), "KILOGRAM")),
    )
    draft = replace(LOCKED, marketplaces=(*LOCKED.marketplaces, Sale("FR", "Cafetière")), slots=(slot,))
    assert fixed(LOCKED, draft) == []
    assert lint(draft, FACTS) == []


@pytest.mark.parametrize(
    "draft",
    [
        replace(LOCKED, name="Crema 21"),
        replace(LOCKED, capabilities=("PowerController",)),
        replace(LOCKED, marketplaces=LOCKED.marketplaces[:1]),
        replace(LOCKED, marketplaces=(Sale("DE", "Espressomaschine"), *LOCKED.marketplaces[1:])),
        replace(LOCKED, slots=(BEANS, replace(BEANS, slot_id="milk", instance="Milk.Tank"))),
        replace(with_product(title="Other beans"), drs_state="locked"),
        replace(beans(products=(*BEANS.products, Product("US", "B0OTHERBNS"))), drs_state="locked"),
        replace(beans(live_replenishment_id="arn:live:other"), drs_state="locked"),
        replace(beans(names=(("en-US", ("Beans",)), *BEANS.names[1:])), drs_state="locked"),
        replace(beans(names=(*BEANS.names, ("fr-FR", ("Grains",)))), drs_state="locked"),
    ],
)
def test_a_locked_model_takes_nothing_else(draft: Description) -> None:
    assert "locked" in fixed(LOCKED, draft)


def test_what_is_ours_alone_is_never_locked() -> None:
    assert fixed(LOCKED, replace(LOCKED, offline_after_seconds=7200, warranty_months=36)) == []
