"""How a unit enters the registry and changes hands, and what a stranger learns by trying: nothing."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import override_settings
from django.utils import timezone

from devices import attempts, registry
from devices.models import AttemptCount, Device
from devices.signals import endpoint_changed

KEY = "a-key-that-the-factory-made-itself"


@pytest.fixture
def told() -> Iterator[list[tuple[list[int], str]]]:
    calls: list[tuple[list[int], str]] = []

    def listen(device_ids: list[int], what: str, **_: Any) -> None:
        calls.append((device_ids, what))

    endpoint_changed.connect(listen)
    yield calls
    endpoint_changed.disconnect(listen)


def test_a_registered_unit_has_a_key_and_a_code_that_are_nowhere_readable(crema: Any, told: list[Any]) -> None:
    _, key, code = registry.register("CRM20-0001", crema)
    row = Device.objects.get()
    assert (row.serial_number, row.owner, row.ownership, row.name) == ("CRM20-0001", None, None, "Crema 20")
    assert len(key) == 43
    assert len(code) == 8
    assert set(code) <= set(registry.CLAIM_ALPHABET)
    assert not any(secret in str(value) for value in vars(row).values() for secret in (key, code))
    assert told == []


def test_two_units_have_different_secrets(crema: Any) -> None:
    one, two = (registry.register(f"CRM20-000{n}", crema) for n in (1, 2))
    assert one.key != two.key
    assert one.claim_code != two.claim_code
    assert one.device.key_hash != two.device.key_hash


def test_the_same_code_on_two_boxes_is_kept_differently(crema: Any) -> None:
    one, two = (registry.register(f"CRM20-000{n}", crema, claim_code="ABCD2345").device for n in (1, 2))
    assert one.claim_code_hash != two.claim_code_hash


def test_registering_the_same_unit_again_changes_nothing(crema: Any) -> None:
    first = registry.register("CRM20-0001", crema, key=KEY, claim_code="ABCD-2345")
    again = registry.register("CRM20-0001", crema, key=KEY, claim_code="abcd2345")
    assert again == first
    assert Device.objects.count() == 1


def test_a_serial_number_registered_otherwise_is_refused(crema: Any) -> None:
    secrets = {"key": KEY, "claim_code": "ABCD2345"}
    before = registry.register("CRM20-0001", crema, **secrets).device
    for other in (secrets | {"key": "another-key-of-the-factory"}, secrets | {"claim_code": "WXYZ2345"}, {}):
        with pytest.raises(registry.RegistrationRefused, match="already"):
            registry.register("CRM20-0001", crema, **other)
        assert Device.objects.get().key_hash == before.key_hash, other


def test_an_impossible_serial_number_and_weak_secrets_are_refused(crema: Any) -> None:
    for serial in ("", "a b", "a:b", "a/b", "-a", "é1", "a" * 65, "a\n", "a\x00"):
        with pytest.raises(registry.RegistrationRefused):
            registry.register(serial, crema)
    for weak in ({"key": "short"}, {"claim_code": "ABC"}):
        with pytest.raises(registry.RegistrationRefused):
            registry.register("CRM20-0001", crema, **weak)
    assert not Device.objects.exists()


def test_alice_claims_her_machine(crema: Any, alice: Any, told: list[Any]) -> None:
    device, _, code = registry.register("CRM20-0001", crema)
    claimed = registry.claim(alice, "CRM20-0001", code)
    row = Device.objects.get()
    assert (row.owner, row.ownership) == (alice, claimed.ownership)
    assert row.ownership is not None
    assert row.claimed_at is not None
    assert told == [([device.pk], "ownership")]


def test_a_code_may_be_typed_as_people_type(crema: Any, alice: Any) -> None:
    code = registry.register("CRM20-0001", crema).claim_code
    for typed in (code, f" {code} ", f"{code[:4]}-{code[4:]}", f"{code[:4]} {code[4:]}", code.lower()):
        claimed = registry.claim(alice, " crm20-0001 ", typed)
        assert claimed.owner_id == alice.pk, typed
        registry.release(claimed)


def test_claiming_again_changes_nothing(machine: Device, crema: Any, alice: Any, told: list[Any]) -> None:
    code = registry.register("CRM20-0002", crema).claim_code
    first = registry.claim(alice, "CRM20-0002", code)
    again = registry.claim(alice, "CRM20-0002", code)
    assert (again.ownership, again.claimed_at) == (first.ownership, first.claimed_at)
    assert len(told) == 1


def test_unknown_taken_and_wrong_look_the_same(crema: Any, alice: Any, bob: Any) -> None:
    taken = registry.register("CRM20-0001", crema).claim_code
    registry.claim(alice, "CRM20-0001", taken)
    registry.register("CRM20-0002", crema)
    tries = [("CRM20-0001", taken), ("CRM20-0002", "WRONG234"), ("CRM20-9999", taken), ("no such serial\x00", taken)]
    answers = set()
    for serial, code in tries:
        with pytest.raises(registry.ClaimRefused) as refused:
            registry.claim(bob, serial, code)
        answers.add((type(refused.value), str(refused.value)))
    assert len(answers) == 1
    assert Device.objects.get(serial_number="CRM20-0001").owner == alice


def test_a_strange_code_is_only_a_wrong_code(crema: Any, alice: Any) -> None:
    registry.register("CRM20-0001", crema)
    for code in ("", "\x00", "\ud800", "é" * 8, "x" * 100_000):
        with pytest.raises(registry.ClaimRefused):
            registry.claim(alice, "CRM20-0001", code)


def test_the_code_of_another_box_opens_nothing(crema: Any, alice: Any) -> None:
    registry.register("CRM20-0001", crema)
    other = registry.register("CRM20-0002", crema).claim_code
    with pytest.raises(registry.ClaimRefused):
        registry.claim(alice, "CRM20-0001", other)


def test_a_customer_may_fail_ten_times_an_hour(crema: Any, alice: Any, bob: Any) -> None:
    code = registry.register("CRM20-0001", crema).claim_code
    for n in range(attempts.LIMIT):
        with pytest.raises(registry.ClaimRefused):
            registry.claim(alice, f"GUESS-{n}", "WRONG234")
    with pytest.raises(registry.ClaimThrottled):
        registry.claim(alice, "CRM20-0001", code)
    assert registry.claim(bob, "CRM20-0001", code).owner_id == bob.pk


def test_a_serial_number_may_be_guessed_ten_times_an_hour(crema: Any, django_user_model: Any, bob: Any) -> None:
    code = registry.register("CRM20-0001", crema).claim_code
    for n in range(attempts.LIMIT):
        crook = django_user_model.objects.create(email=f"crook{n}@example.com")
        with pytest.raises(registry.ClaimRefused):
            registry.claim(crook, "crm20-0001", "WRONG234")
    with pytest.raises(registry.ClaimThrottled):
        registry.claim(bob, "CRM20-0001", code)


def test_after_an_hour_one_may_try_again(crema: Any, alice: Any, monkeypatch: Any) -> None:
    code = registry.register("CRM20-0001", crema).claim_code
    for _ in range(attempts.LIMIT):
        with pytest.raises(registry.ClaimRefused):
            registry.claim(alice, "CRM20-0001", "WRONG234")
    with pytest.raises(registry.ClaimThrottled):
        registry.claim(alice, "CRM20-0001", code)
    AttemptCount.objects.update(until=timezone.now() - timedelta(hours=1))
    assert registry.claim(alice, "CRM20-0001", code).owner_id == alice.pk


def test_successes_are_not_counted(crema: Any, alice: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(attempts, "LIMIT", 2)
    for n in range(attempts.LIMIT + 2):
        code = registry.register(f"CRM20-{n}", crema).claim_code
        registry.claim(alice, f"CRM20-{n}", code)
    assert alice.devices.count() == attempts.LIMIT + 2


def test_codes_on_boxes_outlive_a_rotation_of_the_sites_secret(crema: Any, alice: Any, settings: Any) -> None:
    code = registry.register("CRM20-0001", crema).claim_code
    with override_settings(SECRET_KEY="a new one", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert registry.claim(alice, "CRM20-0001", code).owner_id == alice.pk


def test_release_takes_the_owner_and_the_name_they_gave(crema: Any, alice: Any, bob: Any, told: list[Any]) -> None:
    device, _, code = registry.register("CRM20-0001", crema)
    first = registry.claim(alice, "CRM20-0001", code).ownership
    registry.rename(device, "Machine of Alice")
    told.clear()

    released = registry.release(device)
    assert (released.owner, released.ownership, released.claimed_at) == (None, None, None)
    assert released.name == "Crema 20"
    assert registry.release(device).owner is None
    assert told == [([device.pk], "ownership")]

    assert registry.claim(bob, "CRM20-0001", code).ownership not in (None, first)


def test_rename_tidies_and_tells_once(machine: Device, told: list[Any]) -> None:
    registry.rename(machine, "  Kitchen   coffee machine 2 ")
    registry.rename(machine, "Kitchen coffee machine 2")
    machine.refresh_from_db()
    assert machine.name == "Kitchen coffee machine 2"
    assert told == [([machine.pk], "description")]


def test_every_language_may_name_its_machine(machine: Device) -> None:
    for name in ("Küche", "コーヒー メーカー", "हिन्दी", "Cafe\u0301", "7"):
        assert registry.rename(machine, name).name, name


NO_NAMES = [
    ("", "give the device a name"),
    ("   ", "give the device a name"),
    ("x" * 129, "at most 128"),
    ("Alice's machine", "'"),
    ("<b>coffee</b>", "<"),
    ("coffee☕", "☕"),
    ("cof\x00fee", "U+0000"),
    ("cof\ud800fee", "U+D800"),
    ("cof\u202efee", "U+202E"),
]


def test_a_name_alexa_would_not_take_is_refused_with_what_to_change(machine: Device) -> None:
    for name, because in NO_NAMES:
        with pytest.raises(registry.NameRefused) as refused:
            registry.rename(machine, name)
        assert because in str(refused.value), ascii(name)
        str(refused.value).encode()
    machine.refresh_from_db()
    assert machine.name == "Crema 20"


def test_a_models_name_with_punctuation_becomes_a_plain_name(crema: Any) -> None:
    crema.name = "Crema 20+ (2nd ed.)"
    crema.save()
    assert registry.register("CRM20-0001", crema).device.name == "Crema 20 2nd ed"


def test_a_new_key_ends_the_old_one(machine: Device) -> None:
    new = registry.rotate_key(machine)
    machine.refresh_from_db()
    assert machine.key_hash == registry.hash_key(new)
    assert new != machine.key  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", ["claim", "release", "rename"])
def test_when_a_receiver_fails_nothing_has_changed(crema: Any, alice: Any, verb: str) -> None:
    device, _, code = registry.register("CRM20-0001", crema)
    if verb != "claim":
        registry.claim(alice, "CRM20-0001", code)
    before = Device.objects.values().get()
    verbs = {
        "claim": lambda: registry.claim(alice, "CRM20-0001", code),
        "release": lambda: registry.release(device),
        "rename": lambda: registry.rename(device, "Kitchen"),
    }

    def fail(**_: Any) -> None:
        raise RuntimeError("the room above is on fire")

    endpoint_changed.connect(fail)
    with pytest.raises(RuntimeError):
        verbs[verb]()
    endpoint_changed.disconnect(fail)
    assert Device.objects.values().get() == before


def test_half_a_claim_cannot_be_written(machine: Device) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Device.objects.filter(pk=machine.pk).update(ownership=None)


def test_an_owner_cannot_be_deleted_from_under_a_device(machine: Device, alice: Any) -> None:
    from django.db.models import ProtectedError

    with pytest.raises(ProtectedError):
        alice.delete()
