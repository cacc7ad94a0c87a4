"""How often a secret may be guessed: attempts counted in a table of their own, which all web processes share.

Not in Django's cache: that forgets what it has no room for, and counts in two steps. An attempt is counted before it is
judged and forgiven if it was right, in one statement under the row's lock, so many at once cannot slip past the limit.
"""

import hashlib
from collections.abc import Iterable
from datetime import timedelta

from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from devices.models import AttemptCount

LIMIT = 10  # of one customer, and for one serial number
ADDRESS_LIMIT = 50  # of one address: a whole office or campus may stand behind it
WINDOW = timedelta(hours=1)  # from the first attempt
# Nothing is returned where the limit is reached.
_COUNT = """
INSERT INTO devices_attemptcount AS c (door, tried, until) VALUES (%s, 1, now() + %s)
ON CONFLICT (door) DO UPDATE SET
    tried = CASE WHEN c.until <= now() THEN 1 ELSE c.tried + 1 END,
    until = CASE WHEN c.until <= now() THEN excluded.until ELSE c.until END
WHERE c.tried < %s OR c.until <= now()
RETURNING tried
"""


def allow(doors: Iterable[str]) -> bool:
    """Count one attempt at each of these doors in turn; False at the first that has seen too many within its hour.

    A door is "customer:…", "address:…" or "serial:…", in this order: who may not try any more counts nowhere else, or one
    blocked account could lock everybody's serial numbers.
    """
    return all(_count(door) for door in doors)


def forgive(doors: Iterable[str]) -> None:
    """Take back one attempt at each door: it was the right one."""
    for door in doors:
        AttemptCount.objects.filter(pk=_key(door), tried__gt=0).update(tried=F("tried") - 1)


def forget() -> int:
    """Delete the counts of hours that are over; how many. Idempotent."""
    return AttemptCount.objects.filter(until__lte=Now()).delete()[0]


def _count(door: str) -> bool:
    limit = ADDRESS_LIMIT if door.startswith("address:") else LIMIT
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [_key(door), WINDOW, limit])
        return cursor.fetchone() is not None


def _key(door: str) -> str:
    return hashlib.sha256(door.encode(errors="surrogatepass")).hexdigest()
