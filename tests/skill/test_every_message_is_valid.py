"""Models, slots, devices and states at random: whatever the registry can hold, every message about it is one that Alexa takes."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from devices.capabilities import CHOOSABLE
from devices.models.vocabulary import VOLUME_UNITS, WEIGHT_UNITS, DisplayCategory
from skill import endpoints, makes
from skill.alexa import discovery, interfaces, inventory, messages
from tests.effort import examples
from tests.oracle import Court, needs_schema

ID = "5b1c9b4e-2d0a-4b63-9c3e-aa10f4d2b003"
TOKEN = "Atza|0"
moments = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=128).filter(
    str.strip  # test_discovery.py holds that a blank one leaves the device out
)
identifiers = st.text("ABCxyz019._-", min_size=1, max_size=64)
amounts = st.decimals(0, 10**9, places=3)
measures = st.one_of(
    st.tuples(st.just("Percentage"), st.just(""), st.decimals(0, 100, places=3)),
    st.tuples(st.just("Count"), st.just(""), st.integers(0, 10**9).map(Decimal)),
    st.tuples(st.just("Volume"), st.sampled_from(VOLUME_UNITS), amounts),
    st.tuples(st.just("Weight"), st.sampled_from(WEIGHT_UNITS), amounts),
)
names = st.lists(st.tuples(words, st.sampled_from(["en-US", "de-DE", "ja-JP"])), min_size=1, max_size=4, unique=True)
stated = st.none() | st.booleans() | st.integers() | st.sampled_from(["ON", "OFF", "on", ""]) | st.just({"value": "ON"})


@st.composite
def units(draw: st.DrawFn) -> tuple[endpoints.Unit, list[tuple[inventory.Sensor, Decimal]]]:
    """A device of any model, and a figure for each of its slots."""
    slots = []
    for instance in draw(st.lists(identifiers, max_size=5, unique=True)):
        kind = draw(st.sampled_from(sorted(inventory.INTERFACES)))
        measurement, unit, value = draw(measures.filter(lambda m, k=kind: k != "usage" or m[0] != "Percentage"))  # type: ignore[misc]
        replenishment_id = draw(st.sampled_from(["", f"arn:{instance}"]))
        sensor = inventory.Sensor(instance, kind, measurement, unit, replenishment_id, tuple(draw(names)))
        slots.append((sensor, value))
    chosen = draw(st.sets(st.sampled_from(sorted(CHOOSABLE))))
    make = endpoints.Make(
        draw(words), draw(words), draw(words), draw(st.sampled_from(DisplayCategory.values)),
        tuple(sensor for sensor, _ in slots), makes.interfaces(json.dumps(sorted(chosen))),
    )  # fmt: skip
    levels = [
        endpoints.Level(sensor.instance, sensor.measurement, sensor.unit, value, draw(moments))
        for sensor, value in slots
        if sensor.kind == "level" and sensor.replenishment_id and draw(st.booleans())
    ]
    ownership = str(UUID(int=draw(st.integers(0, 2**128 - 1)), version=4))
    device = endpoints.Unit(
        1, ownership, draw(words), draw(identifiers), draw(st.just("") | words.map(lambda text: text[:64])),
        draw(st.booleans()), draw(st.none() | moments), make, levels, {"powerState": draw(stated)}, draw(st.none() | moments),
    )  # fmt: skip
    return device, slots


@settings(max_examples=examples(30), deadline=None)
@given(units(), moments, st.sampled_from(messages.CAUSES))
def test_every_message_about_any_device(drawn: Any, now: datetime, cause: str) -> None:
    device, slots = drawn
    court = Court()
    described = endpoints.describe(device)
    court.hear_answer(None, discovery.discover_response(ID, [described]))
    court.hear_event(discovery.add_or_update_report(ID, TOKEN, [described]))
    properties = endpoints.properties(device)
    court.hear_answer(None, messages.state_report(ID, "c0rr", device.endpoint_id, list(properties.values())))
    court.hear_answer(None, messages.response(ID, "c0rr", device.endpoint_id, list(properties.values())))
    for key, changed in properties.items():
        others = [item for other, item in properties.items() if other != key]
        court.hear_event(messages.change_report(ID, TOKEN, device.endpoint_id, cause, [changed], others))
    for sensor, amount in slots:
        if sensor.kind != "level" and sensor.replenishment_id:
            used = inventory.consumed(sensor.measurement, sensor.unit, amount, now)
            about = {"instance": sensor.instance, "endpoint_id": device.endpoint_id, "token": TOKEN}
            court.hear_event(messages.event(inventory.INTERFACES[sensor.kind], "InventoryConsumed", ID, used, **about))
    if any(interface.event_source for interface in device.make.interfaces):
        about = {"endpoint_id": device.endpoint_id, "token": TOKEN}
        press = messages.event(interfaces.DOORBELL, "DoorbellPress", ID, interfaces.pressed(now), **about)
        court.hear_event({"context": {}} | press)
    court.hear_event(discovery.delete_report(ID, TOKEN, [device.endpoint_id]))
    assert court.wrong == []
    assert endpoints.digest(device) == discovery.digest(described)
    assert properties.keys() >= {"connectivity"}
    assert len([key for key in properties if key.startswith("level:")]) == len(device.levels), "a level of 0 is a level"


def test_the_judges_can_condemn() -> None:
    """A check that cannot fail is none: each of the two, and the memory of what was announced."""
    needs_schema()
    court = Court()
    described = {"endpointId": "e", "capabilities": [{"type": "AlexaInterface", "interface": "Alexa", "version": "3"}]}
    court.announced["e"] = described
    level = inventory.level("Beans", "Percentage", "", Decimal(50), datetime(2026, 1, 1, tzinfo=UTC))
    court.hear_event(messages.change_report(ID, TOKEN, "e", "PERIODIC_POLL", [level], []))
    assert [violation for violation in court.wrong if "was not announced" in violation]
    court.wrong.clear()
    court.hear_event(messages.change_report(ID, TOKEN, "e", "BECAUSE", [level | {"uncertaintyInMilliseconds": -1}], []))
    assert [violation for violation in court.wrong if violation.startswith("schema:")]
    assert [violation for violation in court.wrong if "cause.type" in violation and not violation.startswith("schema:")]
