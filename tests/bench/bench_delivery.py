"""Delivery against a gateway that costs next to nothing: `python -m tests.bench.bench_delivery [--json FILE] [--devices N] [--sizes N …]`.

Every figure stands beside a floor measured in the same run, before and after it; of several rounds the one in the middle counts. A
figure that this machine cannot measure is named with what is missing. The path from claim to settling runs in worker processes of
the bench's own; once it is walked whole, from beat's knock through the broker to a Celery worker.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.figures import Figures
from tests.bench.nginx import gateway, missing, missing_slow

ROOT = Path(__file__).resolve().parents[2]
USES_EACH = 2


@dataclass
class Run:
    """What came of some workers that did all that was due: so much each second, microseconds of processor time and bytes of
    write-ahead log for each."""

    rate: float
    cpu: float = 0.0
    wal: float = 0.0
    memory_mib: int = 0


@dataclass
class Beside:
    """A run and the floor around it: requests a second of the bare loop, and its microseconds of processor time."""

    run: Run
    rate: float
    cpu: float


def main() -> None:
    options = _options()
    if lacking := missing():
        sys.exit(f"The bench cannot run: {lacking}")
    from portal import embedded

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    os.environ |= {
        "EMBEDDED": "1",
        "DATA_DIR": str(folder),
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        "GATEWAY_RATE": "1000000",
    }
    [(folder / name).mkdir(parents=True) for name in ("static", "broker/messages", "broker/control")]
    figures = Figures(options.json)
    try:
        with embedded.running(folder), gateway() as address:
            prepare(address)
            if options.devices:
                Bench(address, folder, figures, options.rounds, options.devices).measure()
            grow(options, figures)
    finally:
        embedded.remove(folder)
        shutil.rmtree(folder, ignore_errors=True)
    figures.end()


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", help="a file for the figures")
    arguments.add_argument("--rounds", type=int, default=3, help="how often each figure is measured (3)")
    arguments.add_argument(
        "--devices", type=int, default=20_000, help="linked devices for all but growth (20000); 0: only growth"
    )
    sizes = [10_000, 100_000, 1_000_000]
    arguments.add_argument(
        "--sizes", type=int, nargs="*", default=sizes, help="linked devices for growth, rising (10000 100000 1000000)"
    )
    arguments.add_argument("--reports", type=int, default=10_000, help="reports due at each size (10000)")
    return arguments.parse_args()


def prepare(address: str) -> None:
    import django

    os.environ |= {"EVENT_GATEWAY_NA": f"{address}/v3/events", "LWA_TOKEN_URL": f"{address}/auth/o2/token"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


class Bench:
    """The figures of one fleet in which everybody is due."""

    def __init__(self, address: str, folder: Path, figures: Figures, rounds: int, devices: int) -> None:
        from tests.bench import fleet

        self.address, self.figures, self.rounds, self.devices = address, figures, rounds, devices
        fleet.fill(1, devices)
        self.body = folder / "report.json"
        self.body.write_bytes(fleet.example_report())
        self.last = self.floor()

    def floor(self) -> tuple[float, float]:
        return numbers("bare", f"{self.address}/v3/events", str(self.body), str(self.devices))

    def beside(self, measured: Callable[[], Run]) -> Beside:
        """Of several rounds the one in the middle. The floor of each is the mean before and after: others may be at work here."""
        rounds = []
        for _ in range(self.rounds):
            run, before, self.last = measured(), self.last, self.floor()
            rounds.append(Beside(run, (before[0] + self.last[0]) / 2, (before[1] + self.last[1]) / 2))
        return sorted(rounds, key=lambda one: one.run.rate / one.rate)[len(rounds) // 2]

    def measure(self) -> None:
        add, devices = self.figures.add, self.devices
        fresh = self.beside(lambda: report(devices, devices))
        add("reports_per_second_tokens_fresh", fresh.run.rate, fresh.rate, ">=0.6")
        add("cpu_microseconds_per_report", fresh.run.cpu, fresh.cpu, "<=1.67")
        add("wal_bytes_per_report", fresh.run.wal)
        add("worker_peak_memory_mib", fresh.run.memory_mib, None, "<=200")
        whole = self.beside(lambda: report_when_beat_knocks(devices))
        add("reports_per_second_beat_broker_celery", whole.run.rate, whole.rate, ">=0.6")
        expired = self.beside(lambda: report(devices, devices, expire_tokens=True))
        add("reports_per_second_tokens_expired", expired.run.rate, expired.rate / 2, ">=0.5")
        add("cpu_microseconds_per_report_tokens_expired", expired.run.cpu, expired.cpu * 2, "<=2")
        used = self.beside(lambda: use(devices))
        add("usage_events_per_second", used.run.rate, used.rate, ">=0.5")
        add("cpu_microseconds_per_usage_event", used.run.cpu, used.cpu, "<=2")
        add("wal_bytes_per_usage_event", used.run.wal)
        plain, _ = numbers("naive", f"{self.address}/v3/events", str(min(devices, 300)))
        add("times_faster_than_one_at_a_time", fresh.run.rate, plain, ">=25")
        self.slow()
        self.bad_day()

    def bad_day(self) -> None:
        """A fifth of all requests fails, and some are never answered: how fast those reports are that can be made meanwhile. Counted
        up to four fifths of them, because the last ones wait for time-outs and back-offs."""
        from tests.bench import fleet

        most, rounds = int(0.8 * self.devices), []
        for _ in range(self.rounds):
            began = fleet.now()
            report(self.devices, self.devices)
            good, began = fleet.pace_of_reports(began, most), fleet.now()
            fleet.make_due(self.devices, self.devices)
            with environment(EVENT_GATEWAY_NA=f"{self.address}/bad/v3/events", LOG_LEVEL="ERROR"):
                answer(start("tests.bench.one_worker"))
            rounds.append((fleet.pace_of_reports(began, most), good))
            fleet.forgive()
        bad, good = sorted(rounds, key=lambda pair: pair[0] / pair[1])[len(rounds) // 2]
        self.figures.add("bad_day", bad, good, ">=0.5")

    def slow(self) -> None:
        """A gateway that answers after 50 ms."""
        if lacking := missing_slow():
            self.figures.skip(["reports_per_second_gateway_50ms", "two_workers_against_one_gateway_50ms"], lacking)
            return
        devices = self.devices
        with environment(EVENT_GATEWAY_NA=f"{self.address}/slow/v3/events"):
            rounds = [(report(devices, devices), report(devices, devices, workers=2)) for _ in range(self.rounds)]
        one = sorted(one.rate for one, _ in rounds)[len(rounds) // 2]
        self.figures.add("reports_per_second_gateway_50ms", one, 128 / 0.05, ">=0.7")
        alone, both = sorted(rounds, key=lambda pair: pair[1].rate / pair[0].rate)[len(rounds) // 2]
        self.figures.add("two_workers_against_one_gateway_50ms", both.rate, alone.rate, ">=1.7")


def grow(options: argparse.Namespace, figures: Figures) -> None:
    """Time, log and memory for each report as the fleet grows; the smallest is the floor."""
    from tests.bench import fleet

    floor, devices = None, options.devices
    for size in options.sizes:
        if size > devices:
            with fleet.unchecked():
                fleet.fill(devices + 1, size)
            devices = size
        reports = min(size, options.reports)
        rounds = [report(devices, reports) for _ in range(options.rounds)]
        run = sorted(rounds, key=lambda one: one.rate)[len(rounds) // 2]
        floor = floor or run
        figures.add(f"microseconds_per_report_at_{devices}", 1e6 / run.rate, 1e6 / floor.rate, "<=1.15")
        figures.add(f"cpu_microseconds_per_report_at_{devices}", run.cpu, floor.cpu, "<=1.15")
        figures.add(f"wal_bytes_per_report_at_{devices}", run.wal, floor.wal)
        figures.add(f"worker_peak_memory_mib_at_{devices}", max(one.memory_mib for one in rounds), None, "<=200")


def report(devices: int, reports: int, *, expire_tokens: bool = False, workers: int = 1) -> Run:
    """So many of the fleet's daily reports. Nothing may be left undone."""
    from skill.models import Endpoint
    from tests.bench import fleet

    fleet.make_due(devices, reports, expire_tokens)
    run = work(reports, workers)
    failed = Endpoint.objects.exclude(last_code="").count()
    assert failed == 0, f"{failed} of {reports} reports failed"
    return run


