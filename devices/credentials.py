"""The two secrets of a unit, how they are made and how they are kept. Nothing here touches a row.

A device key has 256 random bits, so a plain SHA-256 keeps it; a claim code is short enough to be typed, so it is kept
under an HMAC with the site's secret (SECRET_KEY, then SECRET_KEY_FALLBACKS, so that codes printed on boxes outlive a
rotation). Neither is stored, logged or shown again.
"""

import hashlib
import hmac
import re
import secrets

from django.conf import settings

CLAIM_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # nothing that looks like another: no 0 O, 1 I L, U V
CLAIM_CODE_LENGTH = 8
SHORTEST_KEY = 20
NOBODYS = "0" * 64  # the hash that no key and no code has
# Random bytes as signs of a code: each sign for as many bytes as any other; the bytes that are left over are thrown away
# (of 32 bytes so many that a code would be too short: once in 10^23 codes).
_FAIR = 256 - 256 % len(CLAIM_ALPHABET)
_SIGNS = bytes(ord(CLAIM_ALPHABET[byte % len(CLAIM_ALPHABET)]) for byte in range(256))
_LEFT_OVER = bytes(range(_FAIR, 256))


def new_key() -> str:
    """A device key: 256 random bits."""
    return secrets.token_urlsafe(32)


def new_code() -> str:
    """A claim code: 8 characters of 30 that nobody mixes up."""
    return secrets.token_bytes(32).translate(_SIGNS, _LEFT_OVER)[:CLAIM_CODE_LENGTH].decode()


def hash_key(key: str) -> str:
    """How a device key is kept."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def tidy_code(code: str) -> str:
    """A claim code as people type it: capitals do not matter, nor do spaces and hyphens."""
    return re.sub(r"[\s-]", "", code).upper()


def peppers() -> list[str]:
    """The site's secrets under which codes may be kept, the present one first."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


class CodeHasher:
    """How claim codes are kept under one of the site's secrets; made once and used for a million codes."""

    def __init__(self, pepper: str) -> None:
        self._begun = hmac.new(f"devices.claim-code:{pepper}".encode(), digestmod=hashlib.sha256)

    def __call__(self, serial: str, code: str) -> str:
        begun = self._begun.copy()
        begun.update(f"{serial}:{code}".encode("utf-8", "surrogatepass"))
        return begun.hexdigest()


def hash_code(serial: str, code: str, pepper: str | None = None) -> str:
    """How a claim code is kept: bound to its serial number, so the same code on two boxes looks different."""
    return CodeHasher(pepper or settings.SECRET_KEY)(serial, code)
