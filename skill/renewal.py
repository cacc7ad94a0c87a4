"""Access tokens, renewed at Login with Amazon when they run out: for as many grants at once as ask at once, each by itself.

One renewal at a time per grant, across all processes: a lease taken by compare-and-set, no transaction open while Login with
Amazon is asked. How a link begins and ends stands in linking.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import orjson
from django.db import connection

from skill import lwa, pace
from skill.connections import Connections
from skill.database import Database
from skill.fields import Undecryptable, decrypt, encrypt
from skill.journal import journal
from skill.linking import close
from skill.models import AlexaGrant

REFRESH_AHEAD = timedelta(minutes=5)
REFRESH_LEASE = 15  # seconds


@dataclass(frozen=True)
class Credentials:
    """The access token of one grant as it was read, with the generation that every consequence must name."""

    grant_id: int
    region: str
    generation: int
    access_token: str = field(repr=False)
    fresh: bool  # will the access token live for some minutes yet?
    settled: bool = True  # is AcceptGrant so long ago that "disabled" means disabled?


class RefreshElsewhere(Exception):
    """Another worker is refreshing this grant, or has just done so: look again in two seconds."""


class TokensLost(lwa.LwaError):
    """No key of TOKEN_KEYS opens this link's tokens. Ours to mend (the key comes back, or the customer links again)."""

    retry = True


class GrantGone(Exception):
    """The grant was closed, or replaced by a newer AcceptGrant, meanwhile."""


async def access_token(held: Credentials, http: Connections, db: Database) -> Credentials:
    """Credentials with a fresh access token. One refresh at a time per grant, across all processes.

    Raises RefreshElsewhere, GrantGone, or lwa.LwaError (after GrantRejected the grant is closed).
    """
    renewal = await db.together(lease_refreshes, held)
    try:
        tokens = await lwa.refresh(http, renewal)
    except lwa.LwaError as error:
        await db(_refresh_failed, held, error)
        raise
    return await db.together(store_refreshes, (held, tokens, renewal))  # type: ignore[no-any-return]


def lease_refreshes(wanted: Sequence[Credentials]) -> list[str | Exception]:
    """The refresh token for each grant whose refresh is ours to do now; else why not, as an exception.

    First the lease, then the door: who may not refresh must not use up the one probe of an open breaker. A grant that is asked
    for twice is given once.
    """
    leased = _lease(wanted)
    opened = {pk: token for pk, token in leased.items() if isinstance(token, str)}
    allowed = pace.take("LWA", len(opened)) if opened else 0
    for pk in list(opened)[allowed:]:
        leased[pk] = lwa.LwaUnavailable("Login with Amazon is not asked at the moment: it failed too often.")
    _release([held for held in wanted if isinstance(leased.get(held.grant_id), Exception)])
    return [leased.pop(held.grant_id, None) or RefreshElsewhere() for held in wanted]


def _lease(wanted: Sequence[Credentials]) -> dict[int, str | Exception]:
    params = {
        "ids": [held.grant_id for held in wanted],
        "generations": [held.generation for held in wanted],
        "seconds": REFRESH_LEASE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_LEASE, params)
        return {pk: _opened(token) for pk, token in cursor.fetchall()}


def _opened(sealed: str) -> str | Exception:
    lost = TokensLost("No key of TOKEN_KEYS opens the tokens of this link.")
    try:
        return decrypt(sealed) or lost
    except Undecryptable:
        return lost


def _release(unused: Sequence[Credentials]) -> None:
    """Give back the leases that we have just taken and shall not use."""
    if unused:
        params = {"ids": [held.grant_id for held in unused], "generations": [held.generation for held in unused]}
        with connection.cursor() as cursor:
            cursor.execute(_RELEASE, params)


def _refresh_failed(held: Credentials, error: lwa.LwaError) -> None:
    if isinstance(error, lwa.GrantRejected):
        pace.learn("LWA", answered=1)
        close(held.grant_id, held.generation, f"Login with Amazon: {error}")
        return
    if isinstance(error, lwa.ClientRejected):
        journal.trouble("Login with Amazon refuses our client id or secret", str(error))
        pace.open_at_once("LWA", 60, str(error))
    elif isinstance(error, lwa.LwaUnavailable):
        pace.learn("LWA", failed=1, trouble=str(error))
    else:  # it answers; what it refuses is the trouble of this link alone
        pace.learn("LWA", answered=1)
    AlexaGrant.objects.filter(pk=held.grant_id, generation=held.generation).update(
        refresh_leased_until=None, trouble=str(error)[:300]
    )


def store_refreshes(given: Sequence[tuple[Credentials, lwa.Tokens, str]]) -> list[Credentials | Exception]:
    """Stored before they are used; a refresh token that did not come back is kept. GrantGone where the grant has moved on."""
    pace.learn("LWA", answered=len(given))
    with connection.cursor() as cursor:
        cursor.execute(_STORE, {"rows": orjson.dumps([_row(*one) for one in given]).decode()})
        stored = set(cursor.fetchall())
    return [
        replace(held, generation=held.generation + 1, access_token=tokens.access_token, fresh=True)
        if (held.grant_id, held.generation + 1) in stored
        else GrantGone()
        for held, tokens, _ in given
    ]


def _row(held: Credentials, tokens: lwa.Tokens, renewal: str) -> dict[str, object]:
    """Sealed before it becomes a parameter: no clear token may stand in a statement, nor in the database's log."""
    return {
        "id": held.grant_id,
        "generation": held.generation,
        "access": encrypt(tokens.access_token),
        "renewal": encrypt(tokens.refresh_token) if tokens.refresh_token not in ("", renewal) else None,
        "seconds": tokens.seconds,
    }


# Rows are locked in the order of ids, so that two workers who want the same ones wait for each other in line.
_LEASE = """
WITH free AS (
  SELECT g.id FROM skill_alexagrant AS g JOIN unnest(%(ids)s::bigint[], %(generations)s::int[]) AS u(id, generation)
    ON g.id = u.id AND g.generation = u.generation
  WHERE g.state IN ('active', 'closing') AND (g.refresh_leased_until IS NULL OR g.refresh_leased_until < now())
  ORDER BY g.id FOR UPDATE OF g
)
UPDATE skill_alexagrant AS g SET refresh_leased_until = now() + make_interval(secs => %(seconds)s)
WHERE g.id = ANY (ARRAY(SELECT id FROM free)) RETURNING g.id, g.refresh_token
"""
_RELEASE = """
WITH ours AS (
  SELECT g.id FROM skill_alexagrant AS g JOIN unnest(%(ids)s::bigint[], %(generations)s::int[]) AS u(id, generation)
    ON g.id = u.id AND g.generation = u.generation
  ORDER BY g.id FOR UPDATE OF g
)
UPDATE skill_alexagrant SET refresh_leased_until = NULL WHERE id = ANY (ARRAY(SELECT id FROM ours))
"""
_STORE = """
WITH u AS (
  SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(id bigint, generation int, access text, renewal text, seconds int)
), held AS (
  SELECT g.id FROM skill_alexagrant AS g JOIN u ON g.id = u.id AND g.generation = u.generation
  WHERE g.state IN ('active', 'closing') ORDER BY g.id FOR UPDATE OF g
)
UPDATE skill_alexagrant AS g SET access_token = u.access, refresh_token = coalesce(u.renewal, g.refresh_token),
  generation = g.generation + 1, expires_at = now() + make_interval(secs => u.seconds), refresh_leased_until = NULL, trouble = ''
FROM u, held WHERE g.id = held.id AND g.id = u.id AND g.generation = u.generation RETURNING g.id, g.generation
"""
