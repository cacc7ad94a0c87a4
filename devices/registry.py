"""How a unit enters the registry and changes hands: register, claim, release, rename, rotate_key.

Secrets: a device key has 256 random bits, so a plain SHA-256 keeps it; a claim code is short enough to be typed, so it
is kept under an HMAC with the site's secret (SECRET_KEY, then SECRET_KEY_FALLBACKS, so that codes printed on boxes
outlive a rotation). Neither is stored, logged or shown again. Limits on guessing live in attempts.py.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
import uuid
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from devices import attempts
from devices.models import SERIAL_PATTERN, Device, DeviceModel
from devices.signals import What, endpoint_changed

CLAIM_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # nothing that looks like another: no 0 O, 1 I L, U V
CLAIM_CODE_LENGTH = 8
SHORTEST_KEY = 20
LONGEST_NAME = 128
_NOBODYS = "0" * 64
_NO_SERIAL = "-"  # no serial number begins so


class ClaimRefused(Exception):
    """Unknown serial number, wrong code and already taken look the same, on purpose."""


class ClaimThrottled(ClaimRefused):
    """Too many failed attempts within the hour, by this customer or for this serial number."""


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
    key, code = key or secrets.token_urlsafe(32), tidy_code(claim_code) if claim_code else _new_code()
    if len(key) < SHORTEST_KEY or len(code) < CLAIM_CODE_LENGTH:
        raise RegistrationRefused(f"A key has at least {SHORTEST_KEY} characters, a claim code {CLAIM_CODE_LENGTH}.")
    facts = {"device_model": device_model, "key_hash": hash_key(key), "claim_code_hash": _hash_code(serial, code)}
    facts["name"] = tidy_name(name) if name else plain_name(device_model.name)
    device, made = Device.objects.get_or_create(serial_number=serial, defaults=facts)
    if not (made or _is_the_same(device, device_model, key, code)):
        raise RegistrationRefused(f"{serial} is registered already, with another model, key or claim code.")
    return Registered(device, key, code)


def claim(user: AbstractBaseUser, serial: str, code: str) -> Device:
    """Make ``user`` the owner of the unit with this serial number and the claim code printed on its box.

    Transactional; idempotent for the owner (the ownership stays the same). Unknown, taken and wrong are one
    ClaimRefused with one neutral sentence after the same work. At most 10 failures an hour for a customer and for a
    serial number, then ClaimThrottled; call it outside any transaction, or a rollback may forget the failures.
    Sends endpoint_changed(ownership).
    """
    tidy_serial = serial.strip() if re.fullmatch(SERIAL_PATTERN, serial.strip()) else _NO_SERIAL
    doors = [f"customer:{user.pk}", f"serial:{tidy_serial.upper()}"]
    if not attempts.allow(doors):
        raise ClaimThrottled("Too many attempts. Please wait an hour and try again.")
    device = _hand_over(user, tidy_serial, tidy_code(code))
    attempts.forgive(doors)
    return device


@transaction.atomic
def release(device: Device) -> Device:
    """Take the unit from its owner, with the name they gave it; anybody with its claim code may claim it next.

    Transactional, idempotent. Sends endpoint_changed(ownership) if there was an owner. Returns the row as it is now.
    """
    row = _lock(device)
    if row.owner_id is None:
        return row
    row.owner, row.ownership, row.claimed_at = None, None, None
    row.name = plain_name(row.device_model.name)
    return _save(row, ["owner", "ownership", "claimed_at", "name"], "ownership")


@transaction.atomic
def rename(device: Device, name: str) -> Device:
    """Give the unit another name: 1 to 128 letters, digits and spaces, as Alexa asks (Alexa reference 2.2).

    Transactional, idempotent. Raises NameRefused. Sends endpoint_changed(description) if the name is another one.
    Returns the row as it is now.
    """
    tidy = tidy_name(name)
    row = _lock(device)
    if row.name == tidy:
        return row
    row.name = tidy
    return _save(row, ["name"], "description")


def rotate_key(device: Device) -> str:
    """Give the unit a new key and return it; the old one stops working at once. Not idempotent: a new one each time."""
    key = secrets.token_urlsafe(32)
    Device.objects.filter(pk=device.pk).update(key_hash=hash_key(key))
    return key


def hash_key(key: str) -> str:
    """How a device key is kept."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def tidy_code(code: str) -> str:
    """A claim code as people type it: capitals do not matter, nor do spaces and hyphens."""
    return re.sub(r"[\s-]", "", code).upper()


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


def _hand_over(user: AbstractBaseUser, serial: str, code: str) -> Device:
    with transaction.atomic():
        device = _find_for_claim(serial)
        right = _code_is_right(device, serial, code)
        if device is None or not right or device.owner_id not in (None, user.pk):
            raise ClaimRefused("No unclaimed device has this serial number and claim code.")
        if device.owner_id == user.pk:
            return device
        device.owner_id, device.ownership, device.claimed_at = user.pk, uuid.uuid4(), timezone.now()
        return _save(device, ["owner", "ownership", "claimed_at"], "ownership")


def _find_for_claim(serial: str) -> Device | None:
    """As typed, or in capitals: most serial numbers are printed so."""
    rows = Device.objects.select_for_update(of=["self"], no_key=True).select_related("device_model")
    found = {row.serial_number: row for row in rows.filter(serial_number__in=[serial, serial.upper()]).order_by("pk")}
    return found.get(serial) or found.get(serial.upper())


def _code_is_right(device: Device | None, serial: str, code: str) -> bool:
    """The same work for a unit that exists and for one that does not."""
    name, expected = (device.serial_number, device.claim_code_hash) if device else (serial, _NOBODYS)
    peppers = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return any([constant_time_compare(_hash_code(name, code, pepper), expected) for pepper in peppers])


def _hash_code(serial: str, code: str, pepper: str | None = None) -> str:
    secret = f"devices.claim-code:{pepper or settings.SECRET_KEY}".encode()
    return hmac.new(secret, f"{serial}:{code}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _new_code() -> str:
    return "".join(secrets.choice(CLAIM_ALPHABET) for _ in range(CLAIM_CODE_LENGTH))


def _is_the_same(device: Device, device_model: DeviceModel, key: str, code: str) -> bool:
    same_key = constant_time_compare(device.key_hash, hash_key(key))
    return same_key and device.device_model_id == device_model.pk and _code_is_right(device, device.serial_number, code)


def _lock(device: Device) -> Device:
    rows = Device.objects.select_for_update(of=["self"], no_key=True).select_related("device_model")
    return rows.get(pk=device.pk)


def _save(device: Device, fields: list[str], what: What) -> Device:
    device.save(update_fields=fields)
    endpoint_changed.send(sender=Device, device_ids=[device.pk], what=what)
    return device


def _fits_a_name(letter: str) -> bool:
    """Letters of any script with their marks, digits, spaces; no punctuation (Alexa reference 2.2)."""
    return letter == " " or unicodedata.category(letter)[0] in "LM" or unicodedata.category(letter) == "Nd"
