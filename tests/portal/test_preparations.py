"""`make run` hands the same settings to the portal and to the sandbox, wherever they come from, and leaves Amazon's where they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal import preparations
from portal.sandbox.settings import Settings, from_environment
from tests.portal.test_settings import settings_of_now

PORTS = {"PORTAL_PORT": 9000, "SANDBOX_PORT": 9100, "MACHINE_PORT": 9101}
Both = Callable[..., tuple[dict[str, Any], Settings]]
REAL = "arn:aws:sns:us-east-1:123456789012:dash"
GIVEN = {
    "PUBLIC_URL": "https://trial.example.net/",
    "ALEXA_VENDOR_ID": "M2TRIALVENDOR",
    "ALEXA_SKILL_ID": "amzn1.ask.skill.trial",
    "ALEXA_CLIENT_ID": "amzn1.application-oa2-client.trial",
    "ALEXA_CLIENT_SECRET": "the client's secret",
    "COURIER_SECRET": "tq8Zk2vYw5LxN0bRj7HcMf1PgDsE4aUo",
    "ASP_REFRESH_TOKEN": "Atzr|trial",
    "SNS_TOPIC_ARNS": f"{REAL}, arn:aws:sns:eu-west-1:000000000000:dash-trial",
}


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Both:
    """What the portal and the sandbox understand of what `make run` hands on, where these variables were given."""

    def understood(**given: str) -> tuple[dict[str, Any], Settings]:
        monkeypatch.setattr(preparations.os, "environ", {"PATH": "/usr/bin", **given})
        handed_on = preparations.environment(tmp_path, PORTS)
        monkeypatch.setattr(preparations.os, "environ", handed_on)
        return settings_of_now(), from_environment(handed_on)

    return understood


def from_files(folder: Path) -> dict[str, str]:
    for name, value in GIVEN.items():
        (folder / name).write_text(f"{value}\n")
    return {f"{name}_FILE": str(folder / name) for name in GIVEN}


def agree(portal: dict[str, Any], sandbox: Settings) -> None:
    assert sandbox.return_address == f"{portal['PUBLIC_URL']}/alexa/return/"
    assert sandbox.redirect_uri == f"http://127.0.0.1:9100/api/skill/link/{portal['ALEXA_VENDOR_ID']}"
    assert sandbox.skill_id == portal["ALEXA_SKILL_ID"]
    assert sandbox.courier_secret == portal["COURIER_SECRET"]
    assert sandbox.lwa_client_id == portal["ALEXA_CLIENT_ID"] == portal["ASP_CLIENT_ID"]
    assert sandbox.lwa_client_secret == portal["ALEXA_CLIENT_SECRET"] == portal["ASP_CLIENT_SECRET"]
    assert sandbox.hotel_refresh_token == portal["ASP_REFRESH_TOKEN"]
    assert sandbox.topic_arn in portal["SNS_TOPIC_ARNS"]
    assert sandbox.portal_url == "http://127.0.0.1:9000", "the sandbox itself needs no tunnel"


def test_with_nothing_given_both_have_the_same(both: Both) -> None:
    agree(*both())


@pytest.mark.parametrize("files", [False, True])
def test_what_is_given_reaches_both_from_files_as_well(both: Both, files: bool, tmp_path: Path) -> None:
    portal, sandbox = both(**(from_files(tmp_path) if files else GIVEN))
    agree(portal, sandbox)
    assert portal["ALEXA_VENDOR_ID"] == "M2TRIALVENDOR"
    assert portal["COURIER_SECRET"] == GIVEN["COURIER_SECRET"]
    assert portal["SNS_TOPIC_ARNS"] == [REAL, sandbox.topic_arn]


def test_the_sandbox_does_not_speak_for_a_topic_of_amazon_s(both: Both) -> None:
    portal, sandbox = both(SNS_TOPIC_ARNS=REAL)
    assert portal["SNS_TOPIC_ARNS"] == [REAL]
    assert sandbox.topic_arn == "arn:aws:sns:us-east-1:000000000000:dash-sandbox"


def test_amazon_s_addresses_and_another_database_and_broker_stay_what_they_are(both: Both) -> None:
    gateway = "https://api.amazonalexa.com/v3/events"
    portal, _ = both(
        EVENT_GATEWAY_NA=gateway,
        LWA_TOKEN_URL="https://api.amazon.com/auth/o2/token",
        PGHOST="db.example.com",
        CELERY_BROKER_URL="amqp://broker.example.com",
    )
    assert portal["EVENT_GATEWAYS"]["NA"] == gateway
    assert portal["EVENT_GATEWAYS"]["EU"] == "http://127.0.0.1:9100/eu/v3/events"
    assert portal["LWA_TOKEN_URL"] == "https://api.amazon.com/auth/o2/token"
    assert portal["DATABASES"]["default"]["HOST"] == "db.example.com"
    assert portal["CELERY_BROKER_URL"] == "amqp://broker.example.com"
