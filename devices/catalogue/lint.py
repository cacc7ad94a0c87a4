"""What is wrong with a description, before anybody publishes it: named findings, each with where and what to do.

Pure: no query, no clock; what only the database knows comes in as Facts. An *error* keeps a draft from being published; a *warning*
is for a person to weigh. Rules that compare with what is live are in fixed.py. Sources: Alexa reference 2.2-2.6, 3 and 9.1.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from django.core.exceptions import ValidationError

from devices.capabilities import CHOOSABLE
from devices.catalogue.description import Description, Product, SlotDescription
from devices.catalogue.rows import model_row, product_row, slot_row
from devices.models import VOLUME_UNITS, WEIGHT_UNITS, DeviceModel, ModelMarketplace, Slot, SlotProduct

PRODUCT_UNITS = ("count", *VOLUME_UNITS, *WEIGHT_UNITS)


@dataclass(frozen=True)
class Finding:
    """One thing to look at. ``name`` is the rule's, the same for ever, so that it can be searched and counted."""

    name: str
    severity: Literal["error", "warning"]
    where: str
    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.severity} {self.name}, {self.where}: {self.what} {self.todo}"


@dataclass(frozen=True)
class Facts:
    """What only the database knows: shops with their languages, replenishment IDs of other models' slots (and whose they
    are), pictures that are kept, slots in which units have readings.
    """

    languages: dict[str, str] = field(default_factory=dict)
    taken_ids: dict[str, str] = field(default_factory=dict)
    pictures: frozenset[str] = frozenset()
    slots_in_use: frozenset[str] = frozenset()


def lint(description: Description, facts: Facts) -> list[Finding]:
    """Everything that is wrong with the description taken by itself, errors first."""
    found = [finding for rule in RULES for finding in rule(description, facts)]
    return sorted(found, key=lambda finding: finding.severity)


def error(name: str, where: str, what: str, todo: str) -> Finding:
    return Finding(name, "error", where, what, todo)


def warning(name: str, where: str, what: str, todo: str) -> Finding:
    return Finding(name, "warning", where, what, todo)


def _fields(description: Description, facts: Facts) -> Iterator[Finding]:
    """The columns' own rules, so that they stand in one place."""
    yield from _invalid("model", model_row(description))
    for sale in description.marketplaces:
        row = ModelMarketplace(marketplace_id=sale.marketplace, friendly_name=sale.friendly_name)
        yield from _invalid(f"marketplace {sale.marketplace}", row)
    for slot in description.slots:
        yield from _invalid(f"slot {slot.slot_id}", slot_row(description, slot))
        for product in slot.products:
            yield from _invalid(f"slot {slot.slot_id}, product {product.asin}", product_row(product))


def _invalid(where: str, row: DeviceModel | ModelMarketplace | Slot | SlotProduct) -> Iterator[Finding]:
    ours = [column.name for column in row._meta.fields if column.is_relation]
    ours += ["name"] if isinstance(row, Slot) else []  # has a rule of its own
    try:
        row.clean_fields(exclude=ours)
        row.clean()
    except ValidationError as refusal:
        for name, texts in refusal.message_dict.items():
            words = name.replace("_", " ")
            yield error("field-not-valid", f"{where}, {words}", " ".join(texts), f"Correct the {words}.")


def _repeated(description: Description, facts: Facts) -> Iterator[Finding]:
    slots = description.slots
    yield from _twice("marketplace-twice", "marketplaces", [sale.marketplace for sale in description.marketplaces])
    yield from _twice("slot-twice", "slots", [slot.slot_id for slot in slots])
    yield from _twice("instance-twice", "instances of slots", [slot.instance for slot in slots if slot.instance])
    for slot in slots:
        keys = [f"{product.asin} in {product.marketplace}" for product in slot.products]
        yield from _twice("asin-twice", f"slot {slot.slot_id}, products", keys)
        yield from _twice("language-twice", f"slot {slot.slot_id}, names", [locale for locale, _ in slot.names])


def _twice(name: str, where: str, keys: Iterable[str]) -> Iterator[Finding]:
    for key, times in Counter(keys).items():
        if times > 1:
            yield error(name, where, f"{key} is there {times} times.", "Leave one of them.")


def _asins_in_two_slots(description: Description, facts: Facts) -> Iterator[Finding]:
    holders: dict[tuple[str, str], list[str]] = {}
    for slot in description.slots:
        for key in dict.fromkeys((product.asin, product.marketplace) for product in slot.products):
            holders.setdefault(key, []).append(slot.slot_id)
    for (asin, marketplace), slots in holders.items():
        if len(slots) > 1:
            what = f"{asin} in {marketplace} fills {' and '.join(slots)}."
            yield warning("asin-in-two-slots", "products", what, "Leave it only if one product really fits both.")


def _marketplaces(description: Description, facts: Facts) -> Iterator[Finding]:
    sold = [sale.marketplace for sale in description.marketplaces]
    if not sold:
        yield warning("marketplace-missing", "model", "It is sold nowhere.", "Add at least one marketplace.")
    for code in sold:
        if code not in facts.languages:
            todo = "Choose another, or have it added under Marketplaces."
            yield error("marketplace-unknown", f"marketplace {code}", "There is no such marketplace.", todo)
    for slot in description.slots:
        yield from _where_a_slot_is_sold(slot, sold, facts)


