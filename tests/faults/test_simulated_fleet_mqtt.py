"""Faulty machines behind a real mosquitto, while bridge and web process are killed twice: nothing lost, nothing twice."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fleet import Portal, Size, happened, let_it_live, running_portal
from tests.the_house import ROOT, free_port, until

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin") or shutil.which("mosquitto")
pytestmark = pytest.mark.skipif(not MOSQUITTO, reason="no mosquitto")


@pytest.fixture
def portal() -> Iterator[Portal]:
    with running_portal() as portal:
        yield portal


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    (tmp_path / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
    )
    process = subprocess.Popen([str(MOSQUITTO), "-c", str(tmp_path / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    yield f"mqtt://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


class Bridge:
    """`manage.py mqtt_bridge` under one client ID, so that the broker keeps its session while it is dead."""

    def __init__(self, portal: Portal, broker: str, log: Path) -> None:
        self.portal, self.broker, self.log = portal, broker, log
        self.start()

    def start(self) -> None:
        command = [sys.executable, "manage.py", "mqtt_bridge", "--url", self.broker, "--client-id", "bridge"]
        environment = self.portal.environment | {"LOG_LEVEL": "INFO"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        until(lambda: "The bridge is up" in self.log.read_text(), 180, "the bridge's start")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def bridge(portal: Portal, broker: str, tmp_path: Path) -> Iterator[Bridge]:
    bridge = Bridge(portal, broker, tmp_path / "bridge.log")
    yield bridge
    bridge.process.terminate()
    try:
        assert bridge.process.wait(60) == 0
    except subprocess.TimeoutExpired:
        bridge.process.send_signal(signal.SIGABRT)  # says where it hangs
        bridge.process.wait(10)
        raise
    finally:
        print(bridge.log.read_text()[-5000:])


def test_nothing_is_lost_and_nothing_is_twice(portal: Portal, bridge: Bridge, broker: str) -> None:
    size = Size.asked_for(units=50, days=3, seconds=12)

    def power_cut() -> None:
        bridge.kill()
        portal.kill()
        bridge.start()
        portal.start()

    said = let_it_live(portal, size, ["--door=mqtt", f"--broker={broker}"], [power_cut, power_cut])
    assert f"{size.units} units" in said
    assert "nothing lost, nothing twice" in said
    assert "the session goes on" in bridge.log.read_text()
    counted = happened(said)
    for trouble in ("unheard", "aborted", "duplicates", "already known"):
        assert counted.get(trouble, 0) > 0, f"{trouble} never happened, so it was not tried:\n{said}"
    assert counted["recorded"] > 3 * size.units * size.days
