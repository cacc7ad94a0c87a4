"""A fleet for the bench: linked customers with one coffee machine each, at rest, everything announced. And how it is made due."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from django.db import connection

ALL = ("portal_user", "devices_device", "devices_inventory", "skill_alexagrant", "skill_endpoint", "skill_event")


CHUNK = 50_000


def fill(first: int, last: int, pods: bool = False) -> None:
    """Customers `first` to `last`; the tokens are real ciphertext, the digests those of the real descriptions. With `pods` the
    machines have a usage sensor, too."""
    from skill.fields import encrypt

    values = {"token": encrypt("Atza|" + "x" * 400)} | _crema(pods)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS announced (id bigint, ownership text, digest text)")
        for start in range(first, last + 1, CHUNK):
            span = {"first": start, "last": min(start + CHUNK - 1, last)}
            for statement in _FILL:
                cursor.execute(statement, values | span)
            _announce(cursor, span, values["model"])
    vacuum()


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Foreign keys are not looked up meanwhile: most of the time of filling. For a superuser of the database."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        yield
        cursor.execute("SET session_replication_role = origin")


def _crema(pods: bool) -> dict[str, int]:
    from devices.models import DeviceModel

    model, _ = DeviceModel.objects.get_or_create(
        model_id="CREMA-20",
        defaults={"name": "Crema 20", "manufacturer": "Nordkap Home", "description": "Espresso machine by Nordkap Home",
                  "display_category": "COFFEE_MAKER"},
    )  # fmt: skip
    beans, _ = model.slots.get_or_create(
        slot_id="beans",
        defaults={"name": "Beans", "sensor": "level", "measurement": "Percentage", "instance": "Beans.Hopper",
                  "replenishment_id": "amzn1.dash.v2.beans"},
    )  # fmt: skip
    if pods:
        model.slots.get_or_create(
            slot_id="pods",
            defaults={"name": "Pods", "sensor": "usage", "measurement": "Count", "instance": "Pod.Coffee",
                      "replenishment_id": "amzn1.dash.v2.pods"},
        )  # fmt: skip
    return {"model": model.pk, "slot": beans.pk}


def _announce(cursor: Any, span: dict[str, int], model: Any) -> None:
    """As if Alexa had accepted every description."""
    from skill import endpoints, makes

    make = makes.make(makes.products({model})[model], "NA")
    cursor.execute("TRUNCATE announced")
    cursor.execute(
        "SELECT id, ownership::text, serial_number FROM devices_device WHERE id BETWEEN %(first)s AND %(last)s", span
    )
    rows = cursor.fetchall()
    with cursor.copy("COPY announced (id, ownership, digest) FROM STDIN") as copy:
        for pk, ownership, serial in rows:
            unit = endpoints.Unit(pk, ownership, "Kitchen", serial, "", True, None, make, [])
            copy.write_row((pk, ownership, endpoints.digest(unit)))
    cursor.execute(_ENDPOINTS)


def make_due(devices: int, reports: int, expire_tokens: bool = False) -> None:
    """The daily reports of so many customers are due now: of everybody, or of those whose hour comes next on the grid. And the
    database has forgotten what the last run left it to tidy."""
    from skill import grid

    ids = sorted(range(1, devices + 1), key=grid.phase)[:reports]
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"ids": ids})
        if expire_tokens:
            cursor.execute("UPDATE skill_alexagrant SET expires_at = now()")
    vacuum()


def use(each: int) -> None:
    """`each` pods used in every machine: as many events, due now. No daily report is due."""
    payload = json.dumps({"usage": {"@type": "Count", "value": 1}, "timeOfSample": "2026-01-01T00:00:00Z"})
    with connection.cursor() as cursor:
        cursor.execute(_USE, {"each": each, "payload": payload})
        cursor.execute(
            "UPDATE skill_endpoint SET due_at = now() - interval '1 second', not_before = NULL, version = version + 1"
        )
    vacuum()


def rest() -> None:
    """Nothing is due."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE skill_endpoint SET due_at = daily_at, lease = NULL WHERE due_at <= now()")


def now() -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        return cursor.fetchone()[0]


def pace_of_reports(since: Any, number: int) -> float:
    """Reports per second from the first to be settled to this one, in what has been measured `since`."""
    with connection.cursor() as cursor:
        cursor.execute(_PACE, {"since": since, "number": number})
        return float(cursor.fetchone()[0])


