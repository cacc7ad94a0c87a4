"""Everything that TOKEN_KEYS encrypts, encrypted anew with the first of them, in batches, beside running workers.

A row is written only if it still holds what was read (compare-and-set), so what a worker stored meanwhile stays. What the first key
opens already is left alone, so a run that was stopped is gone on with by running again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import connection, models

from notifications.models import Message
from skill.models import AlexaGrant, Enablement

SEALED: list[tuple[type[models.Model], str]] = [
    (AlexaGrant, "access_token"),
    (AlexaGrant, "refresh_token"),
    (Enablement, "access_token"),
    (Enablement, "refresh_token"),
    (Message, "sealed"),
]
MOST_NAMED = 20  # rows that no key opens, by id


@dataclass
class Tally:
    """One column so far. `lost` counts what no key opens; the first of them are named."""

    column: str
    seen: int = 0
    rotated: int = 0
    overtaken: int = 0
    lost: int = 0
    lost_ids: list[int] = field(default_factory=list)


def rotate(batch: int, *, dry_run: bool = False) -> Iterator[Tally]:
    """Every sealed column, a yield after each batch. Idempotent; each batch is one statement. A dry run only counts."""
    for model, name in SEALED:
        tally = Tally(f"{model._meta.label}.{name}")
        last = 0
        while rows := _read(model, name, last, batch):
            last = rows[-1][0]
            changes = _changes(rows, tally)
            done = len(changes) if dry_run else _write(model, name, changes)
            tally.rotated += done
            tally.overtaken += len(changes) - done
            yield tally
        yield tally


def _read(model: type[models.Model], name: str, after: int, batch: int) -> list[tuple[int, bytes]]:
    """As it stands in the database: sealed."""
    table, column = model._meta.db_table, name
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, {column} FROM {table} WHERE id > %s AND {column} IS NOT NULL AND length({column}) > 0 "  # noqa: S608 (our own names)
            "ORDER BY id LIMIT %s",
            [after, batch],
        )
        return [(pk, bytes(text, "ascii") if isinstance(text, str) else bytes(text)) for pk, text in cursor.fetchall()]


def _changes(rows: list[tuple[int, bytes]], tally: Tally) -> list[tuple[int, bytes, bytes]]:
    """id, what was read, what shall be written: for those that the first key does not open."""
    first, ring = Fernet(settings.TOKEN_KEYS[0]), MultiFernet([Fernet(key) for key in settings.TOKEN_KEYS])
    found = []
    for pk, sealed in rows:
        tally.seen += 1
        try:
            if not _opens(first, sealed):
                found.append((pk, sealed, ring.rotate(sealed)))
        except InvalidToken:
            tally.lost += 1
            tally.lost_ids = [*tally.lost_ids, pk][:MOST_NAMED]
    return found


def _opens(key: Fernet, sealed: bytes) -> bool:
    try:
        key.decrypt(sealed)
    except InvalidToken:
        return False
    return True


def _write(model: type[models.Model], name: str, changes: list[tuple[int, bytes, bytes]]) -> int:
    """How many still held what was read."""
    if not changes:
        return 0
    binary = isinstance(model._meta.get_field(name), models.BinaryField)
    kind = "bytea" if binary else "text"
    values = [
        [pk for pk, _, _ in changes],
        [old if binary else old.decode() for _, old, _ in changes],
        [new if binary else new.decode() for _, _, new in changes],
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH u AS (SELECT * FROM unnest(%s::bigint[], %s::{kind}[], %s::{kind}[]) AS r(id, old, new)), "  # noqa: S608
            f"held AS (SELECT t.id FROM {model._meta.db_table} t JOIN u ON u.id = t.id ORDER BY t.id FOR UPDATE OF t) "
            f"UPDATE {model._meta.db_table} AS t SET {name} = u.new FROM u, held "
            f"WHERE t.id = u.id AND held.id = t.id AND t.{name} = u.old",
            values,
        )
        return int(cursor.rowcount)
