"""SNS in, beside a bare Django view that inserts one row of the same size: `python -m tests.bench.bench_sns [--messages N]`.

Both are served by granian on the same machine at the same time of day, and the same client posts the same bytes to both over 16
connections. Figures: `name value floor ratio target`.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import requests

from tests.bench.figures import Figures
from tests.notifications.signing_amazon import ARN, Amazon, as_body, as_headers, certificate_for, dash, far_side, pem
from tests.the_house import ROOT, free_port, until

CONNECTIONS, TURNS = 16, 10
Letter = tuple[bytes, dict[str, str]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json")
    arguments.add_argument("--messages", type=int, default=4000)
    options = arguments.parse_args()
    from portal import embedded

    folder = Path(tempfile.mkdtemp(prefix="bench-sns-"))
    [(folder / name).mkdir(parents=True) for name in ("static", "broker/messages", "broker/control")]
    os.environ |= {"EMBEDDED": "1", "DATA_DIR": str(folder), "LOG_LEVEL": "WARNING", "PYTHONPATH": str(ROOT)}
    figures = Figures(options.json)
    amazon = Amazon()
    amazon.certificate = certificate_for(amazon.key, start=datetime.now(UTC) - timedelta(days=1))
    try:
        with far_side() as side, embedded.running(folder):
            side.body = pem(amazon.certificate)
            os.environ["SNS_CERTIFICATE_MIRROR"] = side.url
            measure(amazon, options.messages, figures)
    finally:
        embedded.remove(folder)
    figures.end()


def measure(amazon: Amazon, number: int, figures: Figures) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    import django

    django.setup()
    prepare()
    letters = [signed(amazon, place) for place in range(number)]
    with serving("tests.bench.bare_view:application") as bare, serving("portal.wsgi:application") as ours:
        for address in (bare, ours):
            asyncio.run(post_all(address, [signed(amazon, number + place) for place in range(200)]))
        floor, rate, waits, floor_waits = by_turns(bare, ours, letters)
    figures.add("sns_stored_per_second", rate, floor, ">=0.6")
    figures.add("sns_first_byte_p50_ms", statistics.median(waits) * 1000, statistics.median(floor_waits) * 1000)
    figures.add("sns_first_byte_p99_ms", worst(waits), worst(floor_waits), "<100 (value)")
    figures.add("sns_processed_per_second", *process(), None, ">=450")


def by_turns(bare: str, ours: str, letters: list[Letter]) -> tuple[float, float, list[float], list[float]]:
    """(messages per second of the floor and of ours, seconds of each answer of ours and of the floor's).

    In turns of a tenth, so that what else the machine does meanwhile is the same for both.
    """
    spent, waits = {bare: 0.0, ours: 0.0}, {bare: list[float](), ours: list[float]()}
    for turn in (letters[place::TURNS] for place in range(TURNS)):
        for address in (bare, ours):
            rate, waited = asyncio.run(post_all(address, turn))
            spent[address] += len(turn) / rate
            waits[address] += waited
    return len(letters) / spent[bare], len(letters) / spent[ours], waits[ours], waits[bare]


def worst(waits: list[float]) -> float:
    """The 99th percentile, milliseconds."""
    return sorted(waits)[int(len(waits) * 0.99)] * 1000


def prepare() -> None:
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    from notifications import retention
    from notifications.models import Topic

    retention.tidy()
    Topic.objects.create(arn=ARN, subscription="confirmed")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_bare (id bigserial PRIMARY KEY, body text NOT NULL)")


def signed(amazon: Amazon, place: int) -> Letter:
    """One order of one machine each, so that processing is not one long wait for one row."""
    document = dash(order=f"amzn1.dash.v2.o.{place}", serial=f"CRM20-{place}")
    message = amazon.message(json.dumps(document), at=datetime.now(UTC))
    return as_body(message), as_headers(message)


@contextmanager
def serving(application: str) -> Iterator[str]:
    """The application as the portal is served; the address of its door."""
    port = free_port()
    command = (
        f"-m granian --interface wsgi --host 127.0.0.1 --port {port} --workers 1 --blocking-threads 16 --no-ws --http 1"
    )
    process = subprocess.Popen([sys.executable, *command.split(), "--log-level", "warning", application], cwd=ROOT)
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/health/live"), 30, "the server answers")
        yield f"http://127.0.0.1:{port}/sns/"
    finally:
        process.terminate()
        process.wait(10)


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=1).status_code < 500
    except requests.RequestException:
        return False


async def post_all(address: str, letters: list[Letter]) -> tuple[float, list[float]]:
    """(messages per second, seconds to the first byte of each answer)."""
    waiting, waits = iter(letters), []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def line() -> None:
            for body, headers in waiting:
                began = time.perf_counter()
                async with session.post(address, data=body, headers=headers) as response:
                    waits.append(time.perf_counter() - began)
                    assert response.status == 200, await response.text()

        started = time.perf_counter()
        await asyncio.gather(*(line() for _ in range(CONNECTIONS)))
        return len(letters) / (time.perf_counter() - started), waits


def process() -> tuple[float]:
    """Messages per second of one worker."""
    from celery import current_app

    from notifications import processing
    from notifications.models import Message

    current_app.send_task = lambda *arguments, **options: None
    waiting = Message.objects.filter(due_at__isnull=False).count()
    started = time.perf_counter()
    while processing.process_due():
        pass
    return (waiting / (time.perf_counter() - started),)


if __name__ == "__main__":
    main()
