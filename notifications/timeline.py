"""An order's story in words: what Amazon said, what is still to come, and the gaps by name.

Pure. For customers' pages and for support; which order, and who may see it, is decided by who calls.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from notifications.drs import CANCELLED, PLACED, SHIPPED, Notification
from notifications.folds import agreed

CANCEL_WITHIN: Final = timedelta(hours=24)  # Amazon's Dash FAQ: a standard order can be cancelled for a day
TITLES: Final = {PLACED: "Ordered", CANCELLED: "Cancelled", SHIPPED: "Shipped"}
NEVER_PLACED: Final = "Shipped without placed: Amazon never told us that it was ordered."
UNRESOLVED: Final = (
    "Cancelled after 72 hours: there was a problem with the order (payment, address or availability) "
    "that was not cleared up in time, so it was never placed."
)
BOTH: Final = "Amazon said both shipped and cancelled; the Amazon account knows which is right."


@dataclass(frozen=True)
class Entry:
    """One line. `at` is empty for what has no time of its own. `kind`: said by Amazon, still to come, or to be noted."""

    title: str
    kind: Literal["said", "coming", "note"]
    at: datetime | None = None
    note: str = ""


def timeline(said: Iterable[Notification], now: datetime, listed: Collection[str] = ()) -> tuple[Entry, ...]:
    """The story of one order by all notifications about it, in any order; `listed` are the ASINs offered for its slot.

    Pure. Source: DRS notifications, sections 3 and 7.1.
    """
    history = [one for one in agreed(said) if one.type in TITLES]
    if not history:
        return ()
    return (*_gaps(history), *_told(history), *_products(history, listed), *_coming(history, now))


def _gaps(history: list[Notification]) -> list[Entry]:
    kinds = {one.type for one in history}
    if PLACED in kinds or SHIPPED not in kinds:
        return []
    return [Entry(NEVER_PLACED, "note")]


def _told(history: list[Notification]) -> list[Entry]:
    kinds = {one.type for one in history}
    entries = [Entry(TITLES[one.type], "said", one.time, _note(one, kinds)) for one in history]
    return [*entries, Entry(BOTH, "note")] if {SHIPPED, CANCELLED} <= kinds else entries


def _note(one: Notification, kinds: Collection[str]) -> str:
    if one.type == CANCELLED and PLACED not in kinds:
        return UNRESOLVED if SHIPPED not in kinds else ""
    return ""


def _products(history: list[Notification], listed: Collection[str]) -> list[Entry]:
    """Another product than the one ordered, or one that is not offered for the slot: replaced or unavailable."""
    placed, shipped = _asins(history, PLACED), _asins(history, SHIPPED)
    entries = []
    if placed and shipped and shipped != placed:
        words = f"Another product was shipped: {_names(shipped)} instead of {_names(placed)}."
        entries.append(Entry(words, "note"))
    if listed and (strange := (placed | shipped) - set(listed)):
        words = f"{_names(strange)} is not among the products for this device: Amazon may have replaced one that it no longer has."
        entries.append(Entry(words, "note"))
    return entries


def _asins(history: list[Notification], kind: str) -> set[str]:
    """The ASINs that the newest notification of this kind names."""
    lists = [{item.asin for item in one.items if item.asin} for one in history if one.type == kind]
    return next((asins for asins in reversed(lists) if asins), set())


def _names(asins: Iterable[str]) -> str:
    return ", ".join(sorted(asins))


def _coming(history: list[Notification], now: datetime) -> list[Entry]:
    kinds = {one.type for one in history}
    entries = []
    if kinds == {PLACED} and now < (until := history[0].time + CANCEL_WITHIN):
        entries.append(Entry("Can be cancelled in the Amazon account until", "coming", until))
    dates = [[item.estimated_delivery for item in one.items if item.estimated_delivery] for one in history]
    expected = next((max(some) for some in reversed(dates) if some), None)
    if expected and (CANCELLED not in kinds or SHIPPED in kinds):
        entries.append(Entry("Expected", "coming", expected))
    return entries
