"""Readings through HTTP beside a bare Django view that inserts one row: `python -m tests.bench.bench_readings [--json FILE]`.

Everything is real: granian, the pool, a durable PostgreSQL, units with keys, readings never said before. The three ways
take turns, and the median of the rounds counts, so that a busy machine is busy for all of them. `record_reading` alone
is called in this process, with no server before it. The units are not linked to Alexa.
"""

import argparse
import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.figures import Figures
from tests.the_house import free_port, until

ROOT = Path(__file__).resolve().parents[2]
UNITS, CONNECTIONS, ROUNDS, SECONDS = 200, 8, 5, 1.2

Bodies = Callable[[], bytes]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json")
    figures = Figures(arguments.parse_args().json)
    from portal import embedded

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    os.environ |= {"EMBEDDED": "1", "DATA_DIR": str(folder), "LOG_LEVEL": "WARNING"}
    os.environ |= {"DJANGO_SETTINGS_MODULE": "portal.settings"}
    for name in ("messages", "control"):
        (folder / "broker" / name).mkdir(parents=True)
    try:
        with embedded.running(folder):
            units = prepare()
            through_http(units, figures)
            alone(figures)
    finally:
        embedded.remove(folder)
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    figures.end()


def prepare() -> list[tuple[str, str]]:
    """Serial numbers and keys of the units."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from devices import registry
    from devices.models import DeviceModel
    from tests.bench.bare import TABLE

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
    model = DeviceModel.objects.create(model_id="CREMA-20", name="Crema 20", manufacturer="Nordkap", description="x")
    model.slots.create(slot_id="beans", name="Beans", instance="Beans.Hopper")
    keys = [(f"BENCH-{number}", secrets.token_urlsafe(32)) for number in range(UNITS)]
    for serial, key in keys:
        registry.register(serial, model, key=key)
    connection.close()
    return keys


def through_http(units: list[tuple[str, str]], figures: Figures) -> None:
    numbers = count(1)
    ways: dict[str, Bodies] = {
        "bare": lambda: request("/bare", b""),
        "single": lambda: request("/api/v1/readings", reading(number := next(numbers)), units[number % UNITS]),
        "batch": lambda: request("/api/v1/readings", batch(numbers), units[next(numbers) % UNITS]),
    }
    with portal() as port:
        for body in ways.values():
            asyncio.run(rate(port, body, 0.8))
        rounds = [{name: asyncio.run(rate(port, body, SECONDS)) for name, body in ways.items()} for _ in range(ROUNDS)]
    bare, single, hundred = (median(turn[name] for turn in rounds) for name in ways)
    figures.add("readings_http_single_per_second", single, bare, ">=0.6 (ratio)")
    figures.add("readings_http_batch_of_100_in_singles", single / hundred, None, "<10")
    figures.add("readings_http_in_batches_per_second", hundred * 100, bare, "-")


def alone(figures: Figures) -> None:
    """The verb itself, and beside it one row put in by the ORM, each in a transaction of its own."""
    from devices.inventory import Measurement, record_reading
    from devices.models import Device
    from tests.bench.bare import Row

    device, numbers, now = Device.objects.get(serial_number="BENCH-1"), count(10**9), datetime.now(UTC)

    def say(many: int) -> None:
        record_reading(device, [Measurement("beans", next(numbers), Decimal(50), now) for _ in range(many)], now)

    def floor() -> None:
        Row.objects.create(device_id=1, sequence=2, value=3, heard_at=now)

    device.last_seen_at = now
    turns = [(per_second(floor), per_second(lambda: say(1)), per_second(lambda: say(100))) for _ in range(ROUNDS)]
    one_row, one, hundred = (median(turn[place] for turn in turns) for place in range(3))
    figures.add("record_reading_calls_per_second", one, one_row)
    figures.add("record_reading_in_batches_per_second", hundred * 100, one_row)


def per_second(deed: Callable[[], None], seconds: float = 0.4) -> float:
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        deed()
        done += 1
    return done / (time.perf_counter() - started)


def reading(number: int) -> bytes:
    return json.dumps({"slot": "beans", "sequence": number, "value": number % 100, "measured_at": said_now()}).encode()


def batch(numbers: Iterator[int]) -> bytes:
    at = said_now()
    said = [{"slot": "beans", "sequence": next(numbers), "value": n, "measured_at": at} for n in range(100)]
    return json.dumps({"readings": said}).encode()


def said_now() -> str:
    return datetime.now(UTC).isoformat()


def request(address: str, body: bytes, unit: tuple[str, str] | None = None) -> bytes:
    lines = [f"POST {address} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines.append(f"Content-Length: {len(body)}")
    if unit:
        lines.append(credentials(*unit))
    return "\r\n".join([*lines, "", ""]).encode() + body


@cache
def credentials(serial: str, key: str) -> str:
    return f"Authorization: Basic {base64.b64encode(f'{serial}:{key}'.encode()).decode()}"


async def rate(port: int, body: Bodies, seconds: float) -> float:
    """Requests answered per second, over kept connections."""
    end = time.monotonic() + seconds
    started = time.perf_counter()
    done = sum(await asyncio.gather(*(talk(port, body, end) for _ in range(CONNECTIONS))))
    return done / (time.perf_counter() - started)


async def talk(port: int, body: Bodies, end: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while time.monotonic() < end:
        writer.write(body())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
        assert head[9:11] == b"20", head
        done += 1
    writer.close()
    return done


@contextmanager
def portal() -> Iterator[int]:
    """The web process as `make run` starts it, with the bare view beside it; its port."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--blocking-threads", "16", "--no-ws", "--http", "1", "--log-level", "warning"]
    web = subprocess.Popen([*command, "tests.bench.bare:application"], cwd=ROOT)
    try:
        until(lambda: answers(port), 30, "the portal's first answer")
        yield port
    finally:
        web.terminate()
        web.wait(30)


def answers(port: int) -> Any:
    import requests

    try:
        return requests.get(f"http://127.0.0.1:{port}/health/live", timeout=1).ok
    except requests.ConnectionError:
        return False


if __name__ == "__main__":
    main()
