"""The shadow documents of AWS IoT between wire and verbs: what a unit says in one, and what is answered.

One shape behind three doors (HTTPS, MQTT, AWS IoT rule). Readings travel inside ``reported``: either as the list
``readings`` in the words of POST /api/v1/readings, or, as Amazon's workshop does it, a plain number under a slot's ID
(``{"state": {"reported": {"beans": 41}}}``). Readings go to record_reading and are not kept in the shadow.
A plain number has no sequence of its own: AWS IoT's version stands in (and its time), on our own doors the millisecond at which
we heard it; because there a repeat cannot be told from a second use, a usage sensor must send ``readings``.
"""

import logging
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from devices import presence, serializers, shadow
from devices.inventory import LARGEST_BATCH, Measurement, Outcome, record_reading
from devices.measurements import LARGEST_SEQUENCE, OLDEST, shown
from devices.models import Device, Door, Shadow

log = logging.getLogger(__name__)

READINGS = "readings"
LONGEST_TOKEN = 64
_KNOWN = {"state", "version", "clientToken"}


class DocumentRefused(ValueError):
    """A document that is no shadow update; the text says what to change."""


@dataclass(frozen=True)
class Said:
    """One update in our words. A section is None where null stood in its place: all of it goes. ``timestamp`` is AWS IoT's,
    in seconds."""

    desired: dict[str, Any] | None = field(default_factory=dict)
    reported: dict[str, Any] | None = field(default_factory=dict)
    readings: list[Any] = field(default_factory=list)
    version: int | None = None
    token: str | None = None
    timestamp: Any = None


@dataclass(frozen=True)
class Heard:
    """What became of an update: the shadow as it is now, and the answer to each reading in order."""

    row: Shadow
    results: list[dict[str, Any]]
    touched: bool


def parse(body: Any) -> Said:
    """An update as a unit sends it; raises DocumentRefused. Keys beside state, version, clientToken are refused."""
    if not isinstance(body, dict) or not isinstance(body.get("state"), dict):
        raise DocumentRefused('Send one JSON object: {"state": {"reported": {…}}}.')
    if others := sorted(set(body) - _KNOWN):
        raise DocumentRefused(f"'{shown(others[0])}' is not known here; send state, version and clientToken only.")
    return _said(body)


def parse_accepted(body: Any) -> Said:
    """An update that AWS IoT has accepted and passes on: more keys, and always a version. Raises DocumentRefused.

    A piece of its state that cannot be kept here takes no reading with it: it is left out and logged.
    """
    if not isinstance(body, dict) or not isinstance(body.get("state"), dict):
        raise DocumentRefused("This is not a message of .../shadow/update/accepted.")
    said = replace(
        _said({key: body[key] for key in _KNOWN & set(body)}, shadow.keepable), timestamp=body.get("timestamp")
    )
    if said.version is None:
        raise DocumentRefused("version is missing; AWS IoT always sends it.")
    return said


def hear(device: Device, said: Said, heard_at: datetime, door: str) -> Heard:
    """Record what a unit said on our own doors: readings first, then the shadow, in one transaction.

    Idempotent as its parts are. Raises VersionConflict or ShadowRefused, and then nothing is recorded. A unit that
    sends nothing but readings costs no write to the shadow.
    """
    with transaction.atomic():
        plain = _plain_readings(device, said, int(heard_at.timestamp() * 1000), door)
        reported = _without(plain, said.reported)
        row = shadow.read(device)
        again = not device.online or (door == Door.MQTT and bool(shadow.delta(row)))
        touched = said.desired != {} or reported != {} or row.door != door or again
        if touched:
            shadow.hold(device)  # before what readings lock
        results = _take_readings(device, said, plain, heard_at)
        presence.heard_from(device, heard_at)
        if touched:
            patches = {"desired": said.desired, "reported": reported, "version": said.version}
            row = shadow.update(device, **patches, door=door, again=again)
    return Heard(row, results, touched)


def hear_accepted(device: Device, said: Said, heard_at: datetime) -> Heard:
    """Record what AWS IoT accepted, in whatever order its messages come. What is desired there is not taken over: it
    is either ours already or the unit's own wish, which it reports as well. Readings are kept even if the state grows too large.

    A plain number was measured when AWS IoT took it: a message that waited there, or at the broker, is as old as it says.
    """
    assert said.version is not None
    with transaction.atomic():
        plain = _plain_readings(device, said, said.version, Door.AWS, _taken_at(said.timestamp, heard_at))
        reported = _without(plain, said.reported)
        row = shadow.read(device)
        touched = reported != {} or (bool(said.readings or plain) and row.door != Door.AWS)
        if touched:
            shadow.hold(device)  # before what readings lock
        results = _take_readings(device, said, plain, heard_at)
        if reported != {} or results:
            presence.heard_from(device, heard_at)
        if touched:
            row = _update_if_it_fits(device, reported, said.version)
    return Heard(row, results, touched)


def _update_if_it_fits(device: Device, reported: dict[str, Any] | None, version: int) -> Shadow:
    try:
        return shadow.update(device, reported=reported, door=Door.AWS, mark=version)
    except shadow.ShadowRefused as refusal:
        log.warning("what %s reported is not kept: %s", device.serial_number, refusal)
        return shadow.update(device, door=Door.AWS, mark=version)


