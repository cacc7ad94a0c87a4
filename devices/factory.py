"""import_units: a factory's list of units into the registry, all of it or nothing.

The list is CSV with a header: serial, model, key, claim_code and, if wanted, mac and firmware; key and claim_code may
say "generate". It is streamed by COPY into a temporary table that only hashes enter, judged there as a set, and
inserted by one statement. How a line is read is in factory_lines.py. Generated secrets come from credentials.Batch, so
exactly those of units that are new are handed out, once, after the insert and before the commit.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from devices.credentials import Batch
from devices.factory_lines import MADE_CODE, MADE_KEY, Fault, HeaderRefused, LineReader, Model
from devices.models import Device, DeviceModel
from devices.registry import plain_name

ONE_AT_A_TIME = 0x11170BD5  # the advisory lock of imports
BLOCK = 1000  # lines that go to the database together
COLUMNS = {
    "serial_number": "serial",
    "device_model": "model",
    "name": "name",
    "key_hash": "key",
    "claim_code_hash": "code",
    "mac_address": "mac",
    "firmware_version": "firmware",
}
_STAGE = """
    CREATE TEMPORARY TABLE factory_list (line integer, serial text, model bigint, name text, key text, code text,
        old_codes text[], mac text, firmware text, made smallint) ON COMMIT DROP
"""
_TWICE = """
    SELECT line, '{0}', format('%s stands in line %s already.', {0}, first)
    FROM (SELECT line, {0}, min(line) OVER (PARTITION BY {0}) AS first FROM factory_list WHERE {0} <> '') AS lines
    WHERE line > first ORDER BY line
"""
# A key that the unit or staff has changed since is not the factory's any more, so it is not compared.
_OTHERWISE = """
    SELECT line, field, format('%s is registered already, with another %s.', serial, replace(field, '_', ' '))
    FROM (
        SELECT s.line, s.serial, CASE
            WHEN d.device_model_id <> s.model THEN 'model'
            WHEN s.made & 1 = 0 AND s.key <> d.key_hash AND d.key_changed_at IS NULL THEN 'key'
            WHEN s.made & 2 = 0 AND s.code <> d.claim_code_hash AND NOT d.claim_code_hash = ANY (s.old_codes)
                THEN 'claim_code'
            WHEN s.mac <> '' AND d.mac_address <> '' AND s.mac <> d.mac_address THEN 'mac' END AS field
        FROM factory_list s JOIN devices_device d ON d.serial_number = s.serial
    ) AS lines WHERE field IS NOT NULL ORDER BY line
