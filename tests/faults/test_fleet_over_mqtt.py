"""Twenty faulty machines for a day over MQTT, while the bridge is killed twice: nothing lost, nothing twice."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal import embedded
from tests.devices.broker import Broker, needs_broker
from tests.the_house import ROOT, until

pytestmark = [needs_broker, pytest.mark.xdist_group("the fleet")]
SECONDS = 10  # real ones, for a day


class Place:
    """The database, the broker and one bridge: nothing else is needed for a unit on MQTT."""

    def __init__(self, folder: Path) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST", "DATA_DIR"))}
        self.environment = clean | {"EMBEDDED": "1", "DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
        self.broker, self.log = Broker(folder / "mosquitto"), folder / "bridge.log"

    def manage(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "manage.py", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, text=True, **pipes)

    def start_bridge(self) -> None:
        self.log.unlink(missing_ok=True)
        command = [sys.executable, "manage.py", "mqtt_bridge", "--url", self.broker.url, "--client-id", "the-bridge"]
        with self.log.open("wb") as output:
            self.bridge = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=output, stderr=output)
        until(lambda: "connected as the-bridge" in self.log.read_text(), 60, "the bridge to connect")

    def kill_bridge(self) -> None:
        self.bridge.send_signal(signal.SIGKILL)
        self.bridge.wait(10)


@pytest.fixture
def place() -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="portal-mqtt-fleet-"))
    place = Place(folder)
    embedded.start(folder)
    try:
        for command in (["migrate", "-v0"], ["createcachetable"]):
            assert place.manage(*command).wait(120) == 0
        place.broker.start()
        place.start_bridge()
        yield place
    finally:
        place.kill_bridge()
        place.broker.stop()
        embedded.remove(folder)
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_nothing_is_lost_and_nothing_is_twice_over_mqtt(place: Place) -> None:
    options = ["--devices=20", "--days=1", f"--speed={86400 / SECONDS}", "--scenario=faulty", "--seed=2", "--verify"]
    fleet = place.manage("simulate", "--door=mqtt", f"--broker={place.broker.url}", *options)
    said: list[str] = []
    listener = threading.Thread(target=lambda: said.extend(iter(fleet.stdout.readline, "")), daemon=True)
    listener.start()
    until(lambda: any("are registered" in line for line in said), 60, "the fleet's start")
    for _ in range(2):
        time.sleep(SECONDS / 4)
        place.kill_bridge()
        time.sleep(0.5)
        place.start_bridge()
    assert fleet.wait(150) == 0, "".join(said)
    listener.join(10)
    assert "nothing lost, nothing twice" in "".join(said)
