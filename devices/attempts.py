"""How often a secret may be guessed: failed attempts counted in Django's cache, which all web processes share.

An attempt is counted before it is judged and forgiven if it was right, so many at once cannot slip past the limit
together. The count is not atomic on every cache; a few more guesses than the limit do not matter against 30^8 codes.
"""

import hashlib
import time
from collections.abc import Iterable

from django.core.cache import cache

LIMIT = 10  # of one customer, and for one serial number
ADDRESS_LIMIT = 50  # of one address: a whole office or campus may stand behind it
WINDOW = 3600  # seconds, from the first attempt


def allow(doors: Iterable[str]) -> bool:
    """Count one attempt at each of these doors; False if any has seen too many within its hour.

    A door is "customer:…", "serial:…" or "address:…". Every door is asked, so the answer costs the same for all.
    """
    return all([_count(door) for door in doors])


def forgive(doors: Iterable[str]) -> None:
    """Take back one attempt at each door: it was the right one."""
    for key in map(_key, doors):
        started, tried = cache.get(key) or (time.time(), 0)
        cache.set(key, (started, max(tried - 1, 0)), _left(started))


def _count(door: str) -> bool:
    key = _key(door)
    started, tried = cache.get(key) or (time.time(), 0)
    if tried >= (ADDRESS_LIMIT if door.startswith("address:") else LIMIT):
        return False
    cache.set(key, (started, tried + 1), _left(started))
    return True


def _left(started: float) -> float:
    return max(started + WINDOW - time.time(), 1)


def _key(door: str) -> str:
    return f"devices.attempts:{hashlib.sha256(door.encode()).hexdigest()}"
