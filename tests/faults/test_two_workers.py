"""Two real delivery processes, two hundred machines that are used all the time, one SIGKILL: nothing is lost, and only what the killed
process had not settled may be told twice. (The short form.)"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from django.utils import timezone

from devices import registry
from devices.inventory import Measurement, record_reading
from devices.models import Inventory
from portal.sandbox import checker
from skill import linking
from skill.models import Endpoint, Event
from tests import oracle
from tests.skill.amazon_far_side import Amazon
from tests.the_house import until

pytestmark = pytest.mark.django_db(transaction=True)
CUSTOMERS, MACHINES_EACH, PATIENCE = 20, 10, 180
LEASE, TIMEOUT = 16, 8  # a request that a busy machine answers late would be told twice though nobody was killed
PROGRAM = f"""
import django, time
django.setup()
from celery import current_app
current_app.send_task = lambda *arguments, **options: None
from skill import claims, delivery, gateway
claims.LEASE_SECONDS, gateway.TIMEOUT_SECONDS, delivery.LINGER_SECONDS = {LEASE}, {TIMEOUT}, 0.2
while True:
    delivery.deliver(1)
    time.sleep(0.02)
"""


class Household:
    """Everybody's machines and what was done with them."""

    def __init__(self, machines: list[Any]) -> None:
        self.machines = machines
        self.sequences: dict[int, int] = defaultdict(int)

    def used(self) -> int:
        return sum(list(self.sequences.values()))

    def use_one(self, choose: random.Random, mine: list[Any]) -> None:
        """Brew: the beans' level changes, and now and then a pod is used."""
        machine = choose.choice(mine)
        self.sequences[machine.pk] += 1
        sequence = self.sequences[machine.pk]
        done = [Measurement("beans", sequence, Decimal(choose.randint(0, 100_000)) / 1000, None)]
        if sequence % 3 == 0:
            done.append(Measurement("pods", sequence, Decimal(sequence), None))
        record_reading(machine, done, timezone.now())


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Amazon]:
    from celery import current_app

    monkeypatch.setattr(current_app, "send_task", lambda *arguments, **options: None)
    far_side = Amazon(lambda event: checker.violations(event, over="gateway"))
    yield far_side
    far_side.stop()
    for event in far_side.events[
        :: len(far_side.events) // 50 + 1
    ]:  # the schema is too slow to be asked before each answer
        far_side.wrong += oracle.about_schema({key: event[key] for key in event if not key.startswith("_")})
    assert far_side.wrong == []


@pytest.fixture
def household(crema: Any, django_user_model: Any, amazon: Amazon) -> Household:
    crema.slots.create(
        slot_id="pods", name="P", sensor="usage", measurement="Count", instance="P", replenishment_id="a"
    )
    machines = []
    for number in range(CUSTOMERS):
        user = django_user_model.objects.create(email=f"customer{number}@example.com")
        for other in range(MACHINES_EACH):
            device, _, code = registry.register(f"CRM20-{number:02d}{other:02d}", crema)
            machines.append(registry.claim(user, device.serial_number, code))
        tokens = amazon.tokens()
        linking._store_grant(user, "NA", f"hash {number}", linking.lwa.Tokens(tokens["access_token"], "Atzr|", 3600))
    Endpoint.objects.update(due_at=Now())
    return Household(machines)


@pytest.fixture
def start(amazon: Amazon) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start a delivery process; all of them are ended afterwards."""
    processes: list[subprocess.Popen[bytes]] = []
    addresses = amazon.settings()
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "PGDATABASE": str(connection.settings_dict["NAME"]),
        "LWA_TOKEN_URL": addresses["LWA_TOKEN_URL"],
        "EVENT_GATEWAY_NA": addresses["EVENT_GATEWAYS"]["NA"],
        "REPORT_MIN_INTERVAL": "0.1",
        "REPORT_SETTLING": "0.1",
        "LOG_LEVEL": "WARNING",
    }

    def begin() -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def use_them(household: Household, enough: threading.Event) -> list[threading.Thread]:
    """Two customers' worth of hands, each with machines of their own, so that sequences rise."""

    def hands(mine: list[Any], seed: int) -> None:
        choose = random.Random(seed)
        while not enough.is_set():
            household.use_one(choose, mine)
        connections.close_all()

    threads = [threading.Thread(target=hands, args=(household.machines[part::2], part)) for part in range(2)]
    [thread.start() for thread in threads]
    return threads


def at_rest() -> bool:
    unsettled = Endpoint.objects.exclude(changed={}) | Endpoint.objects.filter(due_at__lte=Now())
    return not unsettled.exists() and not Event.objects.filter(status="pending").exists()


def wait_for_rest(seconds: float) -> None:
    end = time.monotonic() + seconds
    while not at_rest():
        assert time.monotonic() < end, "delivery does not come to rest"
        time.sleep(0.1)


def newest_levels(amazon: Amazon) -> dict[str, float]:
    """By endpointId, the level that Amazon accepted last."""
    return {
        report["event"]["endpoint"]["endpointId"]: item["value"]["value"]
        for report in amazon.named("ChangeReport")
        for item in report["event"]["payload"]["change"]["properties"]
        if item["name"] == "level"
    }


def told_ids(amazon: Amazon) -> list[str]:
    return [event["event"]["header"]["messageId"] for event in amazon.named("InventoryConsumed")]


def test_nothing_is_lost(household: Household, amazon: Amazon, start: Callable[[], subprocess.Popen[bytes]]) -> None:
    victim = start()
    start()
    wait_for_rest(PATIENCE)  # everything is announced
    hands = use_them(household, enough := threading.Event())
    until(lambda: household.used() > 500 and len(told_ids(amazon)) > 50, PATIENCE, "much is done and told")
    told_before = told_ids(amazon)
    before = len(told_before) - len(set(told_before))
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    left_behind = {str(pk) for pk in Endpoint.objects.exclude(lease=None).values_list("endpoint_id", flat=True)}
    start()
    so_far = household.used()
    until(lambda: household.used() > so_far + 500, PATIENCE, "much more is done")
    enough.set()
    [hand.join() for hand in hands]
    wait_for_rest(PATIENCE)

    assert before == 0, "told twice although nothing had gone wrong"
    levels = Inventory.objects.filter(slot__slot_id="beans").select_related("device")
    truth = {str(row.device.ownership): float(row.value) for row in levels}
    assert len(truth) > 80, "too little was done to prove anything"
    assert newest_levels(amazon) == truth
    assert set(told_ids(amazon)) == {str(pk) for pk in Event.objects.values_list("message_id", flat=True)}
    assert set(Event.objects.values_list("status", flat=True)) == {"sent"}
    first_times: dict[str, list[int]] = defaultdict(list)
    seen: set[str] = set()
    for event in amazon.named("InventoryConsumed"):
        endpoint, name = event["event"]["endpoint"]["endpointId"], event["event"]["header"]["messageId"]
        assert name not in seen or endpoint in left_behind, "told twice by a process that nobody killed"
        if name not in seen:
            first_times[endpoint].append(event["event"]["payload"]["usage"]["value"])
        seen.add(name)
    assert all(values == sorted(values) for values in first_times.values()), "out of order"
