"""One delivery worker, run until nothing is due; prints when it began and ended (the machine's clock), the seconds of processor
time in between, and its peak memory.

`--profile FILE` writes the profile of its event loop. It waits until its standard input is closed before it begins, so that two
of them begin together and the start of the process is not measured.
"""

import json
import sys
import time
from pathlib import Path

import django

django.setup()

from skill import delivery  # noqa: E402


def main() -> None:
    delivery.LINGER_SECONDS = -1
    print("ready", flush=True)
    sys.stdin.read()
    started, before = time.time(), time.process_time()
    while delivery.deliver(30):
        pass
    ended = time.time()
    took = {"started": started, "ended": ended, "cpu": time.process_time() - before}
    print(json.dumps(took | {"memory_mib": _peak_memory() // 1024}))


def _peak_memory() -> int:
    """KiB. Not getrusage: its maximum is inherited from the parent that started us, which filled the database."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--profile"]:
        import cProfile

        cProfile.run("main()", sys.argv[2])
    else:
        main()
