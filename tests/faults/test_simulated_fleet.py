"""Fifty faulty machines for three days over HTTP, while the web process is killed twice: nothing lost, nothing twice."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from portal import embedded
from tests.the_house import ROOT, free_port, until

pytestmark = pytest.mark.xdist_group("the fleet")
DAYS, SECONDS = 3, 12  # simulated, and real


class Portal:
    """The database and the web process alone, on a port and a data folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST", "DATA_DIR"))}
        self.environment = clean | {"EMBEDDED": "1", "DATA_DIR": str(folder), "PORTAL_PORT": str(self.port)}
        self.environment |= {"LOG_LEVEL": "ERROR", "PYTHONUNBUFFERED": "1"}

    def manage(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "manage.py", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, text=True, **pipes)

    def start(self) -> None:
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1", "--blocking-threads", "4", "--no-ws", "--http", "1"]
        command += ["--log-level", "error", "portal.wsgi:application"]
        self.web = subprocess.Popen(command, cwd=ROOT, env=self.environment, start_new_session=True)
        until(self.answers, 30, "the portal's first answer")

    def answers(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/health/live", timeout=1).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """As a power cut would: granian and its worker at once, in the middle of whatever they do."""
        os.killpg(self.web.pid, signal.SIGKILL)
        self.web.wait(10)


@pytest.fixture
def portal() -> Iterator[Portal]:
    folder = Path(tempfile.mkdtemp(prefix="portal-fleet-"))
    for name in ("messages", "control"):
        (folder / "broker" / name).mkdir(parents=True)
    portal = Portal(folder)
    embedded.start(folder)
    try:
        for command in (["migrate", "-v0"], ["createcachetable"]):
            assert portal.manage(*command).wait(120) == 0
        portal.start()
        yield portal
    finally:
        if portal.web.poll() is None:
            portal.kill()
        embedded.remove(folder)
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_nothing_is_lost_and_nothing_is_twice(portal: Portal) -> None:
    speed = DAYS * 86400 / SECONDS
    fleet = portal.manage(
        "simulate", "--devices=50", f"--days={DAYS}", f"--speed={speed}", "--scenario=faulty", "--seed=1", "--verify"
    )
    said: list[str] = []
    listener = threading.Thread(target=lambda: said.extend(iter(fleet.stdout.readline, "")), daemon=True)
    listener.start()
    until(lambda: any("are registered" in line for line in said), 60, "the fleet's start")
    for _ in range(2):
        time.sleep(SECONDS / 4)
        portal.kill()
        time.sleep(0.5)
        portal.start()

    assert fleet.wait(150) == 0, "".join(said)
    listener.join(10)
    text = "".join(said)
    assert "50 units" in text
    assert "nothing lost, nothing twice" in text
    happened = {name: int(number) for name, number in re.findall(r"^  ([a-z ]+): (\d+)$", text, re.MULTILINE)}
    for trouble in ("no answer", "unheard", "aborted", "duplicates", "resets", "already known"):
        assert happened.get(trouble, 0) > 0, f"{trouble} never happened, so it was not tried:\n{text}"
    assert happened["recorded"] > 500