"""
_FORGET_KNOWN = "DELETE FROM factory_list s USING devices_device d WHERE d.serial_number = s.serial"


class ImportRefused(Exception):
    """Nothing of the list was taken; the text says why. Faults of lines were told one by one before."""


class Secret(NamedTuple):
    """What was generated for a new unit; empty where the factory brought its own. Exists only now."""

    serial: str
    model: str
    key: str
    claim_code: str


class Imported(NamedTuple):
    """How many units the list had, how many of them are new, and for how many of these a secret was generated."""

    listed: int
    added: int
    generated: int


def import_units(
    source: Iterable[str],
    *,
    on_fault: Callable[[Fault], None],
    on_secrets: Callable[[Iterator[Secret]], None],
    progress: Callable[[str, int], None] = lambda stage, lines: None,
) -> Imported:
    """Enter every unit of a factory's list, unowned; ``source`` gives its lines as text, the header first.

    Transactional: all or nothing. Idempotent: units that are registered as the list says are left as they are, and
    no secret is generated for them. ``on_fault`` hears every fault, line by line, then ImportRefused is raised.
    ``on_secrets`` is called once, before the commit and only if something was generated for a new unit; it must have
    kept what it was given when it returns. Constant memory, one import at a time. No signal: nobody owns a new unit.
    ``progress`` hears a stage ("reading", "checking", "entering", "secrets") and how many lines.
    """
    batch = Batch()
    try:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            _prepare(cursor)
            faults = _Faults(on_fault)
            listed = _stage(cursor, source, batch, faults, progress)
            _check(cursor, faults, progress, listed)
            added = _enter(cursor, progress, listed)
            return Imported(listed, added, _hand_out(cursor, batch, on_secrets, progress))
    except HeaderRefused as refusal:
        on_fault(Fault(1, "", str(refusal)))
        raise ImportRefused(str(refusal)) from refusal
    except IntegrityError as error:
        raise ImportRefused("The registry changed meanwhile. Please import the list again.") from error


class _Faults:
    """Passes faults on and counts them."""

    def __init__(self, on_fault: Callable[[Fault], None]) -> None:
        self._on_fault, self.count = on_fault, 0

    def add(self, fault: Fault) -> None:
        self.count += 1
        self._on_fault(fault)


def _prepare(cursor: Any) -> None:
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
    if not cursor.fetchone()[0]:
        raise ImportRefused("Another list is being imported. Please try again when that is done.")
    cursor.execute("SET LOCAL work_mem = '64MB'")
    cursor.execute("SET LOCAL statement_timeout = 0")  # a long list may take longer than a web page's statement
    cursor.execute("DROP TABLE IF EXISTS pg_temp.factory_list")
    cursor.execute(_STAGE)


def _stage(
    cursor: Any, source: Iterable[str], batch: Batch, faults: _Faults, progress: Callable[[str, int], None]
) -> int:
    """The good lines into the temporary table; how many."""
    models = {row.model_id: Model(row.pk, plain_name(row.name)) for row in DeviceModel.objects.only("model_id", "name")}
    staged, block = 0, []
    with cursor.copy("COPY factory_list FROM STDIN") as copy:
        for line in LineReader(source, models, batch):
            if isinstance(line, list):
                for fault in line:
                    faults.add(fault)
                continue
            block.append(line)
            if len(block) == BLOCK:
                copy.write("".join(block))
                staged += len(block)
                block.clear()
                progress("reading", staged)
        copy.write("".join(block))
    return staged + len(block)


def _check(cursor: Any, faults: _Faults, progress: Callable[[str, int], None], listed: int) -> None:
    """What only the whole list and the registry can tell."""
    progress("checking", listed)
    cursor.execute("ANALYZE factory_list")
    for question in (_TWICE.format("serial"), _TWICE.format("mac"), _OTHERWISE):
        for row in _stream(question):
            faults.add(Fault(*row))
    if faults.count:
        words = "1 fault" if faults.count == 1 else f"{faults.count} faults"
        raise ImportRefused(f"Nothing was imported: {words}.")


def _enter(cursor: Any, progress: Callable[[str, int], None], listed: int) -> int:
    """Insert what is not there yet; how many. Whatever the list does not say has the model's own default."""
    progress("entering", listed)
    cursor.execute(_FORGET_KNOWN)
    fields = [field for field in Device._meta.concrete_fields if not field.primary_key]
    now, values = timezone.now(), []
    for field in fields:
        if field.name not in COLUMNS:
            plain = now if getattr(field, "auto_now_add", False) else field.get_default()
            values.append(field.get_db_prep_save(plain, connection))
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    said = ", ".join(COLUMNS.get(field.name, "%s") for field in fields)
    # Nothing of the list is in this text: the names are our own columns.
    cursor.execute(f"INSERT INTO devices_device ({names}) SELECT {said} FROM factory_list ORDER BY line", values)  # noqa: S608
    return int(cursor.rowcount)


def _hand_out(
    cursor: Any, batch: Batch, on_secrets: Callable[[Iterator[Secret]], None], progress: Callable[[str, int], None]
) -> int:
    """Say again what was generated, for the units that are new; how many."""
    cursor.execute("SELECT count(*) FROM factory_list WHERE made <> 0")
    generated = int(cursor.fetchone()[0])
    if generated:
        progress("secrets", generated)
        rows = _stream(
            "SELECT s.serial, m.model_id, s.made FROM factory_list s JOIN devices_devicemodel m ON m.id = s.model"
            " WHERE s.made <> 0 ORDER BY s.line"
        )
        on_secrets(_secret(batch, *row) for row in rows)
    return generated


def _secret(batch: Batch, serial: str, model: str, made: int) -> Secret:
    key = batch.key(serial) if made & MADE_KEY else ""
    return Secret(serial, model, key, batch.code(serial) if made & MADE_CODE else "")


def _stream(question: str) -> Iterator[tuple[Any, ...]]:
    """Rows of a large answer, some at a time."""
    with connection.connection.cursor("factory_stream") as rows:
        rows.itersize = 5000
        yield from rows.execute(question)
