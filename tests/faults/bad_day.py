"""A fleet, its portal's delivery and an Amazon, each a process that can be killed; and what they say of it in the end."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import requests

from portal import embedded
from tests.the_house import ROOT, until

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
FILL = """
import django; django.setup()
import json
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("createcachetable")
from django.db import connection
from skill.fields import encrypt
from tests.bench import fleet
fleet.fill(1, {devices}, pods=True)
ids = list(range(1, {devices} + 1))
with connection.cursor() as cursor:
    cursor.execute("UPDATE skill_alexagrant AS g SET access_token = u.a, refresh_token = u.r, expires_at = now() FROM"
                   " unnest(%s::bigint[], %s::text[], %s::text[]) AS u(id, a, r) WHERE g.id = u.id",
                   [ids, [encrypt(f"Atza|{{i}}|0") for i in ids], [encrypt(f"Atzr|{{i}}") for i in ids]])
    cursor.execute("INSERT INTO skill_event (endpoint_id, message_id, namespace, name, instance, correlation_token, payload,"
                   " status, attempts, created_at, last_code, last_text)"
                   " SELECT e.id, gen_random_uuid(), 'Alexa.InventoryUsageSensor', 'InventoryConsumed', 'Pod.Coffee', '',"
                   " jsonb_build_object('usage', jsonb_build_object('@type', 'Count', 'value', n),"
                   " 'timeOfSample', '2026-01-01T00:00:00Z'), 'pending', 0, now(), '', ''"
                   " FROM skill_endpoint e, generate_series(1, {uses}) n ORDER BY n, e.id")
