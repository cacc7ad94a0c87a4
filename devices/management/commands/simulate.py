"""manage.py simulate: a fleet of real clients of the portal, and whether it kept everything that they said.

The units enter the registry as a factory's list does, before the fleet starts; from then on they speak only over the wire.
"""

import argparse
import asyncio
import random
import secrets
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices import comparison, factory
from devices.models import DeviceModel
from devices.simulator import run
from devices.simulator.doors import NoAnswer, TurnedAway
from devices.simulator.fleet import Fleet
from devices.simulator.scenarios import SCENARIOS
from devices.simulator.unit import BEANS, CUPS, Unit

MODEL_ID = "SIMULATED-CREMA"
SLOTS = {
    BEANS: {"name": "Coffee beans", "sensor": "level", "measurement": "Percentage", "instance": "Beans.Hopper"},
    CUPS: {"name": "Cups", "sensor": "usage", "measurement": "Count", "instance": "Cups.Brewed"},
}


class Command(BaseCommand):
    help = (
        "A fleet of simulated units that talk to a running portal as real ones do, over HTTPS or MQTT. The simulated days end "
        "now, so what they say lies in the past. With --verify the command then looks into the database: nothing "
        "lost, nothing twice, or it fails."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
        parser.add_argument("--devices", type=_count, default=10, help="how many units")
        parser.add_argument("--days", type=_count, default=1, help="how many simulated days")
        parser.add_argument(
            "--speed", type=float, default=0.0, help="simulated seconds a second; 0: as fast as it goes"
        )
        parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="home")
        parser.add_argument("--door", choices=["http", "mqtt"], default="http")
        parser.add_argument("--portal", default=settings.PUBLIC_URL, help="the portal's address, for --door http")
        parser.add_argument("--broker", default=settings.MQTT_URL, help="the broker's address, for --door mqtt")
        parser.add_argument("--at-once", type=_count, default=32, help="uploads under way at the same time")
        parser.add_argument("--patience", type=float, default=120.0, help="seconds without an answer before it fails")
        parser.add_argument("--seed", type=int, default=None, help="the same habits and troubles again")
        parser.add_argument("--verify", action="store_true", help="compare what was said with what the portal holds")

    def handle(self, *args: Any, **options: Any) -> None:
        fleet = _fleet(options)
        _register(fleet.units)
        self.stdout.write(f"{len(fleet.units)} units are registered, {fleet.units[0].serial} and following.")
        try:
            asyncio.run(run.run(fleet, options["door"], options["portal"], options["broker"], self._say))
        except* (NoAnswer, TurnedAway) as failed:
            raise CommandError(f"The run was given up: {failed.exceptions[0]}") from failed
        self._sum_up(fleet)
        if options["verify"]:
            self._verify(fleet)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _sum_up(self, fleet: Fleet) -> None:
        self._say(fleet.progress())
        for name, number in sorted(fleet.counts.items()):
            self._say(f"  {name}: {number}")
        for refusal in fleet.refusals[:10]:
            self._say(self.style.ERROR(f"  refused: {refusal}"))

    def _verify(self, fleet: Fleet) -> None:
        found = comparison.compare((unit.serial, unit.said) for unit in fleet.units)
        self._say(str(found))
        if found.faults or fleet.refusals:
            raise CommandError("What the portal holds is not what was said.")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1")
    return int(text)


def _fleet(options: dict[str, Any]) -> Fleet:
    scenario, days = SCENARIOS[options["scenario"]], timedelta(days=options["days"])
    seed = options["seed"] if options["seed"] is not None else secrets.randbits(32)
    name, end = f"SIM-{secrets.token_hex(3).upper()}", datetime.now(UTC)
    units = [
        Unit(
            f"{name}-{number:05d}",
            secrets.token_urlsafe(32),
            scenario,
            random.Random(seed + number),  # noqa: S311 (habits, not secrets)
            end - days,
            end - days,
        )
        for number in range(options["devices"])
    ]
    return Fleet(units, None, end - days, end, options["speed"], options["at_once"], options["patience"], Counter())


def _register(units: list[Unit]) -> None:
    """As the factory would: its list, with keys that it brings."""
    model, _ = DeviceModel.objects.get_or_create(
        model_id=MODEL_ID,
        defaults={
            "name": "Simulated Crema",
            "manufacturer": "Nordkap Home",
            "description": "Espresso machine by Nordkap Home that exists only in a simulation",
            "display_category": "COFFEE_MAKER",
        },
    )
    for slot_id, facts in SLOTS.items():
        model.slots.get_or_create(slot_id=slot_id, defaults=facts)
    faults: list[Any] = []
    lines = ["serial,model,key,claim_code\n"]
    lines += [f"{unit.serial},{MODEL_ID},{unit.key},{secrets.token_hex(8).upper()}\n" for unit in units]
    try:
        factory.import_units(lines, on_fault=faults.append, on_secrets=lambda secrets: None)
    except factory.ImportRefused as refusal:
        raise CommandError(f"{refusal} {faults[:3]}") from refusal