def report_when_beat_knocks(devices: int) -> Run:
    """Everybody's daily report by the processes of production: beat knocks, a Celery worker hears it from the broker. Counted from the
    first report that was settled to the last, so that how long they take to start is not in it."""
    from skill.models import Endpoint
    from tests.bench import fleet

    celery = [sys.executable, "-W", "ignore", "-m", "celery", "--quiet", "-A", "portal.celery"]
    worker = ["worker", "--queues", "delivery", "--pool", "solo", "--without-mingle", "--without-gossip"]
    fleet.make_due(devices, devices)
    began = fleet.now()
    processes = [
        subprocess.Popen([*celery, *words, "--loglevel", "ERROR"], cwd=ROOT)
        for words in (worker, ["beat", "--pidfile="])
    ]
    try:
        while Endpoint.objects.filter(daily_at__lte=began).exists():
            assert all(process.poll() is None for process in processes), "beat or the worker ended by itself"
            time.sleep(1)
    finally:
        for process in processes:
            process.terminate()
            process.wait(60)
    return Run(fleet.pace_of_reports(began, devices))


def use(devices: int) -> Run:
    """Usage events, and nothing else."""
    from tests.bench import fleet

    fleet.use(USES_EACH)
    return work(USES_EACH * devices, 1)


def work(things: int, workers: int) -> Run:
    """Worker processes until nothing is due; their starting up is not counted."""
    from django.db.models.functions import Now

    from skill.models import Endpoint
    from tests.bench import fleet

    before = fleet.wal()
    processes = [start("tests.bench.one_worker") for _ in range(workers)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # "ready"
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    results: list[dict[str, Any]] = [json.loads(answer(process).splitlines()[-1]) for process in processes]
    left = Endpoint.objects.filter(due_at__lte=Now())
    assert not left.exists(), f"{left.count()} were left undone, e.g. {left.values()[0]}"
    seconds = max(result["ended"] for result in results) - min(result["started"] for result in results)
    cpu, memory = sum(result["cpu"] for result in results), max(result["memory_mib"] for result in results)
    return Run(things / seconds, 1e6 * cpu / things, (fleet.wal() - before) / things, memory)


def numbers(*arguments: str) -> tuple[float, float]:
    """Requests per second and microseconds of processor time for each, of one of the floors."""
    rate, cpu = answer(start("tests.bench.floors", *arguments)).split()
    return float(rate), float(cpu)


def start(module: str, *arguments: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe
    )


def answer(process: "subprocess.Popen[str]") -> str:
    said, complaint = process.communicate()
    if process.returncode:
        raise RuntimeError(complaint[-3000:])
    if complaint:
        print(complaint[-2000:], file=sys.stderr)
    return said


@contextlib.contextmanager
def environment(**values: str) -> Any:
    before = {name: os.environ[name] for name in values}
    os.environ |= values
    try:
        yield
    finally:
        os.environ |= before


if __name__ == "__main__":
    main()