def forgive() -> None:
    """Nobody remembers the failures of a bad day, and what it left undone is not due today."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGIVE)
        cursor.execute("DELETE FROM skill_gateway")


def vacuum() -> None:
    with connection.cursor() as cursor:
        for table in ALL:
            cursor.execute(f"VACUUM ANALYZE {table}")
        cursor.execute("CHECKPOINT")


def wal() -> int:
    """Bytes of write-ahead log so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn() - '0/0'")
        return int(cursor.fetchone()[0])


def example_report() -> bytes:
    """The bytes of one daily report, made by our own code."""
    from skill import endpoints
    from skill.alexa import messages
    from skill.models import Endpoint

    endpoint = Endpoint.objects.select_related("grant").first()
    assert endpoint is not None
    level, connectivity = endpoints.state(endpoint.grant.user_id, endpoint.endpoint_id)
    token = "Atza|" + "x" * 400
    report = messages.change_report("0" * 36, token, endpoint.endpoint_id, "PERIODIC_POLL", [level], [connectivity])
    return json.dumps(report).encode()


_FILL = [
    """INSERT INTO portal_user (id, password, is_superuser, email, name, is_staff, is_active, date_joined)
    SELECT g, '', false, 'c' || g || '@example.com', '', false, true, now() FROM generate_series(%(first)s, %(last)s) g""",
    """INSERT INTO devices_device (id, serial_number, device_model_id, owner_id, name, ownership, claimed_at, key_hash,
      previous_key_hash, mac_address, reset_epoch, claim_code_hash, firmware_version, online, created_at, last_seen_at)
    SELECT g, 'S' || g, %(model)s, g, 'Kitchen', gen_random_uuid(), now(), '', '', '', 0, '', '', true, now(), now()
    FROM generate_series(%(first)s, %(last)s) g""",
    """INSERT INTO devices_inventory (device_id, slot_id, value, measured_at, heard_at, epoch, sequence)
    SELECT g, %(slot)s, 50, now(), now(), 0, 1 FROM generate_series(%(first)s, %(last)s) g""",
    """INSERT INTO skill_alexagrant (id, user_id, region, state, generation, access_token, refresh_token, expires_at, code_hash,
      accepted_at, reason, trouble, other_regions)
    SELECT g, g, 'NA', 'active', 1, %(token)s, %(token)s, now() + interval '1 day', '', now() - interval '1 day', '', '', ''
    FROM generate_series(%(first)s, %(last)s) g""",
]
_ENDPOINTS = """INSERT INTO skill_endpoint (grant_id, device_id, endpoint_id, region, wanted, due_at, daily_at, version, changed, attempts,
  announced_digest, duty, last_code, last_text)
SELECT id, id, ownership, 'NA', true, now() + interval '1 day', now() + interval '1 day', 1, '{}', 0, digest, 0, '', ''
FROM announced ORDER BY id"""
_DUE = """UPDATE skill_endpoint AS e SET due_at = now() - interval '1 hour' + u.rank * interval '1 ms',
  daily_at = now() - interval '1 hour', not_before = NULL
FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS u(device, rank) WHERE e.device_id = u.device"""
_PACE = """
SELECT %(number)s / extract(epoch FROM max(sent_at) - min(sent_at)) FROM (
  SELECT sent_at FROM skill_endpoint WHERE sent_at > %(since)s ORDER BY sent_at LIMIT %(number)s) AS first
"""
_FORGIVE = """
UPDATE skill_endpoint SET attempts = 0, last_code = '', last_text = '', not_before = NULL,
  due_at = now() + interval '1 day', daily_at = now() + interval '1 day' WHERE daily_at <= now() OR attempts > 0 OR last_code <> ''
"""
_USE = """
INSERT INTO skill_event (endpoint_id, message_id, namespace, name, instance, correlation_token, payload, status, attempts, created_at,
  last_code, last_text)
SELECT e.id, gen_random_uuid(), 'Alexa.InventoryUsageSensor', 'InventoryConsumed', 'Pod.Coffee', '', %(payload)s, 'pending', 0, now(),
  '', ''
FROM skill_endpoint e, generate_series(1, %(each)s) ORDER BY e.id
"""
