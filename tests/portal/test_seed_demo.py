"""The demonstration's accounts: everybody knows their passwords, so an address where strangers come by gets others."""

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command

from notifications.models import Topic

pytestmark = pytest.mark.django_db
KNOWN = {"alice@example.com": "coffee-please", "staff@example.com": "support-please"}


def seed() -> dict[str, str]:
    """The passwords that it says, by account."""
    said = StringIO()
    call_command("seed_demo", verbosity=0, stdout=said)
    return dict(re.findall(r"(\S+) has the password (\S+)", said.getvalue()))


def told_by_the_banner() -> dict[str, str]:
    return dict(json.loads((django_settings.DATA_DIR / "accounts.json").read_text()))


def test_on_one_s_own_machine_they_are_the_readme_s(django_user_model: Any) -> None:
    assert seed() == seed() == {}
    for email, password in KNOWN.items():
        assert django_user_model.objects.get(email=email).check_password(password)
    assert told_by_the_banner() == KNOWN


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
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    seed()
    assert told_by_the_banner() == {}, "back on one's own machine they still have passwords of their own"


def test_a_topic_of_amazon_s_may_still_be_confirmed(settings: Any) -> None:
    amazon_s, sandbox_s = (f"arn:aws:sns:us-east-1:{account}:dash" for account in ("123456789012", "000000000000"))
    settings.SNS_TOPIC_ARNS = [amazon_s, sandbox_s]
    seed()
    states = dict(Topic.objects.values_list("arn", "subscription"))
    assert states.pop(amazon_s) == "pending"
    assert states == dict.fromkeys(
        (
            sandbox_s,
            "arn:aws:sns:us-east-1:000000000000:dash-sandbox",
            "arn:aws:sns:us-east-1:000000000000:properties-sandbox",
        ),
        "confirmed",
    )
