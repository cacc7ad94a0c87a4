"""A fleet that speaks to a portal of its own while parts of it are killed, and what the fleet says of it in the end.

`FLEET=1000x30x600` makes it as large and as long as the issue asks for: units, simulated days, seconds. Without it the
tests take the short form that each of them names.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from portal import embedded
from tests.the_house import ROOT, free_port, until

GRACE = 150  # seconds that the last uploads and the comparison may take, whatever the size


@dataclass(frozen=True)
class Size:
    """How many units live how many days in how many seconds."""

    units: int
    days: int
    seconds: int

    @classmethod
    def asked_for(cls, units: int, days: int, seconds: int) -> "Size":
        """As FLEET says, else as given."""
        wanted = os.environ.get("FLEET")
        return cls(*map(int, wanted.split("x"))) if wanted else cls(units, days, seconds)

    @property
    def arguments(self) -> list[str]:
        speed = self.days * 86400 / self.seconds
        return [f"--devices={self.units}", f"--days={self.days}", f"--speed={speed}", "--scenario=faulty", "--seed=1"]

    @property
    def is_long(self) -> bool:
        return self.seconds > 60


class Portal:
    """The database and the web process alone, on a port and a data folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST", "DATA_DIR"))}
        self.environment = clean | {"EMBEDDED": "1", "DATA_DIR": str(folder), "PORTAL_PORT": str(self.port)}
        self.environment |= {"LOG_LEVEL": "ERROR", "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}

    def manage(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "manage.py", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, text=True, **pipes)

    def start(self) -> None:
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1", "--blocking-threads", "4", "--no-ws", "--http", "1"]
        command += ["--log-level", "error", "portal.wsgi:application"]
        self.web = subprocess.Popen(command, cwd=ROOT, env=self.environment, start_new_session=True)
        until(self.answers, 120, "the portal's first answer")

    def answers(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/health/live", timeout=10).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """As a power cut would: granian and its worker at once, in the middle of whatever they do."""
        os.killpg(self.web.pid, signal.SIGKILL)
        self.web.wait(10)


@contextmanager
def running_portal() -> Iterator[Portal]:
    folder = Path(tempfile.mkdtemp(prefix="portal-fleet-"))
    portal = Portal(folder)
    embedded.start(folder)
    try:
        for command in (["migrate", "-v0"], ["createcachetable"]):
            assert portal.manage(*command).wait(240) == 0
        portal.start()
        yield portal
        portal.kill()
    finally:
        if portal.web.poll() is None:
            portal.kill()
        embedded.remove(folder)
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def let_it_live(portal: Portal, size: Size, arguments: Sequence[str], blows: Sequence[Callable[[], None]]) -> str:
    """Run the fleet and strike these blows evenly over its time; what it said, after it has verified everything."""
    fleet = portal.manage("simulate", *size.arguments, "--verify", *arguments)
    said: list[str] = []
    listener = threading.Thread(target=lambda: said.extend(iter(fleet.stdout.readline, "")), daemon=True)
    listener.start()
    try:
        until(lambda: any("are registered" in line for line in said), 120, "the fleet's start")
        for blow in blows:
            time.sleep(size.seconds / (len(blows) + 2))
            blow()
        assert fleet.wait(size.seconds * 3 + GRACE) == 0, "".join(said)
    finally:
        fleet.kill()
        listener.join(10)
    if size.is_long:
        print("".join(said[-20:]))
    return "".join(said)


def happened(said: str) -> dict[str, int]:
    """What the fleet counted, by name."""
    return {name: int(number) for name, number in re.findall(r"^  ([a-z ]+): (\d+)$", said, re.MULTILINE)}
