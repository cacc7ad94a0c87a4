"""What production must not be: said by the checks, and by every process at its start, where Django itself checks nothing.

Worker and beat begin with one and the same import, and the web process does all that may be refused in one `try`: what real
processes make of a refusal is tried with the one that comes first."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from celery.signals import beat_init
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection

from portal import celery, checks
from tests.production import PRODUCTION, ROOT, environment

MIRROR = "https://certificates.example.net"
MIRROR_SENTENCE = (
    "SNS_CERTIFICATE_MIRROR is set outside EMBEDDED: whoever owns that address could forge Amazon's notifications."
    " Unset SNS_CERTIFICATE_MIRROR."
)
CELERY = ["-m", "celery", "-A", "portal.celery"]
GRANIAN = ["-m", "granian", "--interface", "wsgi", "--port", "18999", "--log-level", "error"]


def start(arguments: list[str], **changes: str | None) -> str:
    """What a process that does not start says."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


@pytest.mark.parametrize("process", [[*GRANIAN, "portal.wsgi:application"], [*CELERY, "beat"], ["manage.py", "check"]])
def test_no_process_starts_without_its_settings(process: list[str]) -> None:
    said = start(process, COURIER_SECRET=None, PGHOST=None)
    assert said.count("  - PGHOST is not set: host of the PostgreSQL server.\n  - COURIER_SECRET is not set: ") == 1


@pytest.fixture
def production(settings: Any) -> Any:
    settings.EMBEDDED, settings.DEBUG = False, False
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = PRODUCTION["PUBLIC_URL"], ["home.example.com"]
    settings.SECRET_KEY, settings.COURIER_SECRET = PRODUCTION["SECRET_KEY"], PRODUCTION["COURIER_SECRET"]
    settings.TOKEN_KEYS, settings.SNS_CERTIFICATE_MIRROR = [PRODUCTION["TOKEN_KEYS"]], ""
    return settings


def test_a_good_production_starts(production: Any) -> None:
    checks.refuse_to_start()


def test_nobody_trusts_the_sandbox_in_production(production: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_POOL_SIZE", "0")  # or the web process would set it for all that come after
    production.SNS_CERTIFICATE_MIRROR = MIRROR
    processes: list[Callable[[], Any]] = [
        lambda: runpy.run_module("portal.wsgi"),
        lambda: celery.app.WorkController(pool="solo"),
        lambda: beat_init.send(celery.app),
    ]
    for begin in processes:
        with pytest.raises(SystemExit) as refusal:
            begin()
        assert str(refusal.value).count(MIRROR_SENTENCE) == 1
    with pytest.raises(SystemCheckError, match=MIRROR_SENTENCE.replace("notifications. ", r"notifications\.\s+HINT: ")):
        call_command("check", tags=["security"])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SNS_CERTIFICATE_MIRROR", MIRROR, "SNS_CERTIFICATE_MIRROR is set outside EMBEDDED"),
        ("TOKEN_KEYS", ["beans"], "TOKEN_KEYS holds something that is no Fernet key"),
        ("TOKEN_KEYS", [], "TOKEN_KEYS holds no key"),
        ("PUBLIC_URL", "http://home.example.com", "Alexa and SNS only speak to https"),
        ("SECRET_KEY", "coffee", "SECRET_KEY is too easy to guess"),
        ("SECRET_KEY", "ab" * 40, "SECRET_KEY is too easy to guess"),
        ("SECRET_KEY", "django-insecure-" + PRODUCTION["SECRET_KEY"], "SECRET_KEY is too easy to guess"),
        ("COURIER_SECRET", "courier", "COURIER_SECRET is too easy to guess"),
        ("SNS_BASIC_AUTH", ["amazon:please"], "SNS_BASIC_AUTH is too easy to guess"),
        ("ALARM_WEBHOOK_SECRET", "A" * 44, "ALARM_WEBHOOK_SECRET is too easy to guess"),
        ("METRICS_TOKEN", "metrics", "METRICS_TOKEN is too easy to guess"),
        ("IOT_SECRETS", [PRODUCTION["COURIER_SECRET"], "iot"], "IOT_SECRETS is too easy to guess"),
        ("DEBUG", True, "DEBUG is on behind an https address"),
        ("SNS_BASIC_AUTH", ["amazon"], "SNS_BASIC_AUTH holds something that is not user:password"),
        ("ALLOWED_HOSTS", ["*"], "ALLOWED_HOSTS must name the portal's own hosts"),
        ("ALLOWED_HOSTS", [], "ALLOWED_HOSTS must name the portal's own hosts"),
    ],
)
def test_a_bad_one_is_refused_in_one_sentence(production: Any, name: str, value: object, words: str) -> None:
    setattr(production, name, value)
    with pytest.raises(ImproperlyConfigured, match=words) as refusal:
        checks.refuse_to_start()
    assert len(str(refusal.value).splitlines()) == 2


def test_on_one_s_own_machine_the_other_doors_may_be_tried_with_any_secret(settings: Any) -> None:
    settings.SNS_BASIC_AUTH, settings.METRICS_TOKEN, settings.IOT_SECRETS = ["sns:x"], "x", ["x"]
    checks.refuse_to_start()


@pytest.mark.parametrize("change", [{"REFRESH_TOKEN_EXPIRE_SECONDS": 3600}, {"ROTATE_REFRESH_TOKEN": True}])
def test_customers_are_not_unlinked_by_a_calendar(production: Any, change: dict[str, Any]) -> None:
    production.OAUTH2_PROVIDER = production.OAUTH2_PROVIDER | change
    with pytest.raises(ImproperlyConfigured, match="must neither expire by age nor rotate"):
        checks.refuse_to_start()


def test_secrets_are_not_repeated(production: Any) -> None:
    production.SECRET_KEY, production.TOKEN_KEYS = "hush-hush", ["hush-hush"]
    with pytest.raises(ImproperlyConfigured) as refusal:
        checks.refuse_to_start()
    assert "hush" not in str(refusal.value)


def test_silencing_does_not_reach_a_start(production: Any) -> None:
    production.SNS_CERTIFICATE_MIRROR, production.SILENCED_SYSTEM_CHECKS = MIRROR, ["portal.E001"]
    with pytest.raises(ImproperlyConfigured):
        checks.refuse_to_start()


def test_embedded_is_not_deployed(settings: Any) -> None:
    assert [error.id for error in checks.embedded_is_not_deployed(None)] == ["portal.E005"]


@pytest.mark.django_db
def test_a_database_that_has_half_of_a_squashed_migration_is_refused() -> None:
    """Django itself would leave out the skill's tables, and say nothing."""
    assert checks.database_is_not_between_versions(None, ["default"]) == []
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'skill' AND name = '0013_refused'")
    with pytest.raises(SystemCheckError, match=r"some of .* skill/migrations/0002_squashed_0013_refused\.py replaces"):
        call_command("migrate", verbosity=0, skip_checks=False)