def document(row: Shadow) -> dict[str, Any]:
    """The whole shadow, as GET answers it."""
    state: dict[str, Any] = {"desired": row.desired, "reported": row.reported, "delta": shadow.delta(row)}
    return {"state": state, "version": row.version, "timestamp": int(row.changed_at.timestamp())}


def accepted(said: Said, heard: Heard, heard_at: datetime) -> dict[str, Any]:
    """AWS IoT's answer to an update (what was taken), with what became of each reading."""
    state = {name: part for name in ("desired", "reported") if (part := getattr(said, name)) != {}}
    answer = {"state": state, "version": heard.row.version, "timestamp": int(heard_at.timestamp())}
    return answer | ({"results": heard.results} if heard.results else {}) | _echoed(said.token)


def rejected(code: int, message: str, token: Any = None) -> dict[str, Any]:
    """AWS IoT's answer to an update that was not taken."""
    now = int(datetime.now(UTC).timestamp())
    return {"code": code, "message": message, "timestamp": now} | _echoed(token if isinstance(token, str) else None)


def _said(body: dict[str, Any], kept: Callable[[shadow.State], shadow.State] = shadow.plain) -> Said:
    state = body["state"]
    if others := sorted(set(state) - {"desired", "reported"}):
        raise DocumentRefused(f"'{shown(others[0])}' is not a part of a state; send desired and reported only.")
    desired, reported = _part(state, "desired", kept), _part(state, "reported", dict)
    readings = [] if reported is None or reported.get(READINGS) is None else reported[READINGS]
    if not isinstance(readings, list) or len(readings) > LARGEST_BATCH:
        raise DocumentRefused(f"readings must be a list of at most {LARGEST_BATCH} readings.")
    if reported is not None:
        reported = kept(_without({READINGS}, reported))
    return Said(desired, reported, readings, _version(body.get("version")), _token(body.get("clientToken")))


def _part(state: dict[str, Any], name: str, kept: Callable[[shadow.State], shadow.State]) -> dict[str, Any] | None:
    part = state.get(name, {})
    if part is not None and not isinstance(part, dict):
        raise DocumentRefused(f"{name} must be a JSON object, or null to remove all of it.")
    return None if part is None else kept(part)


def _without(keys: Container[str], state: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if state is None else {key: value for key, value in state.items() if key not in keys}


def _version(raw: Any) -> int | None:
    if raw is not None and (isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw <= LARGEST_SEQUENCE):
        raise DocumentRefused("version must be a whole number, the one you last saw; or leave it out.")
    return raw


def _token(raw: Any) -> str | None:
    if raw is not None and (not isinstance(raw, str) or len(raw) > LONGEST_TOKEN):
        raise DocumentRefused(f"clientToken must be a text of at most {LONGEST_TOKEN} characters.")
    return raw


def _take_readings(
    device: Device, said: Said, plain: dict[str, Measurement | serializers.Faults], heard_at: datetime
) -> list[dict[str, Any]]:
    """Record every reading of the update; the answers."""
    entries = [serializers.read(item) for item in said.readings] + list(plain.values())
    outcomes = iter(_record(device, entries, heard_at))
    return [_answer(entry, item, outcomes) for entry, item in zip(entries, [*said.readings, *plain], strict=True)]


def _plain_readings(
    device: Device, said: Said, sequence: int, door: str, measured_at: datetime | None = None
) -> dict[str, Measurement | serializers.Faults]:
    """The workshop's shape: a number under the ID of one of the model's slots."""
    numbers = {key: value for key, value in (said.reported or {}).items() if _is_number(value)}
    if not numbers:
        return {}
    slots = {slot.slot_id: slot for slot in device.device_model.slots.filter(slot_id__in=list(numbers))}
    found: dict[str, Measurement | serializers.Faults] = {}
    for key, slot in slots.items():
        if door != Door.AWS and not slot.reports_amount_left:
            found[key] = [serializers.fault("sequence", f"'{key}' reports uses: send readings with a sequence.")]
        else:
            found[key] = Measurement(key, sequence, Decimal(str(numbers[key])), measured_at)
    return found


def _taken_at(seconds: Any, heard_at: datetime) -> datetime | None:
    """None where it cannot be: then it is as if it came at once."""
    if isinstance(seconds, int) and OLDEST.timestamp() <= seconds <= heard_at.timestamp():
        return datetime.fromtimestamp(seconds, UTC)
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _record(device: Device, entries: list[Any], heard_at: datetime) -> list[Outcome]:
    measured = [entry for entry in entries if isinstance(entry, Measurement)]
    found: list[Outcome] = []
    for start in range(0, len(measured), LARGEST_BATCH):
        found += record_reading(device, measured[start : start + LARGEST_BATCH], heard_at)
    return found


def _answer(entry: Any, item: Any, outcomes: Any) -> dict[str, Any]:
    if isinstance(entry, Measurement):
        return serializers.answer(next(outcomes))
    return serializers.refusal(item if isinstance(item, dict) else {"slot": item}, entry)


def _echoed(token: str | None) -> dict[str, str]:
    return {"clientToken": token} if token else {}
