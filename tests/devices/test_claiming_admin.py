"""Support looks a refused claim up by the reference that the customer reads aloud."""

from typing import Any

import pytest
from django.test import Client

from devices import registry
from devices.models import ClaimAttempt

ATTEMPTS = "/admin/devices/claimattempt/"


@pytest.fixture
def staff(db: None, django_user_model: Any) -> Client:
    client = Client()
    client.force_login(django_user_model.objects.create_superuser("sam@example.com", "a long enough password"))
    return client


def test_the_reference_leads_to_the_cause(staff: Client, bob: Any, machine: Any) -> None:
    references = []
    for serial in ("CRM20-0001", "CRM20-9999"):
        with pytest.raises(registry.ClaimRefused) as refused:
            registry.claim(bob, serial, "WXYZ2345", address="203.0.113.7")
        references.append(refused.value.reference)
    for typed in (references[0], f" {references[0].lower()} "):
        page = staff.get(ATTEMPTS, {"q": typed}).content.decode()
        assert "The claim code is wrong" in page
        assert references[0] in page
        assert references[1] not in page
    found = ClaimAttempt.objects.get(reference=references[0])
    assert "203.0.113.7" in staff.get(f"{ATTEMPTS}{found.pk}/change/").content.decode()


def test_the_ledger_is_for_looking(staff: Client, bob: Any, db: None) -> None:
    with pytest.raises(registry.ClaimRefused):
        registry.claim(bob, "CRM20-9999", "WXYZ2345")
    pk = ClaimAttempt.objects.get().pk
    assert staff.get(f"{ATTEMPTS}add/").status_code == 403
    assert staff.post(f"{ATTEMPTS}{pk}/change/", {"cause": "taken"}).status_code == 403
    assert staff.post(f"{ATTEMPTS}{pk}/delete/", {"post": "yes"}).status_code == 403
