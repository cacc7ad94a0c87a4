"""Desired, reported, delta: what a unit should be, what it says it is, and the difference, under one version.

As AWS IoT's shadow service does it: a patch is merged key by key, null removes a key, lists are values. Lock order of the
house: Shadow -> Inventory -> Device. Here: the state. Not here: the JSON of the doors (documents.py), the way to
the unit (talkback.py).
"""

import json
import logging
import math
import uuid
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from devices import talkback
from devices.models import Device, Door, Shadow
from devices.signals import endpoint_changed

log = logging.getLogger(__name__)

LARGEST_STATE = 8 * 1024  # bytes of JSON of desired, and as many of reported: what a unit says crowds out no wish
LEFT_FREE = 1024  # bytes of desired, for a name and a power state: no unit fills them with wishes of its own
DEEPEST_STATE = 8
LARGEST_NUMBER = 2**63 - 1  # a clock in microseconds fits
POWER = "powerState"  # "ON" or "OFF", Alexa's own words
NAME = "name"

State = dict[str, Any]
_UNCHANGED: State = {}


class ShadowRefused(ValueError):
    """A state that cannot be kept; the text says what to change."""


class VersionConflict(Exception):
    """The state has moved since the version the writer had seen; read it again. ``version`` is the present one."""

    def __init__(self, version: int) -> None:
        super().__init__(f"The version is {version} now; read the shadow again and decide anew.")
        self.version = version


def read(device: Device) -> Shadow:
    """The shadow as it is now; an empty one of version 0, not stored, where there is none. No lock, one query."""
    row = Shadow.objects.filter(device=device).first()
    if row is None:
        return Shadow(device=device, ownership=device.ownership, changed_at=timezone.now())
    return row if row.ownership == device.ownership else _begun_anew(row, device.ownership)


def desire(device: Device, patch: State, *, version: int | None = None) -> Shadow:
    """Ask the unit to become this: power, a name, anything that its firmware knows. It reaches it by its own door.

    Transactional; idempotent (the same wish again changes nothing). Raises ShadowRefused, VersionConflict.
    """
    return update(device, desired=patch, version=version)


def forget(device: Device) -> None:
    """After a change of owner was saved: drop what was the former's, here and at AWS IoT. Transactional, idempotent.

    Forgetting does not depend on this call: whatever is read or told later is judged by the ownership.
    """
    if Shadow.objects.filter(device=device).exists():
        update(device)


def hold(device: Device) -> Shadow:
    """Inside a transaction that will change the shadow: lock it now, before anything else of the unit is locked.

    It is made first if missing: two first words at once must meet here.
    """
    rows = Shadow.objects.select_for_update(no_key=True).filter(device=device)
    if (row := rows.first()) is None:
        fresh = Shadow(device=device, ownership=device.ownership, changed_at=timezone.now())
        Shadow.objects.bulk_create([fresh], ignore_conflicts=True)
        row = rows.get()
    return row


@transaction.atomic
def update(
    device: Device,
    *,
    desired: State | None = _UNCHANGED,
    reported: State | None = _UNCHANGED,
    version: int | None = None,
    door: str = "",
    mark: int | None = None,
    again: bool = False,
) -> Shadow:
    """Merge these patches, None for all that there is to go; the row as it is then.

    Transactional. Idempotent: a patch that changes nothing leaves the version alone and is taken whatever ``version`` it
    names, so a repeated message is no conflict. Otherwise ``version``, if given, must be the present one, else
    VersionConflict. ``door``: by which the unit itself spoke. ``mark``: the version of AWS IoT's shadow under which this
    was reported; a leaf moves only forward by it. ``again``: the unit was away and is told once more. Raises
    ShadowRefused. Sends endpoint_changed(power) when the unit reports another power state, and says whether that was
    wished. A unit that was switched by hand is not switched back: the fulfilled wish is dropped. Nothing on the wire;
    the way to the unit is rung after commit.
    """
    row, renewed = _lock(device)
    before = row.desired, row.reported
    row.desired = merged(row.desired, desired := _patch(desired, row.desired))
    row.reported = _reported(row, _patch(reported, row.reported), mark)
    if row.reported != before[1]:
        row.reported_at = timezone.now()
    if _switched_by_hand(row, before[1]):
        row.desired = merged(row.desired, {POWER: None})
    changed = (row.desired, row.reported) != before
    if changed and version not in (None, row.version):
        raise VersionConflict(row.version)
    is_ours = not door and desired.keys() <= {NAME, POWER}
    _expect_size("desired", row.desired, before[0], LARGEST_STATE - (0 if is_ours else LEFT_FREE))
    _expect_size("reported", row.reported, before[1], LARGEST_STATE)
    moved = _enter(row, door)
    if changed or moved or renewed or again or mark is not None:
        _save(row, changed, at_once=again or row.desired != before[0])
    if before[1].get(POWER) != row.reported.get(POWER):
        wished = POWER in row.desired and row.desired[POWER] == row.reported.get(POWER)
        endpoint_changed.send(sender=Device, device_ids=[device.pk], what="power", wished=wished)
    return row


def delta(row: Shadow) -> State:
    """What the unit should change: every desired value that it does not report."""
    return difference(row.desired, row.reported)


def difference(wanted: State, present: State) -> State:
    """The part of ``wanted`` that ``present`` does not have; objects are compared key by key."""
    found = {}
    for key, value in wanted.items():
        other = present.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            if inner := difference(value, other):
                found[key] = inner
        elif value != other or isinstance(value, bool) != isinstance(other, bool):
            found[key] = value
    return found


