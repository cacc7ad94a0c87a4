"""What can no longer be changed in a model: two descriptions in, findings out. Pure.

After certification the instance of a sensor is fixed, because every customer's Alexa knows it; a locked model takes only further
marketplaces with what belongs to them (Alexa reference 9.1). How long a unit may be silent and the warranty are ours alone and stay
free. A slot with readings keeps its measurement, for units must never be mixed (Alexa reference 2.5).
"""

from collections.abc import Iterator

from devices.catalogue.description import Description
from devices.catalogue.difference import Change, difference
from devices.catalogue.lint import Facts, Finding, error
from devices.models import DrsState

_OURS = {("model", "offline_after_seconds"), ("model", "warranty_months")}
_SETTLED = (DrsState.CERTIFIED, DrsState.LOCKED)


def lint_changes(live: Description, draft: Description, facts: Facts) -> list[Finding]:
    """Every change from ``live`` to ``draft`` that is no longer possible."""
    found = [*_identity(live, draft), *_slots(live, draft, facts)]
    if live.drs_state == DrsState.LOCKED:
        found += _locked(live, draft, facts)
    return found


def slots_at_stake(live: Description, draft: Description) -> list[str]:
    """Slots that the draft takes out or measures otherwise: only for these it matters whether they have readings."""
    after = {slot.slot_id: (slot.sensor, slot.measurement, slot.unit) for slot in draft.slots}
    return [s.slot_id for s in live.slots if after.get(s.slot_id) != (s.sensor, s.measurement, s.unit)]


def _identity(live: Description, draft: Description) -> Iterator[Finding]:
    if draft.model_id != live.model_id:
        todo = f"Put {live.model_id} back, or make another model."
        yield error("model-id-fixed", "model", "The model ID stays for ever: units and orders know it.", todo)
    if live.drs_state in _SETTLED and draft.drs_state not in _SETTLED:
        what = f"The model is {live.drs_state}; it cannot become {draft.drs_state} again."
        yield error("state-back", "model, DRS state", what, f"Put {live.drs_state} back.")


def _slots(live: Description, draft: Description, facts: Facts) -> Iterator[Finding]:
    after = {slot.slot_id: slot for slot in draft.slots}
    for slot in live.slots:
        where, now = f"slot {slot.slot_id}", after.get(slot.slot_id)
        settled = live.drs_state in _SETTLED
        if settled and (now is None or now.instance != slot.instance):
            what = f"The model is {live.drs_state}: every customer's Alexa knows this sensor as {slot.instance}."
            yield error("instance-fixed", where, what, "Put the slot back with its instance.")
        elif slot.slot_id in facts.slots_in_use and now is None:
            yield error("slot-in-use", where, "Units have readings in it.", "Put it back.")
        if slot.slot_id in facts.slots_in_use and now and slot.slot_id in slots_at_stake(live, draft):
            what = f"Units have readings in {' '.join(filter(None, (slot.measurement, slot.unit)))}."
            todo = "Put sensor, measurement and unit back, or add another slot with an instance of its own."
            yield error("measurement-in-use", where, what, todo)


def _locked(live: Description, draft: Description, facts: Facts) -> Iterator[Finding]:
    new = {sale.marketplace for sale in draft.marketplaces} - {sale.marketplace for sale in live.marketplaces}
    languages = {facts.languages.get(code) for code in new}
    for change in difference(live, draft):
        if not _may_still(change, new, languages):
            what = f"The model is locked: {change.field} cannot become {change.after or 'nothing'}."
            todo = f"Put {change.before or 'nothing'} back; only marketplaces may be added."
            yield error("locked", change.where, what, todo)


def _may_still(change: Change, new: set[str], languages: set[str | None]) -> bool:
    match change.key:
        case ("marketplace", code):
            return code in new
        case ("slot", _, "name", locale):
            return locale in languages and not change.before
        case ("slot", _, "product", code, _):
            return code in new and not change.before
        case key:
            return key in _OURS
