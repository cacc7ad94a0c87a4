"""A unit's key: who shows the right one, how it is changed, how it is taken away.

Two keys are valid while a rotation is under way, so that a unit is never locked out: the new one, and the one before it
until the unit has shown the new one and DEVICE_KEY_OVERLAP has passed. A rotation asked for again, because the answer
was lost, keeps the key that the unit really has.
"""

import re
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from devices import remembered
from devices.credentials import NOBODYS, hash_key, new_key
from devices.models import SERIAL_PATTERN, Device


class RotationRefused(Exception):
    """The key with which the unit asked for another one is no longer the one to ask with."""


def authenticate(serial: str, key: str) -> Device | None:
    """The unit with this serial number and key, its model at hand; None for whatever is wrong, after the same work.

    The first use of a new key is noted (one UPDATE in the life of a key); from then on the key before it has
    DEVICE_KEY_OVERLAP left. Idempotent.
    """
    known = re.fullmatch(SERIAL_PATTERN, serial)
    device = remembered.device(serial) if known else None
    shown, now = hash_key(key), timezone.now()
    before = device.previous_key_hash if device and device.previous_key_lives(now) else NOBODYS
    is_present = constant_time_compare(shown, device.key_hash if device else NOBODYS)
    is_previous = constant_time_compare(shown, before)
    if device is None or not (is_present or is_previous):
        return None
    device.device_model = remembered.model(device.device_model_id)
    device.shown_key_hash = shown
    if is_present and device.key_seen_at is None:
        _note_first_use(device, now)
    return device


@transaction.atomic
def rotate_key(device: Device) -> str:
    """Give the unit a new key and return it. By staff: the old key works for DEVICE_KEY_OVERLAP more.

    Transactional. Not idempotent: a new one each time; the key that the unit has meanwhile stays valid.
    """
    row, now = Device.objects.select_for_update(no_key=True).get(pk=device.pk), timezone.now()
    return _replace(row, now, until=now + overlap())


@transaction.atomic
def rotate_by_device(device: Device) -> str:
    """Give the unit that asks for it a new key and return it; ``device`` as `authenticate` returned it.

    Transactional. Safe to repeat when the answer was lost: the key it asked with works until the unit has used a new
    one, and DEVICE_KEY_OVERLAP longer. Raises RotationRefused for the old key once the new one was used (whoever
    still has the old one must not get the next) and for a key that was revoked meanwhile.
    """
    row, now = Device.objects.select_for_update(no_key=True).get(pk=device.pk), timezone.now()
    shown = getattr(device, "shown_key_hash", "")
    is_previous = shown == row.previous_key_hash and row.previous_key_lives(now) and row.key_seen_at is None
    if not shown or not (shown == row.key_hash or is_previous):
        raise RotationRefused("Ask for a new key with the newest one that this device was given.")
    if shown == row.key_hash:
        row.key_seen_at = row.key_seen_at or now
    return _replace(row, now, until=None)


def revoke_keys(device: Device) -> None:
    """No key of this unit opens anything any more, at once. Idempotent. rotate_key gives it a new one."""
    gone = {"key_hash": NOBODYS, "previous_key_hash": "", "previous_key_until": None, "key_seen_at": None}
    Device.objects.filter(pk=device.pk).update(key_changed_at=timezone.now(), **gone)


def overlap() -> timedelta:
    """How long the old key goes on working."""
    return timedelta(seconds=settings.DEVICE_KEY_OVERLAP)


def _replace(row: Device, now: datetime, until: datetime | None) -> str:
    """The present key becomes the previous one, unless the unit has never shown it and still lives on the previous."""
    if row.key_seen_at is not None or not row.previous_key_lives(now):
        row.previous_key_hash = "" if row.key_hash == NOBODYS else row.key_hash
        row.previous_key_until = until if row.previous_key_hash else None
    key = new_key()
    row.key_hash, row.key_seen_at, row.key_changed_at = hash_key(key), None, now
    fields = ["key_hash", "key_seen_at", "key_changed_at", "previous_key_hash", "previous_key_until"]
    row.save(update_fields=fields)
    return key


def _note_first_use(device: Device, now: datetime) -> None:
    device.key_seen_at = now
    noted = {"key_seen_at": now}
    if device.previous_key_hash and device.previous_key_until is None:
        noted["previous_key_until"] = device.previous_key_until = now + overlap()
    Device.objects.filter(pk=device.pk, key_hash=device.key_hash, key_seen_at=None).update(**noted)
