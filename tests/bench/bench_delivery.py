"""Delivery against a gateway that costs next to nothing: `python -m tests.bench.bench_delivery [--json FILE] [--devices N]`.

Every figure stands beside a floor measured in the same run: a bare aiohttp loop posting the same bytes over as many connections.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import Figures
from tests.bench.nginx import gateway, has_slow

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json")
    arguments.add_argument("--devices", type=int, default=10_000)
    options = arguments.parse_args()
    from portal import embedded

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    os.environ |= {"EMBEDDED": "1", "DATA_DIR": str(folder), "LOG_LEVEL": "WARNING", "GATEWAY_RATE": "1000000"}
    (folder / "static").mkdir()
    try:
        with embedded.running(folder), gateway() as address:
            measure(address, options.devices, Figures(options.json))
    finally:
        embedded.remove(folder)


def measure(address: str, devices: int, figures: Figures) -> None:
    import django

    os.environ |= {"EVENT_GATEWAY_NA": f"{address}/v3/events", "LWA_TOKEN_URL": f"{address}/auth/o2/token"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    fill(devices)
    body = example_report()
    floor = asyncio.run(bare_loop(f"{address}/v3/events", body, devices))
    before = wal()
    make_due()
    rate = devices / worker(devices)
    figures.add("reports_per_second_tokens_fresh", rate, floor, ">=0.6")
    figures.add("wal_bytes_per_report", (wal() - before) / devices)
    make_due(expire_tokens=True)
    figures.add("reports_per_second_tokens_expired", devices / worker(devices), floor / 2, ">=0.5")
    if has_slow():
        os.environ["EVENT_GATEWAY_NA"] = f"{address}/slow/v3/events"
        make_due()
        figures.add("reports_per_second_gateway_50ms", devices / worker(devices), 128 / 0.05, ">=0.7")


def fill(devices: int) -> None:
    """Linked customers with one coffee machine each, by generate_series; the tokens are real ciphertext."""
    from django.db import connection

    from devices.models import DeviceModel
    from skill.fields import key_ring

    model = DeviceModel.objects.create(
        model_id="CREMA-20", name="Crema 20", manufacturer="Nordkap Home", description="Espresso", display_category="COFFEE_MAKER"
    )
    slot = model.slots.create(
        slot_id="beans", name="Beans", sensor="level", measurement="Percentage", instance="Beans.Hopper", replenishment_id="arn:x"
    )
    token = key_ring().encrypt(b"Atza|" + b"x" * 400).decode()
    values = {"n": devices, "model": model.pk, "slot": slot.pk, "token": token}
    with connection.cursor() as cursor:
        for statement in _FILL:
            cursor.execute(statement, values)
        for table in ("portal_user", "devices_device", "devices_inventory", "skill_alexagrant", "skill_endpoint"):
            cursor.execute(f"VACUUM ANALYZE {table}")


_FILL = [
    "INSERT INTO portal_user (id, password, is_superuser, email, name, is_staff, is_active, date_joined) "
    "SELECT g, '', false, 'c' || g || '@example.com', '', false, true, now() FROM generate_series(1, %(n)s) g",
    "INSERT INTO devices_device (id, serial_number, device_model_id, owner_id, name, ownership, claimed_at, key_hash, claim_code_hash, "
    "firmware_version, online, created_at, last_seen_at) SELECT g, 'S' || g, %(model)s, g, 'Kitchen', gen_random_uuid(), now(), '', '', '', true, now(), now() "
    "FROM generate_series(1, %(n)s) g",
    "INSERT INTO devices_inventory (device_id, slot_id, value, measured_at, heard_at, epoch, sequence) "
    "SELECT g, %(slot)s, 50, now(), now(), 0, 1 FROM generate_series(1, %(n)s) g",
    "INSERT INTO skill_alexagrant (id, user_id, region, state, generation, access_token, refresh_token, expires_at, code_hash, accepted_at, reason, trouble) "
    "SELECT g, g, 'NA', 'active', 1, %(token)s, %(token)s, now() + interval '1 day', '', now() - interval '1 day', '', '' FROM generate_series(1, %(n)s) g",
    "INSERT INTO skill_endpoint (grant_id, device_id, endpoint_id, region, wanted, due_at, daily_at, version, changed, attempts, "
    "announced_digest, duty, last_code, last_text) SELECT id, id, ownership::text, 'NA', true, now() + interval '1 day', now() + interval '1 day', 1, "
    "'{}', 0, 'x', 0, '', '' FROM devices_device",
]


def make_due(expire_tokens: bool = False) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE skill_endpoint SET due_at = now() - interval '1 second', daily_at = now() - interval '1 second', not_before = NULL")
        if expire_tokens:
            cursor.execute("UPDATE skill_alexagrant SET expires_at = now()")
        cursor.execute("VACUUM skill_endpoint")
        cursor.execute("CHECKPOINT")


def wal() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn() - '0/0'")
        return int(cursor.fetchone()[0])


def example_report() -> bytes:
    """The bytes of one daily report, made by our own code."""
    from devices.models import Device
    from skill import endpoints
    from skill.alexa import messages

    device = endpoints.whole().get(pk=Device.objects.first().pk)  # type: ignore[union-attr]
    level, connectivity = endpoints.properties(device).values()
    report = messages.change_report("0" * 36, "Atza|" + "x" * 400, str(device.ownership), "PERIODIC_POLL", [level], [connectivity])
    return json.dumps(report).encode()


async def bare_loop(url: str, body: bytes, requests: int, connections: int = 128) -> float:
    """Requests per second of aiohttp alone."""
    import aiohttp

    left = iter(range(requests))

    async def one(http: aiohttp.ClientSession) -> None:
        for _ in left:
            async with http.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as http:
        started = time.perf_counter()
        await asyncio.gather(*(one(http) for _ in range(connections)))
        return requests / (time.perf_counter() - started)


def worker(expected: int) -> float:
    """Seconds one worker process needs for everything that is due; start of the process not counted."""
    done = subprocess.run([sys.executable, "-m", "tests.bench.one_worker"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["left"] == 0, result
    print(f"# worker: {result}", flush=True)
    return float(result["seconds"])


if __name__ == "__main__":
    main()
    print(f"# peak memory of the bench itself: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
