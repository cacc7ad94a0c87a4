"""Benches, one after the other: `python -m tests.bench NAME … -- [--json FILE] [what the first of them takes besides]`.

The last line names the targets that were missed; then it fails.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.figures import MISSED

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    cut = sys.argv.index("--")
    benches = sys.argv[1:cut]
    arguments = argparse.ArgumentParser(description=__doc__, add_help=False)
    arguments.add_argument("--json")
    options, others = arguments.parse_known_args(sys.argv[cut + 1 :])
    missed: list[str] = []
    rows: list[Any] = []
    for bench in benches:
        more, found = run(bench, others if bench == benches[0] else [])
        missed, rows = missed + more, rows + found
        if options.json:
            Path(options.json).write_text(json.dumps(rows, indent=1))
    if missed:
        sys.exit(MISSED + ", ".join(missed))


def run(bench: str, words: list[str]) -> tuple[list[str], list[Any]]:
    """What it missed, itself by name if it did not come to its end, and its figures."""
    with tempfile.NamedTemporaryFile("w+", suffix=".json") as figures:
        command = [sys.executable, "-m", f"tests.bench.bench_{bench}", "--json", figures.name, *words]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        missed: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(MISSED):
                missed = line.removeprefix(MISSED).strip().split(", ")
            else:
                print(line, end="", flush=True)
        if process.wait() and not missed:
            missed = [f"bench_{bench}, which broke off"]
        return missed, json.loads(Path(figures.name).read_text() or "[]")


if __name__ == "__main__":
    main()
