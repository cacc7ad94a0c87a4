"""What would be wrong, said before it starts: `manage.py check`, `check --deploy`, and every start of a command."""

from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


@register(Tags.security)
def sandbox_is_not_trusted_in_production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The sandbox's certificate is believed only on embedded defaults."""
    if settings.SNS_CERTIFICATE_MIRROR and not settings.EMBEDDED:
        return [
            Error(
                "SNS_CERTIFICATE_MIRROR is set outside EMBEDDED: whoever owns that address could forge Amazon's notifications.",
                hint="Unset SNS_CERTIFICATE_MIRROR.",
                id="portal.E001",
            )
        ]
    return []


@register(Tags.security)
def token_keys_are_fernet_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        [Fernet(key) for key in settings.TOKEN_KEYS]
    except ValueError:
        hint = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())' makes one."
        return [Error("TOKEN_KEYS holds something that is no Fernet key.", hint=hint, id="portal.E002")]
    return []


@register(Tags.security)
def production_speaks_https(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMBEDDED or settings.PUBLIC_URL.startswith("https://"):
        return []
    return [
        Error(
            f"PUBLIC_URL is {settings.PUBLIC_URL!r}; Alexa and SNS only speak to https.",
            hint="Set it to https://…",
            id="portal.E003",
        )
    ]


@register(Tags.security)
def refresh_tokens_do_not_age(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A calendar limit on refresh tokens would one day unlink every customer at once."""
    if (
        settings.OAUTH2_PROVIDER.get("REFRESH_TOKEN_EXPIRE_SECONDS") is None
        and not settings.OAUTH2_PROVIDER["ROTATE_REFRESH_TOKEN"]
    ):
        return []
    return [Error("Refresh tokens given to Alexa must neither expire by age nor rotate.", id="portal.E004")]


@register(Tags.security, deploy=True)
def embedded_is_not_deployed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMBEDDED:
        return [
            Error(
                "EMBEDDED=1 is for one's own machine.",
                hint="Unset it and set what is then asked for.",
                id="portal.E005",
            )
        ]
    return []
