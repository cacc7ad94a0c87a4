"""A real mosquitto for the tests, on a free port, in a folder of its own, stopped at the end."""

import json
import os
import queue
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTProtocolVersion
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

BINARY = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_broker = pytest.mark.skipif(
    BINARY is None, reason="mosquitto is not installed (Debian: apt-get install mosquitto)"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """mosquitto; `extra` are further lines of its configuration."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true") -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        settings = [
            f"listener {self.port} 127.0.0.1",
            extra,
            f"user {os.environ.get('USER', 'root')}",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "max_queued_messages 0",
        ]
        (folder / "mosquitto.conf").write_text("\n".join(settings) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Broker":
        assert BINARY
        self.process = subprocess.Popen(
            [BINARY, "-c", str(self.folder / "mosquitto.conf")],
            stdout=(self.folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
        )
        until(self._listens, "mosquitto to listen")
        return self

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=10)
            self.process = None

    def _listens(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Thing:
    """A device's own MQTT client: hears what is said on its shadow topics."""

    def __init__(self, url_port: int, name: str, lasting: bool = False, prefix: str = "$aws", **tls: Any) -> None:
        self.root, self.name, self.inbox = prefix, name, queue.Queue[tuple[str, Any]]()
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"thing-{name}", protocol=MQTTProtocolVersion.MQTTv5
        )
        if tls:
            self.client.tls_set(**tls)
        self.client.on_message = self._hear
        manner = Properties(PacketTypes.CONNECT)
        manner.SessionExpiryInterval = 600 if lasting else 0
        self.client.connect("127.0.0.1", url_port, clean_start=not lasting, properties=manner)
        self.client.loop_start()
        until(self.client.is_connected, "the thing to connect")
        granted = threading.Event()
        self.client.on_subscribe = lambda *_: granted.set()
        self.client.subscribe([(f"{self.prefix}{end}", 1) for end in ("update/+", "get/+")])
        assert granted.wait(40)

    @property
    def prefix(self) -> str:
        return f"{self.root}/things/{self.name}/shadow/"

    def say(self, verb: str, body: Any) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.client.publish(self.prefix + verb, raw, qos=1).wait_for_publish(5)

    def heard(self, verb: str, pump: Any, seconds: float = 40) -> Any:
        """The next message on that topic; `pump` keeps the bridge working meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pump()
            try:
                topic, body = self.inbox.get(timeout=0.05)
            except queue.Empty:
                continue
            if topic == self.prefix + verb:
                return body
        raise AssertionError(f"nothing on {verb} within {seconds} s")

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _hear(self, _: Any, __: Any, message: Any) -> None:
        self.inbox.put((message.topic, json.loads(message.payload)))


def until(condition: Any, what: str, seconds: float = 40) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")