def _where_a_slot_is_sold(slot: SlotDescription, sold: list[str], facts: Facts) -> Iterator[Finding]:
    where, named = f"slot {slot.slot_id}", {locale for locale, texts in slot.names if texts}
    offered = {product.marketplace for product in slot.products if product.active}
    for code in sold:
        if code not in offered:
            yield warning("product-missing", f"{where}, {code}", "Nothing fills it there.", f"Add an ASIN for {code}.")
        if (locale := facts.languages.get(code)) and locale not in named:
            yield warning("name-missing", f"{where}, {code}", f"It has no name in {locale}.", f"Name it in {locale}.")
    for code in sorted(offered - set(sold)):
        todo = f"Add the marketplace {code}, or take its products out."
        yield warning("product-elsewhere", f"{where}, {code}", "The model is not sold there.", todo)


def _names(description: Description, facts: Facts) -> Iterator[Finding]:
    maker = description.manufacturer.strip()
    if maker and maker.casefold() not in description.description.casefold():
        yield warning("maker-not-named", "model, description", "It does not name the maker.", f'Say "by {maker}".')
    if description.picture and description.picture not in facts.pictures:
        yield error("picture-unknown", "model, picture", "There is no such picture here.", "Upload it in the admin.")
    if not description.slots:
        yield warning("slot-missing", "model", "It has no slot.", "Add the consumables that Amazon is to reorder.")
    for slot in description.slots:
        if not slot.main_name[0].strip():
            yield error("name-missing", f"slot {slot.slot_id}", "It has no name.", "Name it in the main language.")


def _sensors(description: Description, facts: Facts) -> Iterator[Finding]:
    for slot in description.slots:
        where = f"slot {slot.slot_id}"
        if slot.sensor == "level_usage" and slot.measurement != "Percentage":
            what = "Amazon's own samples of a level-usage sensor count in Percentage only."
            yield warning("measurement-unconfirmed", where, what, "Ask Amazon's contact before this is certified.")
        if slot.sensor == "level" and slot.measurement != "Percentage" and slot.capacity is None:
            what = "Nobody knows what full is, so pages cannot show how full it is."
            yield warning("capacity-missing", where, what, "Give its capacity.")


def _interfaces(description: Description, facts: Facts) -> Iterator[Finding]:
    for entry in CHOOSABLE.values():
        if description.display_category in entry.expected_of and entry.key not in description.capabilities:
            what = f"Customers expect {entry.key} of a {description.display_category}."
            yield warning("interface-missing", "model, capabilities", what, "Choose it, or another display category.")


def _products(description: Description, facts: Facts) -> Iterator[Finding]:
    for slot in description.slots:
        for product in slot.products:
            yield from _product(slot, product, f"slot {slot.slot_id}, product {product.asin} in {product.marketplace}")


def _product(slot: SlotDescription, product: Product, where: str) -> Iterator[Finding]:
    if len(product.asin) == 10 and not (product.asin.startswith("B") or _is_isbn(product.asin)):
        yield warning("asin-odd", where, "ASINs begin with B, or are an ISBN.", "Compare it with the product's page.")
    if product.unit and product.unit not in PRODUCT_UNITS:
        yield error("product-unit", where, f"{product.unit} is no unit.", "Use count, or one of Amazon's units.")
    elif product.unit and (refusal := _misfit(slot, product)):
        yield error("product-unit", where, refusal, "Say how much is in the product in the sensor's measurement.")
    if slot.sensor == "usage" and product.active and (product.quantity is None or not product.unit):
        what = "How much is in it is not said, so nobody can tell how long it lasts."
        yield warning("product-quantity", where, what, "Give quantity and unit.")


def _misfit(slot: SlotDescription, product: Product) -> str:
    families = {"Count": ("count",), "Volume": VOLUME_UNITS, "Weight": WEIGHT_UNITS}
    if product.unit in families.get(slot.measurement, PRODUCT_UNITS):
        return ""
    return f"The sensor counts in {slot.measurement}, the product in {product.unit}; one cannot be told from the other."


def _is_isbn(asin: str) -> bool:
    if not (asin[:9].isdecimal() and asin.isascii() and (asin[9].isdecimal() or asin[9] == "X")):
        return False
    digits = [10 if sign == "X" else int(sign) for sign in asin]
    return sum(weight * digit for weight, digit in zip(range(10, 0, -1), digits, strict=True)) % 11 == 0


def _replenishment_ids(description: Description, facts: Facts) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for slot in description.slots:
        where = f"slot {slot.slot_id}"
        for text in dict.fromkeys(filter(None, (slot.test_replenishment_id, slot.live_replenishment_id))):
            holder = seen.setdefault(text, where)
            if holder != where or (holder := facts.taken_ids.get(text, where)) != where:
                todo = "Ask Amazon's contact which slot it was given to."
                yield error("replenishment-id-twice", where, f"{holder} has the same replenishment ID.", todo)
        yield from _missing_id(description, slot, where)


def _missing_id(description: Description, slot: SlotDescription, where: str) -> Iterator[Finding]:
    if description.replenishment_id(slot):
        return
    if description.drs_state in ("certified", "locked"):
        todo = "Enter the live ID, or leave the model in testing until it is there."
        yield error("live-id-missing", where, "A certified model needs its live replenishment ID.", todo)
    elif description.drs_state == "testing":
        what = "Without a replenishment ID Alexa is not told of this slot."
        yield warning("test-id-missing", where, what, "Request it in the Dash console (Testing > Replenishment ID).")


RULES: tuple[Callable[[Description, Facts], Iterator[Finding]], ...] = (
    _fields,
    _repeated,
    _asins_in_two_slots,
    _marketplaces,
    _names,
    _sensors,
    _interfaces,
    _products,
    _replenishment_ids,
)
