"""The linking doctor's page for staff."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from skill.models import LinkingAttempt

pytestmark = pytest.mark.django_db
LIST = "/admin/skill/linkingattempt/"


@pytest.fixture
def support(client: Any, django_user_model: Any) -> Any:
    """A member of staff who may look at linking attempts, and no more."""
    sue = django_user_model.objects.create_user("sue@example.com", "support support", is_staff=True)
    sue.user_permissions.add(Permission.objects.get(codename="view_linkingattempt"))
    client.force_login(sue)
    return client


def attempt(user: Any, reference: str, **more: Any) -> LinkingAttempt:
    opened = timezone.now() - timedelta(minutes=30)
    times = {"opened_at": opened, "signed_in_at": opened} | more
    return LinkingAttempt.objects.create(user=user, reference=reference, key=reference, **times)


def test_the_page_says_what_is_missing_and_what_to_do(support: Any, alice: Any) -> None:
    then = timezone.now() - timedelta(minutes=30)
    stuck = attempt(alice, "7K3M9PQA", consented_at=then, redeemed_at=then, redeem_ms=42)
    page = support.get(f"{LIST}{stuck.pk}/change/").content.decode()
    for words in ("7K3M9PQA", "no AcceptGrant came", "Send Alexa Events", "Alexa redeemed the code", "missing"):
        assert words in page


def test_found_by_reference_and_by_address(support: Any, alice: Any, bob: Any) -> None:
    attempt(alice, "7K3M9PQA")
    attempt(bob, "2B2B2B2B")
    for question in ("7k3m9pqa", "alice@exam"):
        page = support.get(LIST, {"q": question}).content.decode()
        assert "7K3M9PQA" in page
        assert "2B2B2B2B" not in page


def test_filters(support: Any, alice: Any) -> None:
    now = timezone.now()
    old = now - timedelta(hours=2)
    attempt(alice, "FA1LED", opened_at=old, failure="denied", failed_at=old)
    attempt(alice, "STUCK", opened_at=old)
    attempt(None, "NOBODY", opened_at=old, signed_in_at=None)
    attempt(alice, "L1NKED", opened_at=old, tokens_at=old)
    attempt(alice, "NEW", opened_at=now)
    expected = {"failed": {"FA1LED", "STUCK"}, "unsigned": {"NOBODY"}, "linked": {"L1NKED"}, "recent": {"NEW"}}
    for outcome, shown in expected.items():
        page = support.get(LIST, {"outcome": outcome}).content.decode()
        assert {name for name in ("FA1LED", "STUCK", "NOBODY", "L1NKED", "NEW") if name in page} == shown, outcome


def test_nobody_changes_it_and_not_everybody_sees_it(support: Any, client: Any, alice: Any, bob: Any) -> None:
    row = attempt(alice, "7K3M9PQA")
    assert support.post(f"{LIST}{row.pk}/change/", {"reference": "X"}).status_code == 403
    assert support.post(f"{LIST}{row.pk}/delete/").status_code == 403
    bob.is_staff = True
    bob.save()
    client.force_login(bob)
    assert client.get(LIST).status_code == 403
