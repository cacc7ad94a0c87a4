"""Descriptions for the tests of the catalogue: Nordkap's coffee machine, complete, so that lint has nothing to say."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from devices.catalogue import Description, Facts, Product, Sale, SlotDescription

PICTURE = b"\x89PNG\r\n\x1a\n a small picture"
SHOPS = {"US": "en-US", "DE": "de-DE", "FR": "fr-FR"}
FACTS = Facts(languages=SHOPS)

BEANS = SlotDescription(
    slot_id="beans",
    instance="Beans.Hopper",
    names=(("en-US", ("Coffee beans", "Beans")), ("de-DE", ("Kaffeebohnen",))),
    test_replenishment_id="arn:test:beans",
    live_replenishment_id="arn:live:beans",
    products=(
        Product("DE", "B0CREMADE1", "Bohnen, 1 kg", Decimal(1), "KILOGRAM"),
        Product("US", "B0CREMABNS", "Beans, 1 kg", Decimal(1), "KILOGRAM"),
    ),
)
CREMA = Description(
    model_id="CREMA-20",
    name="Crema 20",
    manufacturer="Nordkap Home",
    description="Espresso machine by Nordkap Home",
    display_category="COFFEE_MAKER",
    drs_state="testing",
    marketplaces=(Sale("DE", "Kaffeemaschine"), Sale("US", "Coffee machine")),
    slots=(BEANS,),
)


def beans(**changes: Any) -> Description:
    """The coffee machine with another hopper."""
    return replace(CREMA, slots=(replace(BEANS, **changes),))


def with_product(**changes: Any) -> Description:
    """The coffee machine with another bag of American beans."""
    german, american = BEANS.products
    return beans(products=(german, replace(american, **changes)))
