"""import_units: a factory's list of units into the registry, all of it or nothing.

The list is CSV with a header: serial, model, key, claim_code and, if wanted, mac and firmware; key and claim_code may
say "generate". It is streamed by COPY into a temporary table that only hashes enter, and judged there as a set. Units
that turn out to be new are entered slice by slice: while the database enters one, its keys and codes are handed out and
those of the next are made. How a line is read is in factory_lines.py.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from devices.credentials import CodeHasher, hash_key, new_code, new_key, peppers
from devices.factory_lines import MADE_CODE, MADE_KEY, Fault, HeaderRefused, LineReader, Model
from devices.models import Device, DeviceModel
from devices.registry import plain_name

ONE_AT_A_TIME = 0x11170BD5  # the advisory lock of imports
BLOCK = 500  # lines that go to the database together
SLICE = 10_000  # lines that are entered by one statement
COLUMNS = {
    "serial_number": "serial",
    "device_model": "model",
    "name": "name",
    "key_hash": "CASE WHEN made & 1 = 1 THEN factory_made.key ELSE factory_list.key END",
    "claim_code_hash": "CASE WHEN made & 2 = 2 THEN factory_made.code ELSE factory_list.code END",
    "mac_address": "mac",
    "firmware_version": "firmware",
}
_STAGE = """
    DROP TABLE IF EXISTS pg_temp.factory_list, pg_temp.factory_made;
    CREATE TEMPORARY TABLE factory_list (line integer PRIMARY KEY, serial text, model bigint, name text, key text,
        code text, old_codes text[], mac text, firmware text, made smallint) ON COMMIT DROP;
    CREATE TEMPORARY TABLE factory_made (line integer, key text, code text) ON COMMIT DROP
"""
_TWICE = """
    SELECT line, '{0}', format('%s stands in line %s already.', {0}, first)
    FROM factory_list JOIN (
        SELECT {0}, min(line) AS first FROM factory_list WHERE {0} <> '' GROUP BY {0} HAVING count(*) > 1
    ) AS twins USING ({0}) WHERE line > first ORDER BY line
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
_TO_MAKE = (
    "SELECT line, serial, model, made FROM factory_list WHERE line > %s AND line <= %s AND made <> 0 ORDER BY line"
)
_ENTER = """
    INSERT INTO devices_device ({names}) SELECT {said} FROM factory_list LEFT JOIN factory_made USING (line)
    WHERE line > %s AND line <= %s ORDER BY line
"""


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
    kept what it was given when it returns. What its iterator raises it must let pass: then none of the units is there.
    Constant memory, one import at a time. No signal: nobody owns a new unit.
    ``progress`` hears a stage ("reading", "checking", "entering") and how many lines.
    """
    try:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            _prepare(cursor)
            faults, models = _Faults(on_fault), _models()
            lines = LineReader(source, models)
            listed = _stage(cursor, lines, faults, progress)
            _check(cursor, faults, progress, listed)
            added, generated = _forget_known(cursor)
            with closing(_enter(cursor, lines.line, models, progress)) as secrets:
                if generated:
                    on_secrets(secrets)
                deque(secrets, maxlen=0)  # to its end, for that is how the units are entered
            return Imported(listed, added, generated)
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
    cursor.execute(_STAGE)


def _models() -> dict[str, Model]:
    rows = DeviceModel.objects.only("model_id", "name")
    return {row.model_id: Model(row.pk, row.model_id, plain_name(row.name)) for row in rows}


def _stage(cursor: Any, lines: LineReader, faults: _Faults, progress: Callable[[str, int], None]) -> int:
    """The good lines into the temporary table; how many."""
    staged, block = 0, []
    with cursor.copy("COPY factory_list FROM STDIN") as copy:
        for line in lines:
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


def _forget_known(cursor: Any) -> tuple[int, int]:
    """Leave in the table what is new: how many units, and for how many of them something was generated."""
    cursor.execute(_FORGET_KNOWN)
    cursor.execute("SELECT count(*), count(*) FILTER (WHERE made <> 0) FROM factory_list")
    added, generated = cursor.fetchone()
    return added, generated


def _enter(cursor: Any, last: int, models: dict[str, Model], progress: Callable[[str, int], None]) -> Iterator[Secret]:
    """Insert what is in the table, slice by slice, and give what was made for each while the database enters it.

    A generator: it goes on as its secrets are taken, and all units are entered when it ends.
    """
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # foreign keys are looked at in each slice, not all in the commit
    statement, values = _entering()
    names = {model.pk: model.model_id for model in models.values()}
    rows = _to_make(cursor, 0)
    with ThreadPoolExecutor(max_workers=1) as database:
        entering = None
        for after in range(0, last, SLICE):
            secrets, hashes = _make(rows, names)
            if entering:
                entering.result()
            progress("entering", after)
            _keep(cursor, hashes)
            rows = _to_make(cursor, after + SLICE)
            entering = database.submit(cursor.execute, statement, [*values, after, after + SLICE])
            yield from secrets
        if entering:
            entering.result()


def _to_make(cursor: Any, after: int) -> list[tuple[int, str, int, int]]:
    """Line, serial, model and what is to be made, of the next slice."""
    cursor.execute(_TO_MAKE, [after, after + SLICE])
    return cursor.fetchall()


def _keep(cursor: Any, hashes: str) -> None:
    """Hashes of what was made for the next slice, in place of the last one's."""
    cursor.execute("TRUNCATE factory_made")
    with cursor.copy("COPY factory_made FROM STDIN") as copy:
        copy.write(hashes)


def _make(rows: list[tuple[int, str, int, int]], names: dict[int, str]) -> tuple[list[Secret], str]:
    """Keys and codes for these units, and the text for COPY that says how they are kept."""
    secrets, hashes, hash_code = [], [], CodeHasher(peppers()[0])
    for line, serial, model, made in rows:
        key = new_key() if made & MADE_KEY else ""
        code = new_code() if made & MADE_CODE else ""
        secrets.append(Secret(serial, names[model], key, code))
        hashes.append(f"{line}\t{hash_key(key) if key else ''}\t{hash_code(serial, code) if code else ''}\n")
    return secrets, "".join(hashes)


def _entering() -> tuple[str, list[Any]]:
    """The statement that enters a slice, and its values. Whatever the list does not say has the model's own default."""
    fields = [field for field in Device._meta.concrete_fields if not field.primary_key]
    now, values = timezone.now(), []
    for field in fields:
        if field.name not in COLUMNS:
            plain = now if getattr(field, "auto_now_add", False) else field.get_default()
            values.append(field.get_db_prep_save(plain, connection))
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    said = ", ".join(COLUMNS.get(field.name, "%s") for field in fields)
    # Nothing of the list is in this text: the names are our own columns.
    return _ENTER.format(names=names, said=said), values


def _stream(question: str) -> Iterator[tuple[Any, ...]]:
    """Rows of a large answer, some at a time."""
    with connection.connection.cursor("factory_stream") as rows:
        rows.itersize = 5000
        yield from rows.execute(question)