fleet.make_due({devices}, {devices})
"""
MEND = """
import django; django.setup()
from django.core.management import call_command
from skill import outbox
from skill.models import Endpoint
call_command("resend_events", "--all")
outbox.report_now(list(Endpoint.objects.live().filter(reported_at=None).values_list("pk", flat=True)))
"""
WORKER = ("--queues", "delivery", "--pool", "solo", "--without-mingle", "--without-gossip", "--loglevel", "ERROR")


class Form(NamedTuple):
    """How large and how rough. Seconds; `apps`: the module that the workers start from."""

    devices: int
    uses: int
    kills: int
    stops: int
    without_lwa: float
    slow_lwa: float
    patience: float
    app: str
    connections: int


SHORT = Form(1000, 2, 3, 1, 2, 2, 240, "tests.faults.quick_worker", 16)
FULL = Form(100_000, 2, 20, 2, 60, 30, 1500, "portal.celery", 128)


class Worker(NamedTuple):
    """A delivery process, and by how many minutes its clock is early (late, if negative)."""

    name: str
    process: subprocess.Popen[bytes]
    minutes_off: int


class Kill(NamedTuple):
    """When which worker was killed."""

    at: float
    worker: str


@dataclass
class Day:
    """One portal on its bad day: PostgreSQL, three delivery workers, beat, a broker of files, Amazon."""

    folder: Path
    form: Form
    workers: list[Worker] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    stops: list[tuple[float, float]] = field(default_factory=list)  # when the database went, and was back
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)  # all that were ever started

    def begin(self) -> None:
        """Amazon answers, the database is filled; nobody delivers yet."""
        amazon = subprocess.Popen([sys.executable, "-m", "tests.faults.rough_amazon"], cwd=ROOT, stdout=subprocess.PIPE)
        self.processes.append(amazon)
        assert amazon.stdout
        self.at = f"http://127.0.0.1:{int(amazon.stdout.readline())}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST"))}
        self.environment = clean | {
            "EMBEDDED": "1", "DATA_DIR": str(self.folder), "DJANGO_SETTINGS_MODULE": "portal.settings", "PYTHONPATH": str(ROOT),
            "LWA_TOKEN_URL": f"{self.at}/auth/o2/token",
            "REPORT_MIN_INTERVAL": "0.001", "REPORT_SETTLING": "0.001", "DELIVERY_SWEEP": "2", "LOG_LEVEL": "ERROR",
            "DELIVERY_CONNECTIONS": str(self.form.connections),
        }  # fmt: skip
        embedded.start(self.folder)
        self.run(FILL.format(devices=self.form.devices, uses=self.form.uses))

    def run(self, program: str) -> None:
        """A program of ours, to its end."""
        subprocess.run([sys.executable, "-c", program], env=self.environment, cwd=ROOT, check=True, capture_output=True)

    def start_worker(self, minutes_off: int = 0) -> None:
        name = f"w{random.getrandbits(32)}"
        gateways = {f"EVENT_GATEWAY_{region}": f"{self.at}/{name}/{region}/v3/events" for region in ("NA", "EU", "FE")}
        module = "celery"
        if minutes_off:
            module = "tests.faults.other_clock"
            gateways |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{minutes_off:+d}m", "DONT_FAKE_MONOTONIC": "1"}
        process = self._celery(module, "worker", *WORKER, "--hostname", f"{name}@%h", **gateways)
        self.workers.append(Worker(name, process, minutes_off))

    def start_beat(self) -> None:
        self.beat = self._celery("celery", "beat", "--loglevel", "ERROR", "--pidfile=")

    def _celery(self, module: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "ignore", "-m", module, "--quiet", "-A", self.form.app, *words]
        with (self.folder / "celery.log").open("ab") as log:
            process = subprocess.Popen(command, env=self.environment | environment, cwd=ROOT, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def kill_worker(self) -> None:
        """One of them, whichever, and another takes its place."""
        victim = random.choice(self.workers)
        self.end_worker(victim)
        self.start_worker(victim.minutes_off)

    def end_worker(self, victim: Worker) -> None:
        """SIGKILL: it has no last words."""
        self.workers.remove(victim)
        victim.process.kill()
        victim.process.wait()
        self.kills.append(Kill(time.time(), victim.name))

    def kill_beat(self) -> None:
        self.beat.kill()
        self.beat.wait()
        self.start_beat()

    def stop_database(self) -> None:
        gone = time.time()
        embedded.stop(self.folder, "immediate")
        embedded.start(self.folder)
        self.stops.append((gone, time.time()))

    def empty_broker(self) -> None:
        for message in (self.folder / "broker" / "messages").iterdir():
            message.unlink(missing_ok=True)

    def weather(self, **said: Any) -> None:
        requests.post(f"{self.at}/weather", json=said, timeout=30).raise_for_status()

    def progress(self, what: str = "accepted") -> int:
        """Of Amazon: how many events it has `accepted`, how many refreshes it left `without_token`."""
        return int(requests.get(f"{self.at}/progress", timeout=30).json()[what])

    def record(self) -> dict[str, Any]:
        return json.loads(requests.get(f"{self.at}/record", timeout=120).content)

    def ask(self, question: str) -> list[Any]:
        """Of the database, once it is back."""
        where = f"host={embedded.socket_dir(self.folder)} dbname=portal user=portal connect_timeout=5"
        with psycopg.connect(where, autocommit=True) as database:
            return database.execute(question).fetchall()  # type: ignore[arg-type]

    def at_rest(self) -> bool:
        return self.ask(_UNREST) == [(0, 0)]

    def wait_for_rest(self) -> None:
        try:
            self.until(self.at_rest, "delivery comes to rest")
        except AssertionError:
            print("left over (endpoints, events):", self.ask(_UNREST), self.ask(_LEFT_OVER))
            raise

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Until that is so; fails at once where a process ended that nobody killed."""
        try:
            until(lambda: self._is_whole() and condition(), self.form.patience, what)
        except AssertionError:
            print((self.folder / "celery.log").read_text(errors="replace")[-10_000:])
            raise

    def _is_whole(self) -> bool:
        ended = [process.args for process in (*self._workers(), self.beat) if process.poll() is not None]
        assert ended == [], "ended, and nobody killed it"
        return True

    def _workers(self) -> list[subprocess.Popen[bytes]]:
        return [worker.process for worker in self.workers]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        embedded.remove(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


# What waits for a moment only (for another's refresh of the token, for the second word about one device) is due again within seconds; the
# next daily reports are an hour away at least.
_AT_WORK = "due_at <= now() + interval '10 minutes' OR due_at IS NOT NULL AND attempts > 0 OR lease IS NOT NULL"
_UNREST = f"""
SELECT (SELECT count(*) FROM skill_endpoint WHERE {_AT_WORK}), (SELECT count(*) FROM skill_event WHERE status = 'pending')
"""
_LEFT_OVER = f"""
SELECT id, due_at - now(), leased_until - now(), attempts, last_code, last_text FROM skill_endpoint WHERE {_AT_WORK} LIMIT 10
"""


@contextmanager
def bad_day(folder: Path, form: Form) -> Iterator[Day]:
    """Everything but beat and the workers; everything is stopped and removed in the end."""
    day = Day(folder, form)
    try:
        day.begin()
        yield day
    finally:
        day.end()
