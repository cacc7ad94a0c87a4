"""A factory's list of a million units, all keys and codes to be made: `python -m tests.bench.bench_import [--json FILE] [--rows N]`.

Each way of working is a process of its own, so that its peak of memory is its own. The floor is the same rows put into
the same table by a bare COPY from a file that holds them ready.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.figures import Figures

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json")
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--step", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.step:
        step(options.step, Path(os.environ["BENCH_LIST"]))
        return
    from portal import embedded

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    os.environ |= {"EMBEDDED": "1", "DATA_DIR": str(folder), "LOG_LEVEL": "WARNING"}
    os.environ |= {"DJANGO_SETTINGS_MODULE": "portal.settings", "BENCH_LIST": str(folder / "units.csv")}
    figures = Figures(options.json)
    try:
        with embedded.running(folder):
            measure(folder / "units.csv", options.rows, figures)
    finally:
        embedded.remove(folder)
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    figures.end()


def measure(path: Path, rows: int, figures: Figures) -> None:
    write_list(path, rows)
    run("prepare")
    seconds, memory = run("import")
    figures.add("import_peak_mib", memory, None, "<=300")
    again, _ = run("again")
    floor, _ = run("floor")
    figures.add("import_rows_per_second", rows / seconds, rows / floor, f">={1_000_000 / 60:.0f} (value)")
    figures.add("import_seconds_per_million", seconds / rows * 1e6, floor / rows * 1e6, "<=60 (value)")
    figures.add("import_again_seconds_per_million", again / rows * 1e6, None, "-")


def run(name: str) -> tuple[float, float]:
    """Seconds of the work itself and MiB at its peak."""
    command = [sys.executable, "-m", "tests.bench.bench_import", "--step", name]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    seconds, memory = done.stdout.split()[-2:]
    return float(seconds), float(memory)


def write_list(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("serial,model,key,claim_code,mac,firmware\n")
        for number in range(rows):
            digits = f"{number:012X}"
            mac = ":".join(digits[place : place + 2] for place in range(0, 12, 2))
            file.write(f"CRM20-{number:08},CREMA-20,generate,generate,{mac},1.0.3\n")


def step(name: str, path: Path) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    if name == "prepare":
        call_command("migrate", verbosity=0)
        make_model()
    started = time.perf_counter()
    if name in ("import", "again"):
        call_command("import_devices", path)
    if name == "floor":
        with (
            path.with_suffix(".copy").open("rb") as ready,
            connection.cursor() as cursor,
            cursor.copy("COPY devices_device FROM STDIN") as copy,
        ):
            while block := ready.read(1 << 16):
                copy.write(block)
    seconds = time.perf_counter() - started
    if name == "again":
        with connection.cursor() as cursor, path.with_suffix(".copy").open("wb") as ready:
            with cursor.copy("COPY devices_device TO STDOUT") as copy:
                for block in copy:
                    ready.write(block)
            cursor.execute("TRUNCATE devices_device CASCADE")
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def make_model() -> None:
    from devices.models import DeviceModel

    facts = {"name": "Crema 20", "manufacturer": "Nordkap Home", "description": "Espresso machine by Nordkap Home"}
    DeviceModel.objects.create(model_id="CREMA-20", **facts)


if __name__ == "__main__":
    main()
