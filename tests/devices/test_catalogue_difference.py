"""What would change, in words, and whether Alexa is told of it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from devices.capabilities import CHOOSABLE, TABLE, interfaces_of, unknown
from devices.catalogue import Description, Product, Sale, SlotDescription, difference
from tests.devices.products import BEANS, CREMA, beans
from tests.effort import examples

SILENT = {"test_replenishment_id": "", "live_replenishment_id": ""}


def words(before: Description, after: Description) -> list[str]:
    return [str(change) for change in difference(before, after)]


def test_the_same_is_no_change_however_it_is_written() -> None:
    assert words(CREMA, CREMA) == []
    document = CREMA.to_json()
    document["slots"][0]["products"].reverse()
    document["slots"][0]["raw_factor"] = "1.000"
    document["marketplaces"].reverse()
    assert words(CREMA, Description.from_json(document)) == []
    assert Description.from_json(document).digest() == CREMA.digest()


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (replace(CREMA, name="Crema 21"), "model, name: Crema 20 → Crema 21 (Alexa is told)"),
        (replace(CREMA, warranty_months=36), "model, warranty months: 24 → 36"),
        (replace(CREMA, capabilities=("PowerController",)), "model, capabilities: nothing → PowerController (Alexa is told)"),
        (
            replace(CREMA, marketplaces=(*CREMA.marketplaces, Sale("FR", "Cafetière"))),
            "marketplace, FR: nothing → Cafetière (Alexa is told)",
        ),
        (replace(CREMA, marketplaces=CREMA.marketplaces[:1]), "marketplace, US: Coffee machine → nothing (Alexa is told)"),
        (beans(capacity=Decimal("1.50")), "slot beans, capacity: nothing → 1.5"),
        (beans(instance="Beans.Box"), "slot beans, instance: Beans.Hopper → Beans.Box (Alexa is told)"),
        (
            beans(names=(BEANS.names[0], ("de-DE", ("Bohnen",)))),
            'slot beans name, de-DE: "Kaffeebohnen" → "Bohnen" (Alexa is told)',
        ),
        (
            beans(products=(*BEANS.products, Product("US", "B0OTHERBNS", "Decaf", Decimal("0.5"), "KILOGRAM", False))),
            "slot beans product US, B0OTHERBNS: nothing → off, 0.5 KILOGRAM: Decaf",
        ),
    ],
)  # fmt: skip
def test_one_change_is_one_line(after: Description, said: str) -> None:
    assert words(CREMA, after) == [said]


def test_certification_tells_alexa_another_id() -> None:
    said = words(CREMA, replace(CREMA, drs_state="certified"))
    assert said == [
        "model, DRS state: testing → certified",
        "slot beans, replenishment ID told: arn:test:beans → arn:live:beans (Alexa is told)",
    ]


@pytest.mark.parametrize("change", [{"instance": "Beans.Box"}, {"measurement": "Count"}, {"names": BEANS.names[:1]}])
def test_of_a_slot_without_an_id_alexa_hears_nothing(change: dict[str, Any]) -> None:
    changes = difference(beans(**SILENT), beans(**SILENT, **change))
    assert changes
    assert not any(found.announced for found in changes)


@pytest.mark.parametrize(("before", "after"), [("Crema", "Krema"), ("", "Krema"), ("Crema", "")])
def test_alexa_is_told_of_another_name_in_a_marketplace(before: str, after: str) -> None:
    [change] = difference(sold(before), sold(after))
    assert change.announced


def test_alexa_is_not_told_of_a_marketplace_without_a_name() -> None:
    [change] = difference(replace(CREMA, marketplaces=()), sold(""))
    assert not change.announced


def sold(friendly_name: str) -> Description:
    return replace(CREMA, marketplaces=(Sale("DE", friendly_name),))


def test_a_slot_that_gets_its_id_is_announced_whole() -> None:
    changes = difference(replace(CREMA, slots=()), CREMA)
    told = {change.field for change in changes if change.announced}
    assert told >= {"instance", "sensor", "measurement", "en-US", "de-DE", "replenishment ID told"}
    assert "capacity" not in told


def test_every_model_has_what_every_model_has() -> None:
    assert [entry.key for entry in interfaces_of([])] == ["EndpointHealth"]
    assert [entry.key for entry in interfaces_of(["DoorbellEventSource"])] == ["EndpointHealth", "DoorbellEventSource"]
    assert "EndpointHealth" not in CHOOSABLE
    assert unknown(["Teleport", "PowerController"]) == ["Teleport"]
    assert all(entry.interface.startswith("Alexa.") and entry.version == "3" for entry in TABLE.values())
    assert all(bool(entry.properties) != entry.event_source for entry in TABLE.values())


TEXT = some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6)
NUMBER = some.decimals(min_value=0, max_value=10**6, places=3)
PRODUCT = some.builds(
    Product,
    marketplace=some.sampled_from(["US", "DE"]),
    asin=some.sampled_from(["B0CREMABNS", "B0CREMADE1"]),
    title=TEXT,
    quantity=some.none() | NUMBER,
    unit=some.sampled_from(["count", "GRAM"]),
    active=some.booleans(),
)
NAMES = some.dictionaries(some.sampled_from(["en-US", "de-DE"]), some.lists(TEXT, min_size=1, max_size=2), min_size=1)
SLOT = some.builds(
    SlotDescription,
    slot_id=some.sampled_from(["beans", "milk"]),
    names=NAMES.map(lambda names: tuple((locale, tuple(texts)) for locale, texts in names.items())),
    capacity=some.none() | NUMBER,
    raw_factor=NUMBER,
    test_replenishment_id=some.sampled_from(["", "arn:test"]),
    live_replenishment_id=some.sampled_from(["", "arn:live"]),
    products=some.lists(PRODUCT, max_size=2, unique_by=lambda p: (p.marketplace, p.asin)).map(tuple),
)
MODEL = some.builds(
    Description,
    model_id=some.just("CREMA-20"),
    name=TEXT,
    drs_state=some.sampled_from(["draft", "testing", "certified"]),
    marketplaces=some.lists(
        some.builds(Sale, some.sampled_from(["US", "DE"]), TEXT), unique_by=lambda s: s.marketplace
    ).map(tuple),
    slots=some.lists(SLOT, max_size=2, unique_by=lambda slot: slot.slot_id).map(tuple),
).map(lambda model: Description.from_json(model.to_json()))  # sorted


@settings(max_examples=examples(30), deadline=None)
@given(MODEL, MODEL)
def test_nothing_that_differs_goes_unsaid(one: Description, other: Description) -> None:
    assert bool(difference(one, other)) == (one != other)
    assert len(difference(one, other)) == len(difference(other, one))
    assert Description.from_json(one.to_json()) == one
    assert (one.digest() == other.digest()) == (one == other)
