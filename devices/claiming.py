"""Claiming: a customer becomes the owner of a unit by what is printed on its box. A stranger who tries learns nothing.

Unknown, taken and wrong are answered with one sentence after the same work: one SELECT without a lock (so that a busy
unit does not answer more slowly than none) and one INSERT of a ClaimAttempt. The true cause is there, under the
reference number that the customer is shown. Limits on guessing live in attempts.py.
"""

import ipaddress
import re
import secrets
import uuid
from calendar import monthrange
from datetime import date, timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from devices import attempts
from devices.credentials import CLAIM_ALPHABET, NOBODYS, hash_code, peppers, tidy_code
from devices.models import SERIAL_PATTERN, ClaimAttempt, Device
from devices.signals import endpoint_changed

KEPT = timedelta(days=30)
THROTTLED_NOTED_EVERY = 60  # seconds; whoever goes on trying does not fill our disk
_NO_SERIAL = "-"  # no serial number begins so
Cause = ClaimAttempt.Cause


class ClaimRefused(Exception):
    """Unknown serial number, wrong code and already taken look the same, on purpose. ``reference`` is for support."""

    def __init__(self, sentence: str, reference: str = "") -> None:
        super().__init__(sentence)
        self.reference = reference


class ClaimThrottled(ClaimRefused):
    """Too many failed attempts within the hour, by this customer, for this serial number or from this address."""


def claim(user: AbstractBaseUser, serial: str, code: str, *, address: str = "") -> Device:
    """Make ``user`` the owner of the unit with this serial number and the claim code printed on its box.

    Transactional; idempotent for the owner (the ownership stays the same). Unknown, taken and wrong are one
    ClaimRefused with one neutral sentence after the same work. At most 10 failures an hour for a customer and for a
    serial number and 50 for an ``address`` (IP, optional), then ClaimThrottled; call it outside any transaction, or a
    rollback may forget the failures. The warranty begins with the first claim. Sends endpoint_changed(ownership).
    """
    tidy_serial = serial.strip() if re.fullmatch(SERIAL_PATTERN, serial.strip()) else _NO_SERIAL
    places = [f"address:{network}"] if (network := _network(address)) else []
    doors = [f"customer:{user.pk}", *places, f"serial:{serial.strip().upper()}"]
    if not attempts.allow(doors):
        raise ClaimThrottled("Too many attempts. Please wait an hour and try again.", _throttled(user, serial, address))
    device, cause = _judge(user, tidy_serial, tidy_code(code))
    owned = _hand_over(user, device) if device and cause is None else None
    if owned is None:
        reference = _remember(user, serial, address, cause or Cause.TAKEN)
        raise ClaimRefused("No unclaimed device has this serial number and claim code.", reference)
    attempts.forgive(doors)
    return owned


def forget_attempts() -> int:
    """Delete refused claims older than 30 days, and counts of attempts whose hour is over; how many claims. Idempotent."""
    attempts.forget()
    return ClaimAttempt.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]


def _judge(user: AbstractBaseUser, serial: str, code: str) -> tuple[Device | None, Cause | None]:
    """The unit, and what speaks against handing it over; nothing is locked or written."""
    device = _find(serial)
    right = _code_is_right(device, serial, code)
    if device is None:
        return None, Cause.UNKNOWN
    if not right:
        return device, Cause.WRONG_CODE
    return device, None if device.owner_id in (None, user.pk) else Cause.TAKEN


def _find(serial: str) -> Device | None:
    """As typed, or in capitals: most serial numbers are printed so."""
    rows = Device.objects.only("serial_number", "claim_code_hash", "owner_id")
    found = {row.serial_number: row for row in rows.filter(serial_number__in=[serial, serial.upper()]).order_by("pk")}
    return found.get(serial) or found.get(serial.upper())


def _code_is_right(device: Device | None, serial: str, code: str) -> bool:
    name, expected = (device.serial_number, device.claim_code_hash) if device else (serial, NOBODYS)
    return code_matches(name, code, expected)


def code_matches(serial: str, code: str, expected: str) -> bool:
    """Whether this tidy code is the one kept for the unit, under any of the site's secrets; in constant time."""
    return any([constant_time_compare(hash_code(serial, code, pepper), expected) for pepper in peppers()])


@transaction.atomic
def _hand_over(user: AbstractBaseUser, found: Device) -> Device | None:
    """Under the row's lock; None if somebody else was quicker."""
    rows = Device.objects.select_for_update(of=["self"], no_key=True).select_related("device_model")
    device = rows.get(pk=found.pk)
    if device.owner_id is not None:
        return device if device.owner_id == user.pk else None
    now = timezone.now()
    device.owner_id, device.ownership, device.claimed_at = user.pk, uuid.uuid4(), now
    if device.warranty_until is None and (months := device.device_model.warranty_months):
        device.warranty_until = months_after(now.date(), months)
    device.save(update_fields=["owner", "ownership", "claimed_at", "warranty_until"])
    endpoint_changed.send(sender=Device, device_ids=[device.pk], what="ownership")
    return device


def months_after(day: date, months: int) -> date:
    """The same day so many months later, or the last of that month where it has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _throttled(user: AbstractBaseUser, serial: str, address: str) -> str:
    """One row a minute and customer; within the minute, its reference again."""
    key = f"devices.claim-throttled:{user.pk}"
    reference = cache.get(key) or _remember(user, serial, address, Cause.THROTTLED)
    cache.set(key, reference, THROTTLED_NOTED_EVERY)
    return reference


def _remember(user: AbstractBaseUser, serial: str, address: str, cause: Cause) -> str:
    reference = "".join(secrets.choice(CLAIM_ALPHABET) for _ in range(8))
    typed = "".join(letter if letter.isprintable() else "?" for letter in serial.strip()[:64])
    ClaimAttempt.objects.create(
        reference=reference, customer_id=user.pk, serial_number=typed, address=_tidy_address(address), cause=cause
    )
    return reference


def _tidy_address(address: str) -> str | None:
    try:
        return str(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return None


def _network(address: str) -> str:
    """Whom an address stands for: an IPv6 customer has a whole /64, and may choose another address for every try."""
    known = _tidy_address(address)
    if known is None or ":" not in known:
        return known or ""
    return str(ipaddress.ip_network(f"{known}/64", strict=False))
