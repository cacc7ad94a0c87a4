"""A burst of signed messages at the real web process while the database is restarted: every message once in the end.

The sender does as SNS does: 200 is taken; 5xx, 429 and a broken connection are tried again; anything else is lost for ever, and
here a failure. BURST=20000 is the long form.
"""

import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from portal import embedded
from tests.notifications.signing_amazon import ARN, Amazon, as_body, as_headers, certificate_for, dash, far_side, pem
from tests.the_house import ROOT, free_port, until

MESSAGES = int(os.environ.get("BURST", "2000"))
DUPLICATES, CONNECTIONS = 0.2, 16
PREPARE = f"""
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from notifications import retention
from notifications.models import Topic
retention.tidy()
Topic.objects.create(arn="{ARN}", subscription="confirmed")
"""
PROCESS = """
import django, json; django.setup()
from celery import current_app
current_app.send_task = lambda *arguments, **options: None
from notifications import processing
from notifications.models import Message, MessageBody, Notification, Order
while processing.process_due():
    pass
print(json.dumps({
    "messages": sorted(Message.objects.values_list("message_id", flat=True)),
    "bodies": MessageBody.objects.count(), "notifications": Notification.objects.count(),
    "states": sorted(set(Message.objects.values_list("state", flat=True))), "orders": Order.objects.count(),
}))
"""


class Portal:
    """The web process alone, on a database of its own."""

    def __init__(self, folder: Path, mirror: str) -> None:
        self.folder, self.port = folder, free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST"))}
        self.environment = clean | {
            "EMBEDDED": "1", "DATA_DIR": str(folder), "SNS_CERTIFICATE_MIRROR": mirror, "LOG_LEVEL": "CRITICAL",
            "DJANGO_SETTINGS_MODULE": "portal.settings", "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def run(self, program: str) -> str:
        command = [sys.executable, "-c", program]
        return subprocess.run(
            command, env=self.environment, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout

    def serve(self) -> subprocess.Popen[bytes]:
        command = (
            f"-m granian --interface wsgi --host 127.0.0.1 --port {self.port} --workers 1 --blocking-threads 16 --no-ws"
        )
        process = subprocess.Popen(
            [sys.executable, *command.split(), "portal.wsgi:application"], env=self.environment, cwd=ROOT
        )
        until(self.is_there, 120, "the portal answers")
        return process

    def is_there(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/health/live", timeout=1).ok
        except requests.RequestException:
            return False


@pytest.fixture
def amazon() -> Amazon:
    made = Amazon()
    made.certificate = certificate_for(made.key, start=datetime.now(UTC) - timedelta(days=1))
    return made


@pytest.fixture
def portal(amazon: Amazon) -> Iterator[Portal]:
    folder = Path(tempfile.mkdtemp(prefix="portal-burst-"))
    (folder / "static").mkdir()
    with far_side() as side:
        side.body = pem(amazon.certificate)
        embedded.start(folder)  # durable: what is answered 200 must survive
        made = Portal(folder, side.url)
        made.run(PREPARE)
        process = made.serve()
        try:
            yield made
        finally:
            process.terminate()
            process.wait(60)
            embedded.remove(folder)


def deliveries(amazon: Amazon) -> list[dict[str, Any]]:
    """The messages in SNS's arbitrary order, every fifth one twice."""
    choose = random.Random(6)
    now = datetime.now(UTC)
    messages = [amazon.message(json.dumps(dash(order=f"order-{number}")), at=now) for number in range(MESSAGES)]
    together = messages + choose.sample(messages, int(MESSAGES * DUPLICATES))
    choose.shuffle(together)
    return together


def send(portal: Portal, waiting: "queue.Queue[dict[str, Any]]", answers: Counter[str]) -> None:
    """One of SNS's connections."""
    with requests.Session() as session:
        while True:
            try:
                message = waiting.get_nowait()
            except queue.Empty:
                return
            while (answer := post(portal, session, message)) != "200":
                answers[answer] += 1
                if answer not in {"500", "502", "503", "429", "broken"}:
                    return
                time.sleep(0.2)
            answers["200"] += 1


def post(portal: Portal, session: requests.Session, message: dict[str, Any]) -> str:
    try:
        address = f"http://127.0.0.1:{portal.port}/sns/"
        return str(session.post(address, as_body(message), headers=as_headers(message), timeout=15).status_code)
    except requests.RequestException:
        return "broken"


def restart_database(portal: Portal, waiting: "queue.Queue[dict[str, Any]]", total: int) -> None:
    """Once, in the middle of the burst: stopping it takes as long as a part of the burst."""
    until(lambda: waiting.qsize() < total * 0.9, 300, "a tenth of the burst is sent")
    embedded.stop(portal.folder, "immediate")
    time.sleep(4)  # longer than the portal waits for a connection: some must hear 503
    embedded.start(portal.folder)


def test_every_message_is_stored_exactly_once(portal: Portal, amazon: Amazon) -> None:
    sent = deliveries(amazon)
    waiting: queue.Queue[dict[str, Any]] = queue.Queue()
    [waiting.put(message) for message in sent]
    answers: Counter[str] = Counter()
    threads = [threading.Thread(target=send, args=[portal, waiting, answers]) for _ in range(CONNECTIONS)]
    started = time.monotonic()
    [thread.start() for thread in threads]
    restart_database(portal, waiting, len(sent))
    [thread.join() for thread in threads]
    print(f"{len(sent)} deliveries in {time.monotonic() - started:.1f} s: {dict(answers)}")
    assert set(answers) <= {"200", "503", "broken"}
    assert answers["200"] == len(sent)
    assert answers["503"] + answers["broken"] > 0
    found = json.loads(portal.run(PROCESS))
    assert found == {
        "messages": sorted({message["MessageId"] for message in sent}),
        "bodies": MESSAGES,
        "notifications": MESSAGES,
        "states": ["done"],
        "orders": MESSAGES,
    }
