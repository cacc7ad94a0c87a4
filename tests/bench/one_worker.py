"""One delivery worker, run until nothing is due; prints when it began and ended (the machine's clock), and its peak memory.

`--profile FILE` writes the profile of its event loop. It waits until its standard input is closed before it begins, so that two
of them begin together and the start of the process is not measured.
"""

import json
import resource
import sys
import time

import django

django.setup()

from skill import delivery  # noqa: E402


def main() -> None:
    delivery.LINGER_SECONDS = -1
    print("ready", flush=True)
    sys.stdin.read()
    started = time.time()
    while delivery.deliver(30):
        pass
    ended = time.time()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"started": started, "ended": ended, "memory_mib": round(memory)}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--profile"]:
        import cProfile

        cProfile.run("main()", sys.argv[2])
    else:
        main()
