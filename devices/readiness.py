"""How far a model is on its way through Amazon's Dash programme: a checklist with what is done, what is missing, what to do.

Made of Amazon's objects, design list and tests before certification (Alexa reference 9.1, 9.4 and 8.6). ``readiness`` is pure: a
description, what lint found, evidence and what people have checked go in; lines come out. ``evidence_for`` asks the database, and
only about the few units heard last, so it costs the same for ten units and ten million. Whether Alexa has heard is not known here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from devices import catalogue
from devices.catalogue import Description, Finding, SlotDescription
from devices.models import Device, DeviceModel, Marketplace, Reading, Slot

Status = Literal["done", "missing", "by hand"]

UNITS = 20  # looked at: those heard last
READINGS = 200  # looked at of each unit and slot: the last
LOW = Decimal("0.2")  # of what is full; Amazon's own threshold is agreed with Amazon and not known here
IN_A_ROW = 3  # low updates that make an order (Alexa reference 3.1 and 9.4)
DAILY = timedelta(hours=24)

BY_HAND = {
    "skill-certified": ("The skill is certified", "Skill certification comes first; note the date."),
    "test-accounts": ("Test accounts are on Amazon's list", "Have them allow-listed in the Dash console; note which."),
    "shown-in-app": ("The Alexa app shows the device with its supplies", "Link a test account, look under Supply."),
    "same-level": ("The app shows the same level as the portal", "Set automatic reorder, compare the levels."),
    "test-order": ("Each slot has made a test order", "Keep each low for three updates; cancel within 24 hours."),
    "asins-offered": ("The app offers the agreed products", "Compare the list in the app with the ASINs here."),
    "notified": ("Each slot has made a low-supply notification", 'Set "notify me", let each run low.'),
    "written-approval": ("Amazon has approved in writing", "Do not deregister the test device before."),
}


@dataclass(frozen=True)
class SlotEvidence:
    """What units have shown of one slot."""

    last_heard: datetime | None = None
    low_in_a_row: int = 0
    replaced: bool = False
    used: bool = False


@dataclass(frozen=True)
class Evidence:
    """What units have shown. ``languages``: of the marketplaces, by code."""

    registered: bool = False
    claimed: bool = False
    slots: Mapping[str, SlotEvidence] = field(default_factory=dict)
    languages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One line of the checklist; ``name`` stays the same for ever. ``todo`` is empty where it is done."""

    name: str
    title: str
    where: str
    status: Status
    todo: str = ""
    note: str = ""


def readiness(
    description: Description, findings: Sequence[Finding], evidence: Evidence, checked: Mapping[str, str], now: datetime
) -> list[Line]:
    """The whole checklist in the order in which it is worked through. ``checked``: item → what a person noted."""
    return [
        *_design(description, findings),
        *(line for sale in description.marketplaces for line in _sold(description, sale.marketplace, evidence)),
        *(line for slot in description.slots for line in _slot(description, slot)),
        *_units(evidence),
        *(line for slot in description.slots for line in _shown(slot, evidence.slots.get(slot.slot_id), now)),
        *(_by_hand(name, checked) for name in BY_HAND),
    ]


def _line(name: str, title: str, where: str, done: bool, todo: str) -> Line:
    return Line(name, title, where, "done", "") if done else Line(name, title, where, "missing", todo)


def _design(said: Description, findings: Sequence[Finding]) -> Iterator[Line]:
    errors = [finding for finding in findings if finding.severity == "error"]
    fix = f"Correct {len(errors)} in a draft, first: {errors[0].where}." if errors else ""
    yield _line("lint", "Lint finds no error", "model", not errors, fix)
    named = bool(said.manufacturer) and said.manufacturer.casefold() in said.description.casefold()
    yield _line("maker", "The description names the maker", "model", named, f'Say "by {said.manufacturer}" in it.')
    category = said.display_category not in ("", "OTHER")
    yield _line("category", "It has a display category", "model", category, "Choose the one that customers expect.")
    yield _line("picture", "It has a picture", "model", bool(said.picture), "Upload one, on white, at most 1 MB.")
    sold = bool(said.marketplaces)
    yield _line("marketplaces", "It is sold somewhere", "model", sold, "Add at least one marketplace.")
    yield _line("slots", "It has a slot", "model", bool(said.slots), "Add the consumables that are to be reordered.")


def _sold(said: Description, code: str, evidence: Evidence) -> Iterator[Line]:
    where = f"marketplace {code}"
    name = next(sale.friendly_name for sale in said.marketplaces if sale.marketplace == code)
    yield _line("friendly-name", "It has a name there", where, bool(name.strip()), "Give it a name in that language.")
    locale = evidence.languages.get(code, "")
    nameless = [slot.slot_id for slot in said.slots if locale not in dict(slot.names)]
    yield _line(
        "slot-names", "Slots are named there", where, not nameless, f"Name {_and(nameless)} in {locale or code}."
    )
    empty = [s.slot_id for s in said.slots if not any(p.active and p.marketplace == code for p in s.products)]
    yield _line("asins", "Every slot has a product there", where, not empty, f"Agree ASINs for {_and(empty)}.")


