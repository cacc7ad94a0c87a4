"""Directives through HTTP beside a bare Django view with one indexed SELECT: `python -m tests.bench.bench_skill [--json FILE]`.

The bare view has the portal's middleware, as any view of it; once more without, because directives are let in before it (skill.views.Door).
Everything is real: granian, the pool, PostgreSQL, an OAuth token, a link, devices with levels; the courier's connections are kept. Bare
view and directives take turns, and the median of the rounds counts, so that a busy machine is busy for all of them.
"""

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.bench_readings import ROUNDS, SECONDS, portal, rate
from tests.bench.figures import Figures

CUSTOMERS = {"few": 5, "many": 300}
LONG = 15  # answers to Discover of 300 that are timed


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json")
    figures = Figures(arguments.parse_args().json)
    from portal import embedded

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    os.environ |= {"EMBEDDED": "1", "DATA_DIR": str(folder), "LOG_LEVEL": "ERROR"}
    os.environ |= {"DJANGO_SETTINGS_MODULE": "portal.settings"}
    for name in ("messages", "control"):
        (folder / "broker" / name).mkdir(parents=True)
    try:
        with embedded.running(folder):
            measure(prepare(), figures)
    finally:
        embedded.remove(folder)
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    figures.end()


def prepare() -> dict[str, bytes]:
    """The requests by name."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from tests.bench.bare import TABLE

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
        cursor.execute(
            "INSERT INTO bench_row (device_id, sequence, value, heard_at) SELECT g, g, 1, now() FROM generate_series(1, 1000) g"
        )
    requests = {"bare": request("/bare/select", {}), "alone": request("/bare/select/alone", {})}
    for name, count in CUSTOMERS.items():
        token, endpoint = customer(name, count)
        requests[f"report_state_{count}"] = directive("Alexa", "ReportState", token, endpoint)
        requests[f"discover_{count}"] = directive("Alexa.Discovery", "Discover", token)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    connection.close()
    return requests


def customer(name: str, count: int) -> tuple[str, str]:
    """A linked customer with so many coffee machines, each with a level: an access token, and one endpointId."""
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from devices.models import Device, DeviceModel, Inventory
    from skill import linking, lwa
    from skill.models import Application
    from tests.skill.deeds import token_of

    now = timezone.now()
    user = get_user_model().objects.create_user(f"{name}@example.com", "x")
    model, new = DeviceModel.objects.get_or_create(
        model_id="CREMA-20", name="Crema 20", manufacturer="Nordkap", description="Espresso machine by Nordkap"
    )
    if new:
        model.slots.create(slot_id="beans", name="Beans", instance="Beans.Hopper", replenishment_id="r-1")
    units = Device.objects.bulk_create(
        Device(serial_number=f"{name}-{n}", device_model=model, owner=user, name=f"Machine {n}", ownership=uuid.uuid4(),
               claimed_at=now, last_seen_at=now)
        for n in range(count)
    )  # fmt: skip
    slot = model.slots.get()
    Inventory.objects.bulk_create(
        Inventory(device=unit, slot=slot, value=50, measured_at=now, heard_at=now, epoch=0, sequence=1)
        for unit in units
    )
    linking._store_grant(user, "NA", name, lwa.Tokens("Atza|bench", "Atzr|bench", 3600))
    client, _ = Application.objects.get_or_create(
        client_id="alexa", client_type="confidential", authorization_grant_type="authorization-code"
    )
    return token_of(user, client), str(units[0].ownership)


def directive(namespace: str, name: str, token: str, endpoint: str = "") -> bytes:
    header = {"namespace": namespace, "name": name, "payloadVersion": "3", "messageId": str(uuid.uuid4())}
    scope = {"scope": {"type": "BearerToken", "token": token}}
    if not endpoint:
        return request("/skill/directive", {"directive": {"header": header, "payload": scope}})
    header["correlationToken"] = "c" * 300
    body = {"header": header, "endpoint": scope | {"endpointId": endpoint, "cookie": {}}, "payload": {}}
    return request("/skill/directive", {"directive": body})


def request(address: str, document: Any) -> bytes:
    from django.conf import settings

    body = json.dumps(document).encode()
    lines = [f"POST {address} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", f"X-Courier-Secret: {settings.COURIER_SECRET}", "X-Skill-Region: NA"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def measure(requests: dict[str, bytes], figures: Figures) -> None:
    turns = [name for name in requests if name != "discover_300"]
    with portal() as port:
        for name in requests:
            asyncio.run(rate(port, lambda name=name: requests[name], 0.8))  # type: ignore[misc]
        rounds = [
            {name: asyncio.run(rate(port, lambda name=name: requests[name], SECONDS)) for name in turns}  # type: ignore[misc]
            for _ in range(ROUNDS)
        ]
        times, size = asyncio.run(one_by_one(port, requests["discover_300"]))
    per_second = {name: median(turn[name] for turn in rounds) for name in turns}
    figures.add("bare_view_without_middleware_per_second", per_second["alone"], per_second["bare"])
    for name in turns[2:]:
        target = ">=0.3 (ratio)" if name.startswith("discover") else ">=0.35 (ratio)"
        figures.add(f"{name}_per_second", per_second[name], per_second["bare"], target)
    figures.add("discover_300_milliseconds", 1000 * median(times), None, "<60")
    figures.add("discover_300_bytes", size)


async def one_by_one(port: int, body: bytes) -> tuple[list[float], int]:
    """Seconds of each answer on one kept connection, and its bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times, size = [], 0
    for _ in range(LONG):
        started = time.perf_counter()
        writer.write(body)
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = await reader.readexactly(size)
        times.append(time.perf_counter() - started)
        assert answer.count(b"endpointId") == 300, answer[:200]
    writer.close()
    return times, size


if __name__ == "__main__":
    main()
