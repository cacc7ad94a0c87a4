"""Guesses are counted exactly, at the doors that they touch and nowhere else."""

from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from devices import attempts, claiming, registry
from devices.models import AttemptCount
from tests.devices.together import at_once

WRONG = "WXYZ2345"


def fail(user: Any, serial: str, address: str = "") -> type[Exception]:
    with pytest.raises(claiming.ClaimRefused) as caught:
        registry.claim(user, serial, WRONG, address=address)
    return caught.type


def block(user: Any, address: str = "") -> None:
    for n in range(attempts.LIMIT):
        assert fail(user, f"GUESS-{n}", address) is claiming.ClaimRefused
    assert fail(user, "GUESS-0", address) is claiming.ClaimThrottled


@pytest.mark.django_db(transaction=True)
def test_many_at_once_do_not_slip_past_the_limit() -> None:
    def guess() -> int:
        return sum(attempts.allow(["customer:1", "serial:CRM20-0001"]) for _ in range(3))

    assert sum(at_once([guess] * 12)) == attempts.LIMIT


def test_a_cache_that_forgets_does_not_forget_attempts(bob: Any) -> None:
    block(bob)
    cache.clear()
    assert fail(bob, "GUESS-0") is claiming.ClaimThrottled


def test_a_blocked_account_locks_nobodys_serial_number(crema: Any, alice: Any, bob: Any) -> None:
    code = registry.register("CRM20-0001", crema).claim_code
    block(bob)
    for _ in range(attempts.LIMIT):
        assert fail(bob, "CRM20-0001", "203.0.113.7") is claiming.ClaimThrottled
    assert registry.claim(alice, "CRM20-0001", code, address="203.0.113.7").owner == alice


def test_a_blocked_address_locks_nobodys_serial_number(
    crema: Any, alice: Any, django_user_model: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(attempts, "ADDRESS_LIMIT", 2)
    code = registry.register("CRM20-0001", crema).claim_code
    for n in range(attempts.LIMIT + 2):
        crook = django_user_model.objects.create(email=f"crook{n}@example.com")
        fail(crook, f"GUESS-{n}" if n < 2 else "CRM20-0001", "203.0.113.7")
    assert registry.claim(alice, "CRM20-0001", code, address="203.0.113.8").owner == alice


def test_what_is_no_serial_number_shares_no_door(django_user_model: Any, bob: Any) -> None:
    """Whoever types with a space gets the same patience, whatever strangers typed."""
    for n in range(attempts.LIMIT):
        fail(django_user_model.objects.create(email=f"crook{n}@example.com"), f"no serial {n}")
    assert fail(bob, "CRM20 0001") is claiming.ClaimRefused


def test_counts_of_hours_that_are_over_are_forgotten(bob: Any) -> None:
    fail(bob, "GUESS-1")
    assert attempts.forget() == 0
    AttemptCount.objects.filter(pk=attempts._key("serial:GUESS-1")).update(until=timezone.now() - attempts.WINDOW)
    claiming.forget_attempts()
    assert AttemptCount.objects.get().pk == attempts._key(f"customer:{bob.pk}")