def merged(state: State, patch: State) -> State:
    """The state with the patch applied: null removes, an object goes into an object, all else replaces."""
    result = dict(state)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            inner = result.get(key)
            result[key] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            result[key] = value
    return result


def plain(value: Any, depth: int = DEEPEST_STATE) -> Any:
    """A piece of state as it can be kept (numbers as JSON has them); raises ShadowRefused with what to change."""
    if isinstance(value, dict | list) and not depth:
        raise ShadowRefused(f"The state is nested deeper than {DEEPEST_STATE} levels; make it flatter.")
    if isinstance(value, dict):
        return {_text(key): plain(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner, depth - 1) for inner in value]
    return _scalar(value)


def keepable(state: State, depth: int = DEEPEST_STATE) -> State:
    """What of a state that others have accepted can be kept here; each piece that cannot is left out and logged."""
    kept: State = {}
    for key, value in state.items():
        deeper = isinstance(value, dict) and depth > 1
        try:
            kept[_text(key)] = keepable(value, depth - 1) if deeper else plain(value, depth - 1)
        except ShadowRefused as refusal:
            log.warning("%s is left out of a shadow: %s", ascii(key[:40]), refusal)
    return kept


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Decimal | float):
        number = float(value)
        value = int(number) if number.is_integer() and abs(number) <= LARGEST_NUMBER else number
    if not math.isfinite(value) or abs(value) > LARGEST_NUMBER:
        raise ShadowRefused(f"A number in the state lies outside ±{LARGEST_NUMBER}; send it as text.")
    return value


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ShadowRefused("A text in the state has half a character (a lone surrogate).") from error
    if "\x00" in text:
        raise ShadowRefused("A text in the state has a NUL in it; leave it out.")
    return text


def _lock(device: Device) -> tuple[Shadow, bool]:
    """The row under lock; whether it was a former owner's."""
    row = hold(device)
    # As it is now, not as the caller has read it: a unit that speaks while it changes hands must not bring back the old.
    ownership = Device.objects.values_list("ownership", flat=True).get(pk=device.pk)
    renewed = row.ownership != ownership
    return (_begun_anew(row, ownership) if renewed else row), renewed


def _begun_anew(row: Shadow, ownership: uuid.UUID | None) -> Shadow:
    """Under a new owner nothing of the old: not the name, not what was wished. The version goes on rising.

    What was said while nobody owned the unit is nobody's secret and stays.
    """
    if row.ownership is None:
        row.ownership = ownership
        return row
    row.ownership, row.desired, row.reported, row.reported_at, row.due_at = ownership, {}, {}, None, None
    row.version += 1
    return row


def _switched_by_hand(row: Shadow, before: State) -> bool:
    """It was as wished, and now reports another power state."""
    return row.desired.get(POWER) == before.get(POWER) != row.reported.get(POWER) and POWER in row.desired


def _patch(said: State | None, state: State) -> State:
    """What a section's patch means: null in its place removes every key of it, as at AWS IoT."""
    return dict.fromkeys(state) if said is None else said


def _reported(row: Shadow, patch: State, mark: int | None) -> State:
    if mark is None:
        return merged(row.reported, patch)
    row.marks = dict(row.marks)
    return _merged_forward(row.reported, row.marks, patch, mark)


def _merged_forward(state: State, marks: State, patch: State, mark: int) -> State:
    """As merged(), but a leaf that was reported under a later mark stays as it is, whatever comes late."""
    result = dict(state)
    for key, value in patch.items():
        known = marks.get(key, -1)
        if isinstance(value, dict) and (isinstance(known, dict) or known < mark):
            inner, inner_marks = result.get(key), dict(known) if isinstance(known, dict) else {}
            result[key] = _merged_forward(inner if isinstance(inner, dict) else {}, inner_marks, value, mark)
            marks[key] = inner_marks
        elif _latest(known) < mark:
            marks[key] = mark
            result = merged(result, {key: value})
    return result


def _latest(known: Any) -> int:
    return max((_latest(inner) for inner in known.values()), default=-1) if isinstance(known, dict) else known


def _expect_size(name: str, state: State, before: State, most: int) -> None:
    """What does not grow is taken: a unit may make smaller what others have filled."""
    if (size := _size(state)) > most and size > _size(before):
        raise ShadowRefused(f"{name} would have {size} bytes; at most {most} are kept.")


def _size(state: State) -> int:
    return len(json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode())


def _enter(row: Shadow, door: str) -> bool:
    """Note by which door the unit came; True if it is another than before."""
    if not door or row.door == door:
        return False
    row.door, row.told = door, {}
    return True


def _save(row: Shadow, changed: bool, *, at_once: bool) -> None:
    """A new wish does not wait until a failure of the old one is forgotten."""
    if changed:
        row.version, row.changed_at = row.version + 1, timezone.now()
    if not _to_tell(row):
        row.due_at = None
    elif at_once or row.due_at is None:
        row.due_at, row.attempts = timezone.now(), 0
    row.save()
    if row.due_at:
        talkback.ring(row.door)


def _to_tell(row: Shadow) -> bool:
    """Whether we have to speak first: behind HTTPS the unit asks; AWS IoT makes its own delta of what we told it."""
    if row.door == Door.AWS:
        return bool(row.desired != row.told)
    return row.door == Door.MQTT and bool(delta(row))
