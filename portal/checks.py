"""What would be wrong, said before it starts: by `manage.py check`, every start of a command, of the web process and the workers."""

from collections.abc import Callable
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.migrations.loader import MigrationLoader

Check = Callable[..., list[CheckMessage]]
SECRET_CHARACTERS = 32
_always: list[Check] = []


def _always_held(check: Check) -> Check:
    """One of the checks that no process starts without; SILENCED_SYSTEM_CHECKS does not reach them there."""
    _always.append(check)
    return register(Tags.security)(check)


def refuse_to_start() -> None:
    """Called by the web process and the workers, where Django runs no checks itself. Raises ImproperlyConfigured."""
    wrong = [message for check in _always for message in check(None)]
    if wrong:
        lines = [f"  - {message.msg}{' ' + message.hint if message.hint else ''}" for message in wrong]
        raise ImproperlyConfigured("The portal cannot start:\n" + "\n".join(lines))


@_always_held
def sandbox_is_not_trusted_in_production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The sandbox's certificate is believed only on embedded defaults."""
    if settings.EMBEDDED or not settings.SNS_CERTIFICATE_MIRROR:
        return []
    what = (
        "SNS_CERTIFICATE_MIRROR is set outside EMBEDDED: whoever owns that address could forge Amazon's notifications."
    )
    return [Error(what, hint="Unset SNS_CERTIFICATE_MIRROR.", id="portal.E001")]


@_always_held
def token_keys_are_fernet_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    hint = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())' makes one."
    try:
        if [Fernet(key) for key in settings.TOKEN_KEYS]:
            return []
    except ValueError:
        return [Error("TOKEN_KEYS holds something that is no Fernet key.", hint=hint, id="portal.E002")]
    return [Error("TOKEN_KEYS holds no key.", hint=hint, id="portal.E002")]


@_always_held
def production_speaks_https(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMBEDDED or settings.PUBLIC_URL.startswith("https://"):
        return []
    what = f"PUBLIC_URL is {settings.PUBLIC_URL!r}; Alexa and SNS only speak to https."
    return [Error(what, hint="Set it to https://…", id="portal.E003")]


@_always_held
def refresh_tokens_do_not_age(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A calendar limit on refresh tokens would one day unlink every customer at once."""
    ours = settings.OAUTH2_PROVIDER
    if ours.get("REFRESH_TOKEN_EXPIRE_SECONDS") is None and not ours["ROTATE_REFRESH_TOKEN"]:
        return []
    return [Error("Refresh tokens given to Alexa must neither expire by age nor rotate.", id="portal.E004")]


@register(Tags.security, deploy=True)
def embedded_is_not_deployed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not settings.EMBEDDED:
        return []
    hint = "Unset it and set what is then asked for."
    return [Error("EMBEDDED=1 is for one's own machine.", hint=hint, id="portal.E005")]


@_always_held
def secrets_cannot_be_guessed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Those that were made for us: long, of many characters, and not Django's own sample. On one's own machine the doors beside the
    skill may be tried with any."""
    hint = "python -c 'import secrets; print(secrets.token_urlsafe(50))' makes one."
    secrets = {"SECRET_KEY": [settings.SECRET_KEY], "COURIER_SECRET": [settings.COURIER_SECRET]}
    if not settings.EMBEDDED:
        secrets |= {
            "SNS_BASIC_AUTH": [pair.partition(":")[2] for pair in settings.SNS_BASIC_AUTH],
            "ALARM_WEBHOOK_SECRET": [settings.ALARM_WEBHOOK_SECRET],
            "METRICS_TOKEN": [settings.METRICS_TOKEN],
            "IOT_SECRETS": settings.IOT_SECRETS,
        }
    return [
        Error(
            f"{name} is too easy to guess: {SECRET_CHARACTERS} or more random characters.", hint=hint, id="portal.E006"
        )
        for name, values in secrets.items()
        if any(value and _guessable(value) for value in values)
    ]


def _guessable(secret: str) -> bool:
    return len(secret) < SECRET_CHARACTERS or len(set(secret)) < 8 or secret.startswith("django-insecure-")


@_always_held
def errors_are_not_shown_to_customers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.DEBUG and settings.PUBLIC_URL.startswith("https://"):
        what = "DEBUG is on behind an https address: error pages would show settings and customers' data to everybody."
        return [Error(what, hint="Unset DEBUG.", id="portal.E007")]
    return []


@_always_held
def basic_authentication_is_whole(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if all(name and password for name, _, password in (pair.partition(":") for pair in settings.SNS_BASIC_AUTH)):
        return []
    return [Error("SNS_BASIC_AUTH holds something that is not user:password.", id="portal.E008")]


@_always_held
def someone_may_ask_for_us(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """`*` would let a stranger's Host header into the mails that reset passwords."""
    if settings.EMBEDDED or (settings.ALLOWED_HOSTS and "*" not in settings.ALLOWED_HOSTS):
        return []
    return [
        Error(
            "ALLOWED_HOSTS must name the portal's own hosts.", hint="Unset it to allow PUBLIC_URL's.", id="portal.E009"
        )
    ]


def _without_a_way(loader: MigrationLoader) -> set[tuple[str, str]]:
    """The squashed migrations that are passed over, though what they replace is not there any more."""
    passed_over = {key: squashed for key, squashed in loader.replacements.items() if key not in loader.graph.nodes}
    return {key for key, squashed in passed_over.items() if not loader.disk_migrations.keys() >= set(squashed.replaces)}


@register(Tags.database)
def database_is_not_between_versions(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Django passes over a squashed migration of which the database has a part only, without a word. Looked at by `migrate`."""
    loaders = [MigrationLoader(connections[name]) for name in databases or []]
    partly = sorted({key for loader in loaders for key in _without_a_way(loader)})
    return [
        Error(
            f"The database has some of the migrations that {app}/migrations/{name}.py replaces, and not all.",
            hint="Finish `manage.py migrate` with the version that began it, then come back to this one.",
            id="portal.E010",
        )
        for app, name in partly
    ]
