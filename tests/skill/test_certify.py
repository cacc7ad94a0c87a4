"""The certification kit against a portal on a real port: it passes where all is well, and each fault fails its own check."""

from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from oauth2_provider.models import AccessToken, RefreshToken

from devices.models import DeviceModel
from skill.certification import Run, directives, linking, one
from skill.certification.alexa import Alexa
from skill.management.commands import certify as command
from skill.models import AlexaGrant, Application, Endpoint
from tests.skill.deeds import deliver_all, make_due, reading

pytestmark = pytest.mark.django_db(transaction=True)
REDIRECT = "https://layla.amazon.com/api/skill/link/M1"


@pytest.fixture
def certify(live_server: Any, settings: Any, monkeypatch: Any, alexa: Application, machine: Any) -> Any:
    """Runs the command; gives its lines by title, and the text."""
    from allauth.account.models import EmailAddress

    monkeypatch.setattr(directives, "GOOD_SECONDS", 7.0)  # the machine of these tests may be busy
    monkeypatch.setattr(directives, "MOST_ASKED", 2)
    settings.PUBLIC_URL = live_server.url
    settings.CSRF_TRUSTED_ORIGINS = [live_server.url]
    EmailAddress.objects.create(user=machine.owner, email=machine.owner.email, verified=True, primary=True)
    monkeypatch.setenv("CERTIFY_PASSWORD", "correct horse battery")
    monkeypatch.setenv("CERTIFY_CLIENT_SECRET", "s3cret")

    def run(*options: str) -> tuple[dict[str, str], str]:
        said = StringIO()
        try:
            call_command("certify", "--email", "alice@example.com", *options, stdout=said)
        except CommandError as error:
            said.write(str(error))
        lines = [line for line in said.getvalue().splitlines() if line[:8].strip() in ("pass", "FAIL", "not here")]
        return {line[9:].partition(": ")[0]: line[:8].strip() for line in lines}, said.getvalue()

    return run


def failed(results: dict[str, str]) -> set[str]:
    """Titles of what fails, apart from the Dash programme's."""
    return {title for title, outcome in results.items() if outcome == "FAIL" and "CREMA" not in title}


def test_a_linked_customer_passes_and_nothing_is_left_behind(
    certify: Any, linked: Any, machine: Any, amazon: Any, tmp_path: Path
) -> None:
    amazon.lwa_script = lambda form: (
        (400, {"error": "invalid_grant"}) if form.get("code") == "made-up-by-certify" else None
    )
    reading(machine, 42.5, 1)
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    report = tmp_path / "report.md"
    results, said = certify("--output", str(report))
    assert failed(results) == set(), said
    assert sum(outcome == "pass" for outcome in results.values()) >= 20
    assert "checks fail" in said, "the Dash programme is not finished, and the exit code says so"
    written = report.read_text()
    assert "| pass | A customer links" in written
    for secret in ("correct horse battery", "s3cret", "alice@example.com"):
        assert secret not in written + said
    assert not RefreshToken.objects.filter(revoked=None).exists()
    living = AccessToken.objects.exclude(renewal__refresh_token__revoked__isnull=False)
    assert not living.exists()
    assert AlexaGrant.objects.get().state == "active"


def test_without_a_link_or_a_reading_the_parts_that_need_one_fail_and_say_what_to_do(
    certify: Any, monkeypatch: Any
) -> None:
    few = ("A customer links: ", "Discover tells", "ReportState gives")
    for module in (linking, directives):
        monkeypatch.setattr(module, "CHECKS", [check for check in module.CHECKS if check.title.startswith(few)])
    results, said = certify()
    assert "The test customer is linked in the Alexa app" in failed(results)
    assert "Enable the skill with the test account" in said
    assert "ReportState gives every property" in failed(results)
    assert "Let the device send a reading for each slot" in said
    assert results["A customer links"] == "pass"


def test_each_fault_fails_its_own_check(certify: Any, crema: Any, settings: Any) -> None:
    """Which passes without it."""
    asked = {"email": "alice@example.com", "url": "", "client_id": "", "redirect_uri": "", "region": "NA"}
    who = command._prepared(asked)[0].who
    checks = {check.title.partition(": ")[0]: check for check in (*linking.CHECKS, *directives.CHECKS)}

    def outcome(title: str, run: Run) -> str:
        return one(checks[title], run).outcome

    link, discover = "A customer links", "Discover tells of the test customer's devices"
    supplies = "Inventory sensors have their replenishment IDs"
    assert outcome(link, Run(Alexa(replace(who, password="wrong")))) == "FAIL"
    assert outcome(link, Run(Alexa(replace(who, client_secret="wrong")))) == "FAIL"
    run = Run(Alexa(who))
    assert [outcome(title, run) for title in (link, discover, supplies)] == ["pass"] * 3
    crema.slots.update(replenishment_id="")
    assert [outcome(title, run) for title in (discover, supplies)] == ["pass", "FAIL"]
    DeviceModel.objects.update(display_category="GRINDER")
    assert outcome(discover, run) == "FAIL"
    DeviceModel.objects.update(display_category=crema.display_category)
    assert outcome(discover, run) == "pass"
    settings.COURIER_SECRET = "another"
    assert outcome(discover, run) == "FAIL"


def test_the_known_password_is_not_tried_where_it_was_replaced(certify: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("CERTIFY_PASSWORD")
    with pytest.raises(CommandError, match=r"alice@example.com has a password of its own: give it in CERTIFY_PASSWORD"):
        call_command("certify")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--email", "nobody@example.com"], "no customer nobody@example.com"),
        (["--email", "alice@example.com", "--client-id", "stranger"], "create_alexa_client"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(certify: Any, options: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("certify", *options)
