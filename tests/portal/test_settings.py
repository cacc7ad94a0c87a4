"""Production refuses to start on what is missing or wrong: one sentence for each, by the variable's name, without its value if secret."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.production import PRODUCTION

SETTINGS = Path(__file__).resolve().parent.parent.parent / "portal" / "settings.py"
CODE = compile(SETTINGS.read_text(encoding="utf-8"), SETTINGS, "exec")  # once: it takes longer than to run it
NEEDED = sorted(set(PRODUCTION) - {"TRUSTED_PROXY"})
SECRETS = [
    "SECRET_KEY",
    "TOKEN_KEYS",
    "EMAIL_URL",
    "CELERY_BROKER_URL",
    "PGPASSWORD",
    "ALEXA_CLIENT_SECRET",
    "COURIER_SECRET",
]


def settings_of_now() -> dict[str, Any]:
    """The settings as a process has them that starts in the environment as it is."""
    settings: dict[str, Any] = {"__name__": "settings", "__file__": str(SETTINGS)}
    exec(CODE, settings)
    return settings


class Start:
    """`start(NAME="value", OTHER=None)`: the settings as a process with this environment has them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __call__(self, base: dict[str, str] = PRODUCTION, **changes: str | None) -> dict[str, Any]:
        for name in set(os.environ) - {"PATH", "HOME"}:
            self.monkeypatch.delenv(name)
        for name, value in (base | changes).items():
            if value is not None:
                self.monkeypatch.setenv(name, value)
        return settings_of_now()

    def refused(self, **changes: str | None) -> list[str]:
        with pytest.raises(ImproperlyConfigured) as refusal:
            self(**changes)
        first, *sentences, last = str(refusal.value).splitlines()
        assert first == "The portal cannot start:"
        assert "make run" in last
        return [sentence.removeprefix("  - ") for sentence in sentences]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    return Start(monkeypatch)


def test_with_nothing_each_missing_thing_has_its_sentence(start: Start) -> None:
    sentences = start.refused(**dict.fromkeys(PRODUCTION))
    assert sorted(sentence.split(" is not set: ")[0] for sentence in sentences) == NEEDED
    assert all(sentence.endswith(".") for sentence in sentences)


@pytest.mark.parametrize("name", NEEDED)
def test_each_is_missed_by_itself(start: Start, name: str) -> None:
    (sentence,) = start.refused(**{name: None})
    assert sentence.startswith(f"{name} is not set: ")


def test_a_complete_environment_talks_to_amazon(start: Start) -> None:
    settings = start()
    assert settings["EMBEDDED"] is settings["DEBUG"] is False
    assert settings["LWA_TOKEN_URL"] == "https://api.amazon.com/auth/o2/token"
    assert settings["EVENT_GATEWAYS"] == {
        "NA": "https://api.amazonalexa.com/v3/events",
        "EU": "https://api.eu.amazonalexa.com/v3/events",
        "FE": "https://api.fe.amazonalexa.com/v3/events",
    }
    assert settings["SNS_CERTIFICATE_MIRROR"] == ""
    assert settings["SNS_TOPIC_ARNS"] == []
    assert settings["EMBEDDED_SECRETS"] == {}
    assert settings["ALLOWED_HOSTS"] == ["home.example.com"]
    assert settings["SESSION_COOKIE_SECURE"] is settings["CSRF_COOKIE_SECURE"] is True
    assert "127.0.0.1" not in str(settings["CONTENT_SECURITY_POLICY"])
    assert settings["OAUTH2_PROVIDER"]["ALLOWED_REDIRECT_URI_SCHEMES"] == ["https"]
    assert settings["LOGGING"]["handlers"]["stderr"]["formatter"] == "json"


def test_embedded_needs_nothing_and_amazon_can_be_put_in_its_place(start: Start, tmp_path: Path) -> None:
    settings = start({"EMBEDDED": "1", "DATA_DIR": str(tmp_path)}, LWA_TOKEN_URL="https://api.amazon.com/auth/o2/token")
    assert settings["LWA_TOKEN_URL"] == "https://api.amazon.com/auth/o2/token"
    assert settings["EVENT_GATEWAYS"]["NA"] == "http://127.0.0.1:8100/v3/events"
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert (settings["ASP_CLIENT_ID"], settings["ASP_CLIENT_SECRET"]) == (
        settings["ALEXA_CLIENT_ID"],
        settings["ALEXA_CLIENT_SECRET"],
    )
    again = start({"EMBEDDED": "1", "DATA_DIR": str(tmp_path)})
    assert again["SECRET_KEY"] == settings["SECRET_KEY"]


def test_behind_a_tunnel_both_addresses_are_answered(start: Start, tmp_path: Path) -> None:
    settings = start({"EMBEDDED": "1", "DATA_DIR": str(tmp_path)}, PUBLIC_URL="https://trial.example.net")
    assert {"trial.example.net", "127.0.0.1"} <= set(settings["ALLOWED_HOSTS"])


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file(start: Start, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PRODUCTION.get(name, "a database's password") + "\n")
    settings = start(**{name: None, f"{name}_FILE": str(secret)})
    known = str(settings.get(name, settings["DATABASES"])) + str(settings["EMAIL_HOST"])
    assert secret.read_text().strip() in known or name == "EMAIL_URL"


