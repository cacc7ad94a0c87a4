"""A unit's key is changed without locking the unit out, and taken away at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import keys, remembered
from devices.models import Device


def works(machine: Any, key: str) -> bool:
    return keys.authenticate(machine.serial_number, key) is not None


def shown(machine: Any, key: str) -> Device:
    device = keys.authenticate(machine.serial_number, key)
    assert device is not None
    return device


def later(**delta: float) -> None:
    """As if so much time had passed."""
    for row in Device.objects.exclude(previous_key_until=None):
        Device.objects.filter(pk=row.pk).update(previous_key_until=row.previous_key_until - timedelta(**delta))


def test_the_right_key_finds_the_unit_with_its_model(machine: Any, django_assert_num_queries: Any) -> None:
    works(machine, machine.key)
    with django_assert_num_queries(1):
        assert shown(machine, machine.key).device_model.model_id == "CREMA-20"


def test_whatever_is_wrong_finds_nothing(machine: Any) -> None:
    right = machine.key
    for wrong in [("CRM20-0001", "x"), ("CRM20-9999", right), ("a\x00", right), ("", ""), ("CRM20-0001", "\ud800")]:
        assert keys.authenticate(*wrong) is None, wrong


def asked(serial: str, key: str) -> list[str]:
    remembered.forget()
    with CaptureQueriesContext(connection) as captured:
        assert keys.authenticate(serial, key) is None
    return [query["sql"].replace(serial, "…") for query in captured]


def test_a_wrong_key_and_an_unknown_unit_ask_the_same_of_the_database(machine: Any) -> None:
    assert asked("CRM20-0001", "wrong") == asked("CRM20-9999", "wrong") != []


def test_the_first_use_of_a_key_is_noted_once(machine: Any) -> None:
    with CaptureQueriesContext(connection) as asked:
        works(machine, machine.key)
        first = Device.objects.get().key_seen_at
        works(machine, machine.key)
    assert first is not None
    assert len([query for query in asked if query["sql"].startswith("UPDATE")]) == 1
    assert Device.objects.get().key_seen_at == first


def test_staff_gives_a_new_key_and_both_work_for_a_while(machine: Any) -> None:
    works(machine, machine.key)
    new = keys.rotate_key(machine)
    assert works(machine, machine.key)
    assert works(machine, new)
    later(days=8)
    assert not works(machine, machine.key)
    assert works(machine, new)


def test_a_second_new_key_does_not_lock_out_a_unit_that_never_got_the_first(machine: Any) -> None:
    works(machine, machine.key)
    first = keys.rotate_key(machine)
    second = keys.rotate_key(machine)
    assert works(machine, machine.key)
    assert works(machine, second)
    assert not works(machine, first)


def test_the_unit_asks_itself_and_may_ask_again_when_the_answer_was_lost(machine: Any) -> None:
    lost = keys.rotate_by_device(shown(machine, machine.key))
    later(days=400)
    got = keys.rotate_by_device(shown(machine, machine.key))
    assert not works(machine, lost)
    assert works(machine, got)


def test_the_old_key_ends_a_while_after_the_unit_has_shown_the_new_one(machine: Any) -> None:
    new = keys.rotate_by_device(shown(machine, machine.key))
    assert Device.objects.get().previous_key_until is None, "a unit may stay switched off for months"
    assert works(machine, new)
    assert works(machine, machine.key)
    later(days=8)
    assert not works(machine, machine.key)


def test_whoever_found_the_old_key_gets_no_new_one_with_it(machine: Any) -> None:
    new = keys.rotate_by_device(shown(machine, machine.key))
    works(machine, new)
    before = Device.objects.values().get()
    with pytest.raises(keys.RotationRefused):
        keys.rotate_by_device(shown(machine, machine.key))
    assert Device.objects.values().get() == before
    assert keys.rotate_by_device(shown(machine, new))


def test_a_key_revoked_while_the_unit_asks_gets_nothing(machine: Any) -> None:
    asking = shown(machine, machine.key)
    keys.revoke_keys(machine)
    with pytest.raises(keys.RotationRefused):
        keys.rotate_by_device(asking)


def test_a_unit_that_showed_no_key_gets_none(machine: Any) -> None:
    with pytest.raises(keys.RotationRefused):
        keys.rotate_by_device(Device.objects.get())


def test_revoking_ends_both_keys_at_once_and_twice_changes_nothing(machine: Any) -> None:
    works(machine, machine.key)
    new = keys.rotate_key(machine)
    keys.revoke_keys(machine)
    keys.revoke_keys(machine)
    assert not works(machine, machine.key)
    assert not works(machine, new)
    assert not works(machine, "0" * 64)


def test_after_a_revocation_staff_gives_a_new_key_and_no_old_one_comes_back(machine: Any) -> None:
    keys.revoke_keys(machine)
    new = keys.rotate_key(machine)
    assert works(machine, new)
    assert not works(machine, machine.key)
    assert Device.objects.get().previous_key_hash == ""


def test_keys_are_nowhere_readable(machine: Any) -> None:
    new = keys.rotate_key(machine)
    row = Device.objects.values().get()
    assert not any(secret in str(value) for value in row.values() for secret in (new, machine.key))
    assert row["key_changed_at"] <= timezone.now()


def test_a_unit_keeps_a_working_key_whatever_is_done_in_whichever_order(machine: Any) -> None:
    """Without a revocation, the key that the unit used last and has not replaced always opens the door."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    moves = st.lists(st.sampled_from(["staff", "lost", "asked", "used", "week"]), max_size=8)
    start = Device.objects.values().get()

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(moves)
    def play(steps: list[str]) -> None:
        Device.objects.update(**start)
        has = machine.key
        for step in steps:
            if step == "week":
                later(days=8) if Device.objects.get().key_seen_at else None
            elif step == "staff":
                works(machine, has)
                keys.rotate_key(machine)
            elif step in ("lost", "asked") and shown(machine, has).shown_key_hash == Device.objects.get().key_hash:
                made = keys.rotate_by_device(shown(machine, has))
                has = made if step == "asked" else has
            assert works(machine, has), steps

    play()
