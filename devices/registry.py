"""The verbs that change a unit: register, claim, release, rename, rotate_key. Whoever changes one, calls them here.

Claiming itself is in claiming.py, keys are in keys.py, a whole factory's list is in factory.py, and how the two secrets
of a unit are kept in credentials.py.
"""

import re
import unicodedata
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.utils.crypto import constant_time_compare

from devices import shadow
from devices.claiming import ClaimRefused, ClaimThrottled, claim, code_matches
from devices.credentials import (
    CLAIM_ALPHABET,
    CLAIM_CODE_LENGTH,
    SHORTEST_KEY,
    hash_code,
    hash_key,
    new_code,
    new_key,
    tidy_code,
)
from devices.keys import RotationRefused, authenticate, revoke_keys, rotate_by_device, rotate_key
from devices.models import SERIAL_PATTERN, Device, DeviceModel
from devices.signals import endpoint_changed

__all__ = [
    "CLAIM_ALPHABET",
    "ClaimRefused",
    "ClaimThrottled",
    "NameRefused",
    "Registered",
    "RegistrationRefused",
    "RotationRefused",
    "authenticate",
    "claim",
    "hash_key",
    "plain_name",
    "register",
    "release",
    "release_by_reset",
    "rename",
    "revoke_keys",
    "rotate_by_device",
    "rotate_key",
    "tidy_code",
    "tidy_name",
]

LONGEST_NAME = 128


class NameRefused(ValueError):
    """A name that Alexa would not take; the text says what to change."""


class RegistrationRefused(ValueError):
    """A serial number that is impossible or registered otherwise, or a key or claim code that is too weak."""


class Registered(NamedTuple):
    """The only moment at which key and claim code exist in readable form."""

    device: Device
    key: str
    claim_code: str


def register(
    serial: str, device_model: DeviceModel, *, name: str = "", key: str | None = None, claim_code: str | None = None
) -> Registered:
    """Enter a unit into the registry, unowned. Key and claim code are made here unless the factory brings its own.

    Transactional. Idempotent where the caller brings key and code: the same unit again changes nothing. The same
    serial number with another model, key or code raises RegistrationRefused (see rotate_key). No signal: nobody owns
    it. ``name`` is plain text; by default the model's.
    """
    if not re.fullmatch(SERIAL_PATTERN, serial):
        raise RegistrationRefused("A serial number has 1 to 64 letters, digits, dots, underscores and hyphens.")
    key, code = key or new_key(), tidy_code(claim_code) if claim_code else new_code()
    if len(key) < SHORTEST_KEY or len(code) < CLAIM_CODE_LENGTH:
        raise RegistrationRefused(f"A key has at least {SHORTEST_KEY} characters, a claim code {CLAIM_CODE_LENGTH}.")
    facts = {"device_model": device_model, "key_hash": hash_key(key), "claim_code_hash": hash_code(serial, code)}
    facts["name"] = tidy_name(name) if name else plain_name(device_model.name)
    device, made = Device.objects.get_or_create(serial_number=serial, defaults=facts)
    if not (made or _is_the_same(device, device_model, key, code)):
        raise RegistrationRefused(f"{serial} is registered already, with another model, key or claim code.")
    return Registered(device, key, code)


@transaction.atomic
def release(device: Device) -> Device:
    """Take the unit from its owner, with the name they gave it; anybody with its claim code may claim it next.

    Transactional, idempotent. Sends endpoint_changed(ownership) if there was an owner. Returns the row as it is now.
    """
    return _set_free(_lock(device))


@transaction.atomic
def release_by_reset(device: Device, *, epoch: int | None = None, happened_at: datetime | None = None) -> Device:
    """The unit says that somebody pressed its factory reset: it has no owner any more.

    Transactional. Idempotent by ``epoch``, the one that the reset began: the same or an older one again changes
    nothing, so a repeated message does not take the unit from the next owner. A reset that ``happened_at`` (aware)
    before the present owner's claim is noted and releases nobody. Without either it is a plain release. Sends
    endpoint_changed(ownership) if there was an owner. Returns the row as it is now.
    """
    row = _lock(device)
    if epoch is not None:
        if epoch <= row.reset_epoch:
            return row
        row.reset_epoch = epoch
        row.save(update_fields=["reset_epoch"])
    if happened_at and row.claimed_at and happened_at < row.claimed_at:
        return row
    return _set_free(row)


def _set_free(row: Device) -> Device:
    if row.owner_id is None:
        return row
    row.owner, row.ownership, row.claimed_at = None, None, None
    row.name = plain_name(row.device_model.name)
    row.save(update_fields=["owner", "ownership", "claimed_at", "name"])
    shadow.forget(row)
    endpoint_changed.send(sender=Device, device_ids=[row.pk], what="ownership")
    return row


@transaction.atomic
def rename(device: Device, name: str) -> Device:
    """Give the unit another name: 1 to 128 letters, digits and spaces, as Alexa asks (Alexa reference 2.2).

    Transactional, idempotent. Raises NameRefused. The unit hears of it by its shadow (desired name). Sends
    endpoint_changed(description) if the name is another one. Returns the row as it is now.
    """
    tidy = tidy_name(name)
    row = _lock(device)
    if row.name == tidy:
        return row
    row.name = tidy
    shadow.desire(row, {shadow.NAME: tidy})
    row.save(update_fields=["name"])
    endpoint_changed.send(sender=Device, device_ids=[row.pk], what="description")
    return row


def plain_name(text: str) -> str:
    """Any text with what Alexa would not take in a name left out."""
    kept = "".join(letter if _fits_a_name(letter) else " " for letter in text)
    return " ".join(kept.split())[:LONGEST_NAME].strip() or "Device"


def tidy_name(name: str) -> str:
    """A name as it will be kept; raises NameRefused with what to change."""
    tidy = " ".join(unicodedata.normalize("NFC", name).split())
    if not tidy:
        raise NameRefused("Please give the device a name.")
    if len(tidy) > LONGEST_NAME:
        raise NameRefused(f"A name has at most {LONGEST_NAME} characters; this one has {len(tidy)}.")
    if odd := sorted({letter for letter in tidy if not _fits_a_name(letter)}):
        signs = " ".join(letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter in odd[:5])
        raise NameRefused(f"Alexa takes letters, digits and spaces only; please leave out: {signs}")
    return tidy


def _is_the_same(device: Device, device_model: DeviceModel, key: str, code: str) -> bool:
    same_key = constant_time_compare(device.key_hash, hash_key(key))
    return (
        same_key
        and device.device_model_id == device_model.pk
        and code_matches(device.serial_number, code, device.claim_code_hash)
    )


def _lock(device: Device) -> Device:
    shadow.hold(device)
    rows = Device.objects.select_for_update(of=["self"], no_key=True).select_related("device_model")
    return rows.get(pk=device.pk)


def _fits_a_name(letter: str) -> bool:
    """Letters of any script with their marks, digits, spaces; no punctuation (Alexa reference 2.2)."""
    return letter == " " or unicodedata.category(letter)[0] in "LM" or unicodedata.category(letter) == "Nd"