def test_of_a_file_that_gives_nothing_it_is_said_why(start: Start, tmp_path: Path) -> None:
    empty, odd = tmp_path / "empty", tmp_path / "odd"
    empty.write_text("\n")
    odd.write_bytes(b"\xff\xfe")
    sentences = start.refused(
        SECRET_KEY=None,
        SECRET_KEY_FILE="/no/such/file",
        TOKEN_KEYS=None,
        TOKEN_KEYS_FILE=str(empty),
        ALEXA_CLIENT_SECRET=None,
        ALEXA_CLIENT_SECRET_FILE=str(odd),
        COURIER_SECRET_FILE=str(empty),
    )
    assert sentences == [
        "SECRET_KEY_FILE names /no/such/file, which cannot be read (No such file or directory).",
        f"TOKEN_KEYS_FILE names {empty}, which is empty.",
        f"ALEXA_CLIENT_SECRET_FILE names {odd}, which cannot be read (it is not UTF-8).",
        "COURIER_SECRET and COURIER_SECRET_FILE are both set: unset one, so that it is plain which of them counts.",
        f"COURIER_SECRET_FILE names {empty}, which is empty.",
    ]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("PORTAL_PORT", "80a", "a whole number from 1 to 65535"),
        ("SANDBOX_PORT", "0", "a whole number from 1 to 65535"),
        ("PGPORT", "70000", "a whole number from 1 to 65535"),
        ("DATABASE_POOL_SIZE", "-1", "a whole number from 0 to 1000000000"),
        ("REPORT_PERIOD", "a day", "a number of at least 0.001"),
        ("REPORT_PERIOD", "nan", "a number of at least 0.001"),
        ("GATEWAY_RATE", "inf", "a number of at least 0.001"),
        ("EMBEDDED", "perhaps", "yes or no (1 or 0)"),
        ("DEBUG", "2", "yes or no (1 or 0)"),
        ("LOG_LEVEL", "LOUD", "a level (DEBUG, INFO, WARNING, ERROR)"),
        ("LOG_FORMAT", "xml", "text or json"),
    ],
)
def test_what_is_not_understood_is_not_guessed(start: Start, name: str, value: str, what: str) -> None:
    assert start.refused(**{name: value}) == [f"{name} is {value!r}, which is not {what}."]


@pytest.mark.parametrize(
    "url", ["mail.example.com:25", "smtp://", "ftp://u:hush-hush@host", "smtp://u:hush-hush@host:port"]
)
def test_a_wrong_address_is_not_repeated_for_its_password(start: Start, url: str) -> None:
    assert start.refused(EMAIL_URL=url) == ["EMAIL_URL is not an address of the form smtp://host or smtps://host."]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://u:hush-hush@host", "CELERY_BROKER_URL is not an address of the form redis://…, amqp://… or sqs://…."),
        (
            "sqs://u:hush-hush@",
            "CELERY_BROKER_URL begins with sqs://, whose client is not installed: pip install pycurl.",
        ),
    ],
)
def test_a_broker_that_celery_could_not_use(
    start: Start, monkeypatch: pytest.MonkeyPatch, url: str, sentence: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert start.refused(CELERY_BROKER_URL=url) == [sentence]


def test_the_mail_server_by_its_address(start: Start) -> None:
    settings = start()
    assert settings["EMAIL_HOST_PASSWORD"] == "secret@word"
    assert (settings["EMAIL_PORT"], settings["EMAIL_USE_TLS"], settings["EMAIL_USE_SSL"]) == (587, True, False)
    settings = start(EMAIL_URL="smtps://mail.example.com")
    assert (settings["EMAIL_PORT"], settings["EMAIL_USE_TLS"], settings["EMAIL_USE_SSL"]) == (465, False, True)


def test_only_a_process_that_asks_has_a_pool(start: Start) -> None:
    assert "pool" not in start()["DATABASES"]["default"]["OPTIONS"]
    database = start(DATABASE_POOL_SIZE="20")["DATABASES"]["default"]
    assert database["OPTIONS"]["pool"]["max_size"] == 20
    assert database["OPTIONS"]["pool"]["timeout"] == 3
    assert "CONN_MAX_AGE" not in database


@pytest.mark.parametrize("value", ["http://10.0.0.7/x", "api.amazon.com/x", "https://"])
def test_no_secret_is_sent_in_the_clear(start: Start, value: str) -> None:
    names = [
        "LWA_TOKEN_URL", "ALEXA_APP_URL", "LWA_AUTHORIZE_URL", "ALEXA_API_URL", "EVENT_GATEWAY_NA", "EVENT_GATEWAY_EU",
        "EVENT_GATEWAY_FE", "ASP_API_URL", "ASP_EVENTS_URL", "ASP_PROFILE_URL", "ALARM_WEBHOOK_URL",
        "AWS_IOT_DATA_ENDPOINT",
    ]  # fmt: skip
    sentences = start.refused(**dict.fromkeys(names, value))
    assert sentences == [f"{name} is not an address of the form https://host." for name in names]


@pytest.mark.parametrize(
    "secret", ["guess", "whsec_short", "whsec_not Base64 at all, but long enough", "MDEyMzQ1Njc4OWFiY2RlZg=="]
)
def test_a_webhook_s_secret_is_one_that_its_receiver_s_library_takes(secret: str, start: Start) -> None:
    [sentence] = start.refused(ALARM_WEBHOOK_URL="https://hooks.example.com/", ALARM_WEBHOOK_SECRET=secret)
    assert sentence.startswith("ALARM_WEBHOOK_SECRET is not a secret of Standard Webhooks")
    assert secret not in sentence
    key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
    for good in (key, f"whsec_{key}"):
        assert (
            start(ALARM_WEBHOOK_URL="https://hooks.example.com/", ALARM_WEBHOOK_SECRET=good)["ALARM_WEBHOOK_SECRET"]
            == good
        )
