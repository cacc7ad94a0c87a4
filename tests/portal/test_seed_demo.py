"""The demonstration's accounts: everybody knows their passwords, so an address where strangers come by gets others."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

pytestmark = pytest.mark.django_db
KNOWN = {"alice@example.com": "coffee-please", "staff@example.com": "support-please"}


def seed() -> dict[str, str]:
    """The passwords that it says, by account."""
    said = StringIO()
    call_command("seed_demo", verbosity=0, stdout=said)
    return dict(re.findall(r"(\S+) has the password (\S+)", said.getvalue()))


def test_on_one_s_own_machine_they_are_the_readme_s(django_user_model: Any) -> None:
    assert seed() == seed() == {}
    for email, password in KNOWN.items():
        assert django_user_model.objects.get(email=email).check_password(password)


@pytest.mark.parametrize("earlier", [True, False])
def test_behind_a_tunnel_they_are_others_and_said_once(earlier: bool, settings: Any, django_user_model: Any) -> None:
    if earlier:
        seed()
    settings.PUBLIC_URL = "https://trial.example.net"
    said = seed()
    assert set(said) == set(KNOWN)
    assert seed() == {}
    for email, known in KNOWN.items():
        user = django_user_model.objects.get(email=email)
        assert user.check_password(said[email])
        assert not user.check_password(known)
