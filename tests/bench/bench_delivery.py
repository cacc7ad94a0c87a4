"""Delivery against a gateway that costs next to nothing: `python -m tests.bench.bench_delivery [--json FILE] [--devices N] [--grow N …]`.

Every figure stands beside a floor measured in the same run; a figure that this machine cannot measure is named with what is missing.
The real path from claim to settling runs in worker processes; beat and the broker, which only ring, are not in it.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.figures import Figures
from tests.bench.nginx import gateway, missing, missing_slow

ROOT = Path(__file__).resolve().parents[2]
USES_EACH = 2


@dataclass
class Run:
    """What came of some workers that did all that was due."""

    seconds: float
    memory_mib: int
    wal: int


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", help="a file for the figures")
    arguments.add_argument("--devices", type=int, default=20_000)
    arguments.add_argument(
        "--grow", type=int, nargs="*", default=[100_000], help="numbers of linked devices to grow to"
    )
    options = arguments.parse_args()
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
    (folder / "static").mkdir()
    try:
        with embedded.running(folder), gateway() as address:
            prepare(address, options.devices)
            figures = Figures(options.json)
            measure(address, options.devices, figures, folder)
            grow(options.devices, options.grow, figures)
    finally:
        embedded.remove(folder)


def prepare(address: str, devices: int) -> None:
    import django

    os.environ |= {"EVENT_GATEWAY_NA": f"{address}/v3/events", "LWA_TOKEN_URL": f"{address}/auth/o2/token"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from django.core.management import call_command

    from tests.bench import fleet

    call_command("migrate", verbosity=0)
    fleet.fill(1, devices)


def measure(address: str, devices: int, figures: Figures, folder: Path) -> None:
    from tests.bench import fleet

    body = folder / "report.json"
    body.write_bytes(fleet.example_report())

    def floor() -> float:
        return number("bare", f"{address}/v3/events", str(body), str(devices))

    floors = [floor()]

    def beside() -> float:
        """The mean of the floors before and after what was just measured: others may be at work on this machine."""
        floors.append(floor())
        return (floors[-2] + floors[-1]) / 2

    fresh = report(devices)
    figures.add("reports_per_second_tokens_fresh", devices / fresh.seconds, beside(), ">=0.6")
    figures.add("wal_bytes_per_report", fresh.wal / devices)
    figures.add("worker_peak_memory_mib", fresh.memory_mib, None, "<=200")
    expired = report(devices, expire_tokens=True)
    figures.add("reports_per_second_tokens_expired", devices / expired.seconds, beside() / 2, ">=0.5")
    fleet.use(USES_EACH)
    used = work()
    figures.add("usage_events_per_second", USES_EACH * devices / used.seconds, beside(), ">=0.5")
    figures.add("wal_bytes_per_usage_event", used.wal / devices / USES_EACH)
    few = min(devices, 300)
    figures.add(
        "times_faster_than_one_at_a_time",
        devices / fresh.seconds,
        number("naive", f"{address}/v3/events", str(few)),
        ">=25",
    )
    slow(address, devices, figures)


def slow(address: str, devices: int, figures: Figures) -> None:
    """A gateway that answers after 50 ms."""
    if lacking := missing_slow():
        figures.skip(["reports_per_second_gateway_50ms", "two_workers_against_one_gateway_50ms"], lacking)
        return
    with environment(EVENT_GATEWAY_NA=f"{address}/slow/v3/events"):
        one = report(devices)
        figures.add("reports_per_second_gateway_50ms", devices / one.seconds, 128 / 0.05, ">=0.7")
        two = report(devices, workers=2)
        figures.add("two_workers_against_one_gateway_50ms", devices / two.seconds, devices / one.seconds, ">=1.7")


def grow(devices: int, sizes: list[int], figures: Figures) -> None:
    """Seconds per report as the fleet grows; the first size is the floor."""
    from tests.bench import fleet

    before = report(devices).seconds / devices
    for size in sizes:
        fleet.fill(devices + 1, size)
        grown, devices = report(size), size
        figures.add(f"microseconds_per_report_at_{size}", 1e6 * grown.seconds / size, 1e6 * before, "<=1.15")
        figures.add(f"worker_peak_memory_mib_at_{size}", grown.memory_mib, None, "<=200")


def report(devices: int, *, expire_tokens: bool = False, workers: int = 1) -> Run:
    """Everybody's daily report. Nothing may be left undone."""
    from skill.models import Endpoint
    from tests.bench import fleet

    fleet.make_due(expire_tokens)
    run = work(workers)
    failed = Endpoint.objects.exclude(last_code="").count()
    assert failed == 0, f"{failed} of {devices} reports failed"
    return run


def work(workers: int = 1) -> Run:
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
    return Run(seconds, max(result["memory_mib"] for result in results), fleet.wal() - before)


def number(*arguments: str) -> float:
    return float(answer(start("tests.bench.floors", *arguments)))


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
