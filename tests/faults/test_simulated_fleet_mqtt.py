"""Faulty machines behind a real mosquitto, while the bridge is killed in the middle: nothing lost, nothing twice."""

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_simulated_fleet import Portal, portal
from tests.the_house import free_port, until

__all__ = ["portal"]

pytestmark = [
    pytest.mark.xdist_group("the fleet"),
    pytest.mark.skipif(
        not shutil.which("mosquitto") and not Path("/usr/sbin/mosquitto").exists(), reason="no mosquitto"
    ),
]
DAYS, SECONDS = 1, 8


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    (tmp_path / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
    )
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    process = subprocess.Popen([program, "-c", str(tmp_path / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    yield f"mqtt://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


def bridge(portal: Portal, broker: str) -> "subprocess.Popen[str]":
    process = portal.manage("mqtt_bridge", "--url", broker, "--client-id", "bridge")
    assert "The bridge is up" in process.stdout.readline()
    return process


def test_nothing_is_lost_and_nothing_is_twice(portal: Portal, broker: str) -> None:
    first = bridge(portal, broker)
    fleet = portal.manage(
        "simulate", "--door=mqtt", f"--broker={broker}", "--devices=20", f"--days={DAYS}", "--scenario=faulty",
        f"--speed={DAYS * 86400 / SECONDS}", "--seed=1", "--verify",
    )  # fmt: skip
    said: list[str] = []
    listener = threading.Thread(target=lambda: said.extend(iter(fleet.stdout.readline, "")), daemon=True)
    listener.start()
    until(lambda: any("are registered" in line for line in said), 60, "the fleet's start")
    time.sleep(SECONDS / 2)
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    second = bridge(portal, broker)
    try:
        assert fleet.wait(150) == 0, "".join(said)
        listener.join(10)
        assert "20 units" in "".join(said)
        assert "nothing lost, nothing twice" in "".join(said)
    finally:
        second.terminate()
        second.wait(20)
