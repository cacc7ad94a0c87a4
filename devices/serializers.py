"""Between the device API's JSON and the words of inventory.py. Shapes are judged here, values by the verb."""

import re
from datetime import datetime
from typing import Any

from rest_framework.exceptions import ParseError

from devices.events import Happening
from devices.inventory import LARGEST_BATCH, Measurement, Outcome
from devices.measurements import LARGEST_EPOCH, LARGEST_SEQUENCE, OLDEST, shown
from devices.models import Device, EventType, Inventory, Reading, Slot

Faults = list[dict[str, str]]

REQUIRED = ("slot", "sequence", "value")
FIELDS = (*REQUIRED, "measured_at", "epoch")
EVENT_FIELDS = ("type", "id", "happened_at", "slot", "epoch", "reading")
_EVENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def readings_of(body: Any) -> list[Any] | None:
    """The items of a batch; None if the body is a single reading. Raises ParseError for anything else."""
    if not isinstance(body, dict):
        raise ParseError('Send one JSON object: a reading, or {"readings": [...]}.')
    if "readings" not in body:
        return None
    items = body["readings"]
    if others := sorted(set(body) - {"readings"}):
        raise ParseError(f"Beside readings there is '{shown(others[0])}', which is not known here.")
    if not isinstance(items, list) or not 1 <= len(items) <= LARGEST_BATCH:
        raise ParseError(f"readings must be a list of 1 to {LARGEST_BATCH} readings.")
    return items


def read(item: Any) -> Measurement | Faults:
    """One reading in the verb's words, or everything that is wrong with its shape."""
    if not isinstance(item, dict):
        return [fault("", "Each reading is a JSON object.")]
    faults = [fault(name, f"{name} is missing.") for name in REQUIRED if name not in item]
    faults += [
        fault(shown(name), f"'{shown(name)}' is not known here; leave it out.") for name in item if name not in FIELDS
    ]
    measured_at = item.get("measured_at")
    try:
        measured_at = measured_at if measured_at is None else _moment(measured_at)
    except (ValueError, OverflowError):
        faults.append(fault("measured_at", f"'{shown(measured_at)}' is not a time; send e.g. 2026-11-21T10:00:00Z."))
    if faults:
        return faults
    return Measurement(item["slot"], item["sequence"], item["value"], measured_at, item.get("epoch", 0))


def happening_of(body: Any) -> Happening | Faults:
    """One event in the verb's words, or everything that is wrong with it. Raises ParseError for what is no object."""
    if not isinstance(body, dict):
        raise ParseError('Send one JSON object: {"type": "doorbell_press", "id": "…"}.')
    faults = [
        fault(shown(name), f"'{shown(name)}' is not known here; leave it out.")
        for name in body
        if name not in EVENT_FIELDS
    ]
    event_type, event_id, slot, epoch = body.get("type"), body.get("id"), body.get("slot", ""), body.get("epoch")
    if event_type not in EventType.values:
        faults.append(fault("type", f"type must be one of {', '.join(EventType.values)}."))
    if not isinstance(event_id, str) or not _EVENT_ID.fullmatch(event_id):
        faults.append(fault("id", "id must be 1 to 64 letters, digits, dots, underscores, colons and hyphens."))
    if not isinstance(slot, str) or len(slot) > 64 or "\x00" in slot:
        faults.append(fault("slot", "slot must be the ID of a slot."))
    if epoch is not None and (isinstance(epoch, bool) or not isinstance(epoch, int) or not 0 <= epoch <= LARGEST_EPOCH):
        faults.append(fault("epoch", f"epoch must be a whole number from 0 to {LARGEST_EPOCH}."))
    happened_at, reading = _happened_at(body.get("happened_at"), faults), _first_reading(body.get("reading"), faults)
    return faults or Happening(event_type, event_id, happened_at, slot, reading, epoch)


def _happened_at(text: Any, faults: Faults) -> datetime | None:
    try:
        moment = text if text is None else _moment(text)
        if moment is not None and moment.utcoffset() is None:
            raise ValueError("no offset")
    except (ValueError, OverflowError):
        faults.append(
            fault("happened_at", "happened_at must be like 2026-11-21T10:00:00Z; leave it out without a clock.")
        )
        return None
    return moment if moment is None or moment >= OLDEST else None  # a clock that was never set is none


def _first_reading(item: Any, faults: Faults) -> Measurement | None:
    if item is None:
        return None
    said = read(item)
    if isinstance(said, Measurement):
        return said
    faults += [fault(f"reading.{entry['field']}".rstrip("."), entry["reason"]) for entry in said]
    return None


def fault(field: str, reason: str) -> dict[str, str]:
    """One entry of a problem's ``errors``."""
    return {"field": field, "reason": reason}


def answer(outcome: Outcome) -> dict[str, Any]:
    """What became of one reading; slot and sequence are repeated as sent where they make sense."""
    assert outcome.measurement is not None
    said = {"slot": outcome.measurement.slot, "sequence": outcome.measurement.sequence}
    return _named(said) | {"status": outcome.status} | _explained(outcome.reason, outcome.field)


def refusal(item: Any, faults: Faults) -> dict[str, Any]:
    """The answer to a reading of a batch whose shape is wrong."""
    reasons = " ".join(entry["reason"] for entry in faults)
    return (
        _named(item if isinstance(item, dict) else {}) | {"status": "refused"} | _explained(reasons, faults[0]["field"])
    )


def recorded(reading: Reading, slot: Slot) -> dict[str, Any]:
    """A reading as it is kept: in the slot's unit, which is not what was sent where the slot is calibrated."""
    times = {"measured_at": reading.measured_at, "heard_at": reading.heard_at}
    return {
        "slot": slot.slot_id,
        "epoch": reading.epoch,
        "sequence": reading.sequence,
        "value": float(reading.value),
    } | times


def about(device: Device, slots: list[Slot], states: dict[int, Inventory]) -> dict[str, Any]:
    """GET /me: what a unit needs to know of itself to go on reporting after it has lost its memory."""
    return {
        "serial": device.serial_number,
        "model": device.device_model.model_id,
        "slots": [_slot(slot, states.get(slot.pk)) for slot in slots],
    }


def _slot(slot: Slot, state: Inventory | None) -> dict[str, Any]:
    return {
        "slot": slot.slot_id,
        "instance": slot.instance,
        "sensor": slot.sensor,
        "measurement": slot.measurement,
        "unit": slot.unit or None,
        "epoch": state.epoch if state else None,
        "sequence": state.sequence if state else None,
    }


def _named(said: dict[str, Any]) -> dict[str, Any]:
    slot, sequence = said.get("slot"), said.get("sequence")
    whole = isinstance(sequence, int) and not isinstance(sequence, bool) and 0 <= sequence <= LARGEST_SEQUENCE
    return {"slot": shown(slot) if isinstance(slot, str) else None, "sequence": sequence if whole else None}


def _explained(reason: str, field: str) -> dict[str, str]:
    told = {"reason": reason} if reason else {}
    return told | ({"field": field} if field else {})


def _moment(text: Any) -> datetime:
    if not isinstance(text, str):
        raise ValueError("not a text")
    return datetime.fromisoformat(text)