def _slot(said: Description, slot: SlotDescription) -> Iterator[Line]:
    where = f"slot {slot.slot_id}"
    test, live = bool(slot.test_replenishment_id), bool(slot.live_replenishment_id)
    todo = "Request it in the Dash console (Testing > Replenishment ID)."
    yield _line("test-id", "It has a replenishment ID for tests", where, test or live, todo)
    yield _line("live-id", "It has its live replenishment ID", where, live, "Ask Amazon's contact after certification.")


def _units(evidence: Evidence) -> Iterator[Line]:
    yield _line("unit", "A unit is registered", "units", evidence.registered, "Import or add a test unit.")
    yield _line("claimed", "A unit has an owner", "units", evidence.claimed, "Claim the test unit with a test account.")


def _shown(slot: SlotDescription, seen: SlotEvidence | None, now: datetime) -> Iterator[Line]:
    where, seen = f"slot {slot.slot_id}", seen or SlotEvidence()
    if slot.sensor != "level":
        yield _line("used", "A use was reported", where, seen.used, "Use the test unit once.")
        return
    fresh = seen.last_heard is not None and now - seen.last_heard < DAILY
    yield _line("daily", "A level came within 24 hours", where, fresh, "Let the test unit report, at least daily.")
    todo = f"Bring it below {LOW:.0%} and let {IN_A_ROW} readings come ({seen.low_in_a_row} did)."
    yield _line("low", f"It was low {IN_A_ROW} times in a row", where, seen.low_in_a_row >= IN_A_ROW, todo)
    todo = "After it was low, put in a new one and let a reading come."
    yield _line("replaced", "It was replaced after it was low", where, seen.replaced, todo)


def _by_hand(name: str, checked: Mapping[str, str]) -> Line:
    title, todo = BY_HAND[name]
    if name in checked:
        return Line(name, title, "by hand", "done", "", checked[name])
    return Line(name, title, "by hand", "by hand", todo)


def _and(words: Iterable[str]) -> str:
    return " and ".join(words)


def slot_evidence(slot: SlotDescription, histories: Iterable[Sequence[tuple[Decimal, datetime]]]) -> SlotEvidence:
    """What histories (one for each unit: value and when it was heard, oldest first) show of a slot. Pure."""
    best = SlotEvidence()
    for history in histories:
        seen = _level_evidence(slot, history) if slot.sensor == "level" else SlotEvidence(used=bool(history))
        heard = [moment for moment in (best.last_heard, history[-1][1] if history else None) if moment]
        best = SlotEvidence(
            last_heard=max(heard, default=None),
            low_in_a_row=max(best.low_in_a_row, seen.low_in_a_row),
            replaced=best.replaced or seen.replaced,
            used=best.used or seen.used,
        )
    return best


def _level_evidence(slot: SlotDescription, history: Sequence[tuple[Decimal, datetime]]) -> SlotEvidence:
    low = low_mark(slot)
    if low is None:
        return SlotEvidence()
    run = longest = 0
    replaced = False
    for value, _ in history:
        replaced = replaced or (run > 0 and value > low)
        run = run + 1 if value <= low else 0
        longest = max(longest, run)
    return SlotEvidence(low_in_a_row=longest, replaced=replaced)


def low_mark(slot: SlotDescription) -> Decimal | None:
    """What counts as low here, in the slot's unit; None where nobody knows what full is."""
    full = Decimal(100) if slot.measurement == "Percentage" else slot.capacity
    return None if full is None else full * LOW


def evidence_for(model: DeviceModel, description: Description) -> Evidence:
    """What the units of this model that are online and were heard last have shown. At most UNITS x slots short index scans."""
    units = Device.objects.filter(device_model=model)
    heard = units.filter(online=True, last_seen_at__isnull=False).order_by("-last_seen_at")
    last = list(heard.values_list("pk", flat=True)[:UNITS])
    rows = {slot.slot_id: slot for slot in model.slots.all()}
    return Evidence(
        registered=units.exists(),
        claimed=units.filter(owner__isnull=False).exists(),
        slots={
            slot.slot_id: slot_evidence(slot, [_history(unit, rows[slot.slot_id]) for unit in last])
            for slot in description.slots
            if slot.slot_id in rows
        },
        languages=dict(Marketplace.objects.values_list("code", "locale")),
    )


def _history(unit: int, slot: Slot) -> list[tuple[Decimal, datetime]]:
    readings = Reading.objects.filter(device_id=unit, slot=slot).latest_first()
    return list(readings.values_list("value", "heard_at")[:READINGS])[::-1]


def checklist(model: DeviceModel, now: datetime) -> list[Line]:
    """The checklist of what is live."""
    live = catalogue.live(model)
    findings, _ = catalogue.review(model, live)
    checked = {check.item: f"{check.note} ({check.checked_at:%Y-%m-%d})" for check in model.hand_checks.all()}
    return readiness(live, findings, evidence_for(model, live), checked, now)
