"""Desired, reported, delta: Alice switches her machine off while it is away."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import documents, registry, shadow, talkback
from devices.models import Device, Door, Shadow
from devices.signals import endpoint_changed
from tests.devices.together import at_once
from tests.effort import examples


@pytest.fixture
def heard() -> Iterator[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []

    def listen(**signal: Any) -> None:
        found.append({"device_ids": signal["device_ids"], "what": signal["what"]})

    endpoint_changed.connect(listen)
    yield found
    endpoint_changed.disconnect(listen)


def test_a_wish_becomes_a_delta_until_the_machine_reports_it(machine: Device) -> None:
    row = shadow.desire(machine, {"powerState": "OFF", "light": {"left": 3, "right": 4}})
    assert (row.version, shadow.delta(row)) == (1, {"powerState": "OFF", "light": {"left": 3, "right": 4}})
    row = shadow.update(machine, reported={"powerState": "ON", "light": {"left": 3}})
    assert (row.version, shadow.delta(row)) == (2, {"powerState": "OFF", "light": {"right": 4}})
    row = shadow.update(machine, reported={"powerState": "OFF", "light": {"right": 4}})
    assert shadow.delta(row) == {}
    assert shadow.read(machine).version == 3


def test_the_same_again_changes_nothing(machine: Device) -> None:
    for _ in range(2):
        assert shadow.desire(machine, {"powerState": "OFF"}).version == 1
    assert shadow.update(machine, desired={"powerState": "OFF"}, version=0).version == 1


def test_null_removes_a_key_and_leaves_the_others(machine: Device) -> None:
    shadow.desire(machine, {"a": 1, "b": {"c": 2, "d": 3}})
    assert shadow.desire(machine, {"a": None, "b": {"c": None}}).desired == {"b": {"d": 3}}


def test_a_writer_that_saw_an_older_version_is_told_the_present_one(machine: Device) -> None:
    shadow.desire(machine, {"powerState": "OFF"})
    with pytest.raises(shadow.VersionConflict) as conflict:
        shadow.update(machine, reported={"powerState": "ON"}, version=0)
    assert conflict.value.version == 1
    assert shadow.read(machine).reported == {}
    assert shadow.update(machine, reported={"powerState": "ON"}, version=1).version == 2


def test_a_new_owner_sees_nothing_of_the_old(machine: Device, bob: Any) -> None:
    shadow.update(machine, desired={"name": "Alice's secret kitchen"}, reported={"wifi": "alice"}, door=Door.MQTT)
    freed = registry.release(machine)
    assert shadow.read(freed).desired == {}
    assert talkback.claim(Door.MQTT) == [], "the former owner's wishes are not told"
    row = shadow.update(freed, reported={"powerState": "ON"})
    assert (row.desired, row.reported) == ({}, {"powerState": "ON"})
    assert row.version > 1


def test_what_was_said_while_nobody_owned_it_stays(crema: Any, alice: Any) -> None:
    device, _, code = registry.register("CRM20-0009", crema)
    shadow.update(device, desired={"language": "de"}, reported={"powerState": "ON"}, door=Door.MQTT)
    claimed = registry.claim(alice, "CRM20-0009", code)
    assert len(talkback.claim(Door.MQTT)) == 1
    row = shadow.update(claimed, reported={"temperature": 90})
    assert (row.desired, row.reported) == ({"language": "de"}, {"powerState": "ON", "temperature": 90})
    assert row.ownership == claimed.ownership


def test_another_name_is_wished_of_the_machine_and_forgotten_with_its_owner(machine: Device) -> None:
    shadow.update(machine, reported={"powerState": "ON"}, door=Door.MQTT)
    named = registry.rename(machine, "Kitchen")
    [entry] = talkback.claim(Door.MQTT)
    assert shadow.delta(entry.shadow) == {"name": "Kitchen"}
    talkback.settle(entry)
    registry.release(named)
    assert Shadow.objects.get().desired == {}
    assert Shadow.objects.get().due_at is None


def test_another_power_state_is_signalled_once(machine: Device, heard: list[Any]) -> None:
    for power in ("ON", "ON", "OFF"):
        shadow.update(machine, reported={"powerState": power, "temperature": 90})
    shadow.update(machine, reported={"temperature": 91})
    assert heard == [{"device_ids": [machine.pk], "what": "power"}] * 2


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"a": "\x00"}, "NUL"),
        ({"a": "\ud800"}, "surrogate"),
        ({"a": Decimal("NaN")}, "number"),
        ({"a": Decimal("1e400")}, "number"),
        ({"a": 2**63}, "number"),
        ({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}}, "nested"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(state: Any, word: str) -> None:
    with pytest.raises(shadow.ShadowRefused, match=word):
        shadow.plain(state)


def test_numbers_stay_numbers() -> None:
    kept = shadow.plain({"whole": Decimal("3.0"), "part": Decimal("42.1"), "yes": True})
    assert kept == {"whole": 3, "part": 42.1, "yes": True}
    assert isinstance(kept["whole"], int)
    assert shadow.plain({"microseconds": 1795255200000000, "most": 2**63 - 1})["most"] == 2**63 - 1


def test_a_state_is_at_most_8_kilobytes(machine: Device) -> None:
    with pytest.raises(shadow.ShadowRefused, match="8192"):
        shadow.update(machine, reported={"text": "x" * 8200})


def test_a_machine_that_says_much_can_still_be_named_and_switched(machine: Device) -> None:
    shadow.update(machine, reported={"text": "x" * 8170})
    named = registry.rename(machine, "Kitchen")
    assert shadow.desire(named, {"powerState": "OFF"}).desired == {"name": "Kitchen", "powerState": "OFF"}


def test_a_machine_that_wishes_much_can_still_be_named_and_switched(machine: Device) -> None:
    """Its own wishes leave room for a name of 128 of the widest letters; what it then takes back is taken."""
    most = shadow.LARGEST_STATE - shadow.LEFT_FREE - len('{"text":"","more":1}')
    with pytest.raises(shadow.ShadowRefused, match="7168"):
        shadow.update(machine, desired={"text": "x" * (most + 1), "more": 1}, door=Door.MQTT)
    shadow.update(machine, desired={"text": "x" * most, "more": 1}, door=Door.MQTT)
    named = registry.rename(machine, "\U00020000" * 128)
    shadow.desire(named, {"powerState": "OFF"})
    with pytest.raises(shadow.ShadowRefused, match="7168"):
        shadow.update(named, desired={"name": "y" * 1000}, door=Door.MQTT)
    row = shadow.update(named, desired={"more": None}, reported={"powerState": "OFF"}, door=Door.MQTT)
    assert row.desired.keys() == {"text", "name", "powerState"}


@pytest.mark.parametrize("section", ["desired", "reported"])
def test_null_in_place_of_a_section_removes_all_of_it(machine: Device, section: str) -> None:
    shadow.update(machine, desired={"light": "dim"}, reported={"powerState": "ON", "wifi": {"dbm": -60}})
    said = documents.parse({"state": {section: None}})
    heard = documents.hear(machine, said, timezone.now(), Door.MQTT)
    assert documents.accepted(said, heard, timezone.now())["state"] == {section: None}
    row = shadow.read(machine)
    assert {"desired": row.desired, "reported": row.reported}[section] == {}
    assert (row.desired, row.reported) != ({}, {})
    assert documents.hear(machine, said, timezone.now(), Door.MQTT).row.version == row.version


def test_true_is_not_one() -> None:
    assert shadow.difference({"a": True}, {"a": 1}) == {"a": True}


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.none() | st.integers(0, 3)), min_size=1, max_size=6
    ),
    st.randoms(use_true_random=False),
)
def test_reports_of_aws_may_come_in_any_order_and_twice(reports: list[Any], chance: Any) -> None:
    """Each leaf ends as the report with the highest version said."""
    patches = [({first: {second: value}}, number) for number, (first, second, value) in enumerate(reports, 1)]
    shuffled = patches * 2
    chance.shuffle(shuffled)
    in_order, any_order = ({}, {}), ({}, {})
    for (state, marks), said in ((in_order, patches), (any_order, shuffled)):
        for patch, mark in said:
            merged = shadow._merged_forward(state, marks, patch, mark)
            state.clear()
            state.update(merged)
    leaves = [
        {(first, second): value for first, inner in state.items() for second, value in inner.items()}
        for state, _ in (in_order, any_order)
    ]
    assert leaves[0] == leaves[1]


def test_what_is_due_is_told_once_and_not_to_two(machine: Device) -> None:
    shadow.update(machine, desired={"powerState": "OFF"}, door=Door.MQTT)
    [entry] = talkback.claim(Door.MQTT)
    assert (entry.serial, entry.shadow.desired) == ("CRM20-0001", {"powerState": "OFF"})
    assert talkback.claim(Door.MQTT) == []
    assert talkback.claim(Door.AWS) == []
    assert talkback.settle(entry)
    assert talkback.claim(Door.MQTT) == []
    assert not talkback.settle(entry), "the lease is gone"


def test_what_moved_while_it_was_told_is_due_again(machine: Device) -> None:
    shadow.update(machine, desired={"powerState": "OFF"}, door=Door.MQTT)
    [entry] = talkback.claim(Door.MQTT)
    shadow.desire(machine, {"powerState": "ON"})
    talkback.settle(entry)
    [again] = talkback.claim(Door.MQTT)
    assert again.shadow.desired == {"powerState": "ON"}


def test_a_failure_waits_and_a_lost_lease_runs_out(machine: Device) -> None:
    shadow.update(machine, desired={"powerState": "OFF"}, door=Door.MQTT)
    [entry] = talkback.claim(Door.MQTT)
    assert talkback.postpone(entry, "the broker did not take it")
    row = Shadow.objects.get()
    assert (row.attempts, row.lease) == (1, None)
    assert timedelta(seconds=3) < row.due_at - timezone.now() < timedelta(seconds=8)
    assert talkback.claim(Door.MQTT) == []
    Shadow.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    [crashed] = talkback.claim(Door.MQTT)
    Shadow.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    [heir] = talkback.claim(Door.MQTT)
    assert not talkback.settle(crashed), "who overran the lease touches nothing"
    assert talkback.settle(heir)


def test_a_new_wish_does_not_wait_for_the_failure_of_the_old_one(machine: Device) -> None:
    def failed_often() -> talkback.Claimed:
        Shadow.objects.update(due_at=timezone.now(), attempts=9)
        [entry] = talkback.claim(Door.MQTT)
        return entry

    shadow.update(machine, desired={"powerState": "OFF"}, door=Door.MQTT)
    talkback.postpone(failed_often(), "the broker did not take it")
    shadow.desire(machine, {"powerState": "OFF"})
    shadow.update(machine, reported={"temperature": 90}, door=Door.MQTT)
    assert talkback.claim(Door.MQTT) == [], "nothing new is wished"
    shadow.desire(machine, {"powerState": "ON"})
    assert Shadow.objects.get().attempts == 0
    [entry] = talkback.claim(Door.MQTT)
    talkback.settle(entry)
    under_way = failed_often()
    shadow.desire(machine, {"powerState": "OFF"})
    talkback.postpone(under_way, "the broker did not take it")
    [again] = talkback.claim(Door.MQTT)
    assert again.shadow.desired == {"powerState": "OFF"}


def test_a_machine_behind_https_is_not_told_it_asks(machine: Device) -> None:
    shadow.update(machine, desired={"powerState": "OFF"}, door=Door.HTTPS)
    assert Shadow.objects.get().due_at is None


@pytest.mark.django_db(transaction=True)
def test_wishes_from_many_threads_lose_nothing(machine: Device) -> None:
    def wish(number: int) -> None:
        for step in range(5):
            shadow.desire(machine, {f"key{number}": step})

    at_once([lambda n=number: wish(n) for number in range(6)])
    row = shadow.read(machine)
    assert row.desired == {f"key{number}": 4 for number in range(6)}
    assert row.version == 30
