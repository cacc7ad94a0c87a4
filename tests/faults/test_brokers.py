"""Two real delivery workers and two beats on each broker: everything is told, once. And without any broker or beat, by themselves."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from devices import registry
from skill import linking
from skill.models import Endpoint
from tests.faults.test_two_workers import wait_for_rest
from tests.skill.amazon_far_side import Amazon
from tests.skill.deeds import reading
from tests.the_house import ROOT, free_port, until

pytestmark = pytest.mark.django_db(transaction=True)
MACHINES, PATIENCE = 40, 180
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Amazon]:
    from celery import current_app

    monkeypatch.setattr(current_app, "send_task", lambda *arguments, **options: None)
    far_side = Amazon()
    yield far_side
    far_side.stop()


@pytest.fixture
def machines(crema: Any, django_user_model: Any, amazon: Amazon) -> list[Any]:
    """Each of another customer, linked, read once, and due."""
    found = []
    for number in range(MACHINES):
        user = django_user_model.objects.create(email=f"customer{number}@example.com")
        device, _, code = registry.register(f"CRM20-{number:04d}", crema)
        found.append(registry.claim(user, device.serial_number, code))
        tokens = amazon.tokens()
        linking._store_grant(user, "NA", f"hash {number}", linking.lwa.Tokens(tokens["access_token"], "Atzr|", 3600))
        reading(found[-1], 50, 1)
    Endpoint.objects.update(due_at=Now())
    return found


@pytest.fixture(params=["filesystem", "redis"])
def broker(request: pytest.FixtureRequest) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Its address, and how it is lost."""
    folder = Path(tempfile.mkdtemp(prefix="portal-broker-"))
    if request.param == "filesystem":
        own = Path(os.environ["DATA_DIR"]) / "broker"
        yield "filesystem://", lambda: [message.unlink(missing_ok=True) for message in own.glob("messages/*")]
        shutil.rmtree(own, ignore_errors=True)
    else:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        yield f"redis://127.0.0.1:{port}/0", server.kill
        server.kill()
        server.wait()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(amazon: Amazon, broker: tuple[str, Any]) -> Iterator[Start]:
    """Start one of Celery's processes; all of them are ended afterwards."""
    processes: list[subprocess.Popen[bytes]] = []
    addresses = amazon.settings()
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "portal.settings", "PGDATABASE": str(connection.settings_dict["NAME"]), "PYTHONPATH": str(ROOT),
        "LWA_TOKEN_URL": addresses["LWA_TOKEN_URL"], "EVENT_GATEWAY_NA": addresses["EVENT_GATEWAYS"]["NA"],
        "REPORT_MIN_INTERVAL": "0.001", "REPORT_SETTLING": "0.1", "DELIVERY_SWEEP": "0.5", "LOG_LEVEL": "ERROR",
        "CELERY_BROKER_URL": broker[0],
    }  # fmt: skip

    def begin(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "ignore", "-m", "celery", "--quiet", "-A", "tests.faults.quick_worker", *words]
        processes.append(subprocess.Popen(command, env=environment, cwd=ROOT))
        return processes[-1]

    yield begin
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()


def worker(start: Start, name: str) -> subprocess.Popen[bytes]:
    options = (
        "--queues",
        "delivery",
        "--pool",
        "solo",
        "--without-mingle",
        "--without-gossip",
        "--loglevel",
        "CRITICAL",
    )
    return start("worker", *options, "--hostname", f"{name}@%h")


def reports(amazon: Amazon) -> Counter[str]:
    return Counter(event["event"]["endpoint"]["endpointId"] for event in amazon.named("ChangeReport"))


def test_two_workers_and_two_beats_and_then_no_beat_and_no_broker(
    machines: list[Any], amazon: Amazon, broker: tuple[str, Callable[[], Any]], start: Start
) -> None:
    names = {str(machine.ownership) for machine in machines}
    both = [worker(start, "a"), worker(start, "b")]
    beats = [start("beat", "--loglevel", "CRITICAL", "--pidfile=") for _ in range(2)]
    until(lambda: reports(amazon).keys() == names, PATIENCE, "every machine is reported")
    wait_for_rest(PATIENCE)
    assert set(reports(amazon).values()) == {1}, "told twice, though nothing went wrong"

    for beat in beats:
        beat.kill()
    broker[1]()
    for machine in machines:
        reading(machine, 40, 2)
    until(lambda: set(reports(amazon).values()) == {2}, PATIENCE, "the workers look by themselves")
    wait_for_rest(PATIENCE)

    until((Path(os.environ["DATA_DIR"]) / f"ready.{both[0].pid}").exists, PATIENCE, "it has started")
    both[0].terminate()
    assert both[0].wait(PATIENCE) == 0, "asked to end, it ends, broker or not"
