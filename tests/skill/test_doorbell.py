"""The doorbell: after commit, coalesced, and never a burden to whoever rings, whatever is wrong with the broker."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, current_app
from django.db import transaction

from skill import doorbell

pytestmark = pytest.mark.django_db(transaction=True)


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 15
    while time.monotonic() < end and not condition():
        time.sleep(0.01)
    return condition()


@pytest.fixture(autouse=True)
def quiet(silent_doorbell: list[str]) -> None:
    """What other tests rang is heard."""
    time.sleep(2 * doorbell.QUIET)
    silent_doorbell.clear()


def test_it_rings_after_the_commit_by_name(silent_doorbell: list[str]) -> None:
    with transaction.atomic():
        doorbell.ring()
        time.sleep(0.2)
        assert silent_doorbell == []
    assert until(lambda: silent_doorbell == ["skill.deliver"])


def test_a_rollback_rings_nothing(silent_doorbell: list[str]) -> None:
    with transaction.atomic():
        doorbell.ring()
        transaction.set_rollback(True)
    time.sleep(0.2)
    assert silent_doorbell == []


def test_a_burst_is_a_few_rings_and_its_end_is_heard(monkeypatch: Any) -> None:
    heard: list[float] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: heard.append(time.monotonic()))
    for _ in range(300):
        doorbell.ring()
        time.sleep(0.001)
    last = time.monotonic()
    assert until(lambda: bool(heard) and heard[-1] >= last - 0.01)
    assert len(heard) <= 8


def test_it_expires(monkeypatch: Any) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: sent.append(options))
    doorbell.ring()
    assert until(lambda: bool(sent))
    assert sent[0] == {"queue": "delivery", "expires": 10, "ignore_result": True, "retry": False}


def test_a_broker_that_hangs_delays_nobody(monkeypatch: Any) -> None:
    enough = threading.Event()
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: enough.wait(20))
    started = time.monotonic()
    for _ in range(50):
        with transaction.atomic():
            doorbell.ring()
    assert time.monotonic() - started < 10
    enough.set()


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "redis://10.255.255.1:6379/0", "amqp://127.0.0.1:1//", "amqp://10.255.255.1//"]
)
def test_a_broker_out_of_reach_fails_nothing_and_delays_nobody(monkeypatch: Any, url: str) -> None:
    if url.startswith("redis"):
        pytest.importorskip("redis", reason="the client library of Redis is not installed")
    elsewhere = Celery("elsewhere", broker=url, set_as_current=False)
    elsewhere.conf.broker_transport_options = {
        "socket_connect_timeout": 2,
        "socket_timeout": 2,
        "connect_timeout": 2,
    }
    tried: list[bool] = []

    def send(name: str, **options: Any) -> None:
        tried.append(True)
        elsewhere.send_task(name, **options)

    monkeypatch.setattr(current_app, "send_task", send)
    doorbell._forget()  # the ringer may still be waiting for another test's broker
    started = time.monotonic()
    with transaction.atomic():
        doorbell.ring()
    assert time.monotonic() - started < 1.9
    assert until(lambda: bool(tried))


def test_a_forked_process_rings_too() -> None:
    """A worker that was forked from one that has rung before has no ringer; it makes its own."""
    program = (
        "import os, time; from celery import current_app; from skill import doorbell\n"
        "current_app.send_task = lambda *a, **k: None\n"
        "doorbell._ask(); time.sleep(0.3)\n"
        "heard = []\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    current_app.send_task = lambda *a, **k: heard.append(1)\n"
        "    doorbell._ask(); time.sleep(0.3); os._exit(0 if heard else 1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30).returncode == 0
