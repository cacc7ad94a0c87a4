"""A whole product description as one value, in and out of JSON. Pure: no database, no clock.

A description may be half finished: everything is text, numbers and lists of the right shape here, and whether it makes sense is
lint's matter. The order of slots, marketplaces and products does not matter, so they are kept sorted.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from devices.models import DrsState

Names = tuple[tuple[str, tuple[str, ...]], ...]


class DescriptionRefused(ValueError):
    """A document that is no description: where, and what is expected there."""

    def __init__(self, where: str, expected: str) -> None:
        super().__init__(f"{where}: {expected}")
        self.where, self.expected = where, expected


@dataclass(frozen=True)
class Product:
    """What may fill a slot in one marketplace."""

    marketplace: str
    asin: str
    title: str = ""
    quantity: Decimal | None = None
    unit: str = ""
    active: bool = True


@dataclass(frozen=True)
class Sale:
    """Where the model is sold, and what it is called there."""

    marketplace: str
    friendly_name: str = ""


@dataclass(frozen=True)
class SlotDescription:
    """One consumable. ``names``: (locale, texts), the main language first, in each the name first and then synonyms."""

    slot_id: str
    instance: str = ""
    names: Names = ()
    sensor: str = "level"
    measurement: str = "Percentage"
    unit: str = ""
    capacity: Decimal | None = None
    raw_zero: Decimal = Decimal(0)
    raw_factor: Decimal = Decimal(1)
    test_replenishment_id: str = ""
    live_replenishment_id: str = ""
    products: tuple[Product, ...] = ()

    @property
    def main_name(self) -> tuple[str, str]:
        """(text, locale) of the name by which the slot goes where no language is asked for."""
        return next(((texts[0], locale) for locale, texts in self.names if texts), ("", "en-US"))


@dataclass(frozen=True)
class Description:
    """A model with everything that staff say about it. ``picture`` is the digest of one."""

    model_id: str
    name: str = ""
    manufacturer: str = ""
    description: str = ""
    display_category: str = "OTHER"
    drs_state: str = "draft"
    capabilities: tuple[str, ...] = ()
    offline_after_seconds: int = 3600
    warranty_months: int = 24
    picture: str = ""
    marketplaces: tuple[Sale, ...] = ()
    slots: tuple[SlotDescription, ...] = ()

    @property
    def offline_after(self) -> timedelta:
        return timedelta(seconds=self.offline_after_seconds)

    def replenishment_id(self, slot: SlotDescription) -> str:
        """What Alexa is told of a slot: the live ID once the model is certified, before that the test ID if there is one."""
        if self.drs_state in (DrsState.CERTIFIED, DrsState.LOCKED):
            return slot.live_replenishment_id
        return slot.test_replenishment_id or slot.live_replenishment_id

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; numbers with decimals are texts, so that none is rounded."""
        return json.loads(json.dumps(asdict(self), default=lambda number: f"{number.normalize():f}"))

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """The description that a document holds; raises DescriptionRefused with the place that is wrong."""
        return _object(cls, document, "description")

    def digest(self) -> str:
        """Equal for equal descriptions."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


def _object(kind: type, document: Any, where: str) -> Any:
    if not isinstance(document, dict):
        raise DescriptionRefused(where, "an object with named fields")
    types = {field.name: field.type for field in fields(kind)}
    if odd := sorted(map(str, document.keys() - types.keys())):
        raise DescriptionRefused(where, f"no field is called {odd[0]}; known are {', '.join(types)}")
    needed = [field.name for field in fields(kind) if field.default is MISSING]
    if missing := [name for name in needed if name not in document]:
        raise DescriptionRefused(where, f"its {missing[0]}")
    read = {name: _READERS[types[name]](value, f"{where}.{name}") for name, value in document.items()}
    return kind(**read)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise DescriptionRefused(where, "a text")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise DescriptionRefused(where, "true or false")
    return value


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise DescriptionRefused(where, "a whole number from 0")
    return value


def _decimal(value: Any, where: str) -> Decimal:
    try:
        number = Decimal(value if isinstance(value, str | int) and not isinstance(value, bool) else str(value))
    except InvalidOperation as error:
        raise DescriptionRefused(where, 'a number, best as a text, e.g. "0.5"') from error
    if not number.is_finite() or abs(number.adjusted()) > 20:
        raise DescriptionRefused(where, "a number of ordinary size")
    return number


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DescriptionRefused(where, "a list")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_text(text, f"{where}[{place}]") for place, text in enumerate(_list(value, where)))


def _names(value: Any, where: str) -> Names:
    names = []
    for place, pair in enumerate(_list(value, where)):
        if len(_list(pair, f"{where}[{place}]")) != 2:
            raise DescriptionRefused(f"{where}[{place}]", 'a language with its names, e.g. ["en-US", ["Beans"]]')
        names.append((_text(pair[0], f"{where}[{place}]"), _texts(pair[1], f"{where}[{place}]")))
    return (*names[:1], *sorted(names[1:]))


def _many(kind: type, key: Callable[[Any], Any]) -> Callable[[Any, str], tuple[Any, ...]]:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        items = [_object(kind, item, f"{where}[{place}]") for place, item in enumerate(_list(value, where))]
        return tuple(sorted(items, key=key))

    return read


_READERS: dict[Any, Callable[[Any, str], Any]] = {
    str: _text,
    bool: _flag,
    int: _whole,
    Decimal: _decimal,
    Decimal | None: lambda value, where: None if value is None else _decimal(value, where),
    Names: _names,
    tuple[str, ...]: lambda value, where: tuple(sorted(set(_texts(value, where)))),
    tuple[Product, ...]: _many(Product, lambda product: (product.marketplace, product.asin)),
    tuple[Sale, ...]: _many(Sale, lambda sale: sale.marketplace),
    tuple[SlotDescription, ...]: _many(SlotDescription, lambda slot: slot.slot_id),
}
