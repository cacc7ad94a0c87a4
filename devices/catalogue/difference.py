"""What would change: two descriptions in, a list of changes in words out. Pure.

Each change knows whether Alexa is told of it; a change of warranty is ours alone. A slot without a replenishment ID is left out of
what Alexa hears (Alexa reference 2.5), so nothing about it is announced.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from devices.catalogue.description import Description, Product, SlotDescription

Key = tuple[str, ...]
_WORDS = {
    "model_id": "model ID",
    "drs_state": "DRS state",
    "replenishment_id": "replenishment ID told",
    "test_replenishment_id": "test replenishment ID",
    "live_replenishment_id": "live replenishment ID",
}
_TOLD_OF_MODEL = {"name", "manufacturer", "description", "display_category", "capabilities"}
_TOLD_OF_SLOT = {"instance", "sensor", "measurement", "unit", "replenishment_id"}
_MODEL_FIELDS = (
    "model_id", "name", "manufacturer", "description", "display_category", "drs_state", "capabilities",
    "offline_after_seconds", "warranty_months", "picture",
)  # fmt: skip
_SLOT_FIELDS = (
    "instance", "sensor", "measurement", "unit", "capacity", "raw_zero", "raw_factor", "test_replenishment_id",
    "live_replenishment_id",
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One thing that differs. ``key`` is where: ("slot", "beans", "unit"); ``announced``: Alexa is told of it."""

    key: Key
    before: str
    after: str
    announced: bool

    @property
    def where(self) -> str:
        return " ".join(self.key[:-1])

    @property
    def field(self) -> str:
        return _WORDS.get(self.key[-1]) or self.key[-1].replace("_", " ")

    def __str__(self) -> str:
        told = " (Alexa is told)" if self.announced else ""
        return f"{self.where}, {self.field}: {self.before or 'nothing'} → {self.after or 'nothing'}{told}"


def difference(before: Description, after: Description) -> list[Change]:
    """Every change from one description to the other, in a stable order; none where they say the same."""
    old, new = dict(_facts(before)), dict(_facts(after))
    told = _told(before) | _told(after)
    keys = [*new, *(key for key in old if key not in new)]
    return [
        Change(key, old.get(key, ""), new.get(key, ""), key in told)
        for key in keys
        if old.get(key, "") != new.get(key, "")
    ]


def _facts(description: Description) -> Iterator[tuple[Key, str]]:
    for field in _MODEL_FIELDS:
        yield ("model", field), _shown(getattr(description, field))
    for sale in description.marketplaces:
        yield ("marketplace", sale.marketplace), sale.friendly_name or "without a name"
    for slot in description.slots:
        yield from _slot_facts(description, slot)


def _slot_facts(description: Description, slot: SlotDescription) -> Iterator[tuple[Key, str]]:
    at = ("slot", slot.slot_id)
    for field in _SLOT_FIELDS:
        yield (*at, field), _shown(getattr(slot, field))
    yield (*at, "main_language"), slot.main_name[1]
    for locale, texts in slot.names:
        yield (*at, "name", locale), json.dumps(texts, ensure_ascii=False)[1:-1]  # quoted: no two lists look the same
    yield (*at, "replenishment_id"), description.replenishment_id(slot)
    for product in slot.products:
        yield (*at, "product", product.marketplace, product.asin), _product(product)


def _product(product: Product) -> str:
    amount = f"{_shown(product.quantity) or '?'} {product.unit or '?'}"
    return f"{'on' if product.active else 'off'}, {amount}: {product.title or 'without a title'}"


def _told(description: Description) -> set[Key]:
    told: set[Key] = {("model", field) for field in _TOLD_OF_MODEL}
    told |= {("marketplace", sale.marketplace) for sale in description.marketplaces if sale.friendly_name}
    for slot in description.slots:
        if description.replenishment_id(slot):
            at = ("slot", slot.slot_id)
            told |= {(*at, field) for field in _TOLD_OF_SLOT} | {(*at, "main_language")}
            told |= {(*at, "name", locale) for locale, _ in slot.names}
    return told


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
