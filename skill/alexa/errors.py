"""The errors that we say to Alexa, one class per `payload.type` of an ErrorResponse (alexa reference 7.7)."""

from typing import ClassVar


class AlexaError(Exception):
    """An answer to Alexa that is an error. The text is for her log, never for a stranger's eyes: no secrets, no ids of others."""

    type = "INTERNAL_ERROR"
    namespace = "Alexa"
    extra: ClassVar[dict[str, str]] = {}  # beside type and message


class InternalError(AlexaError):
    """Our own trouble. Never say that a credential is bad because of it: Alexa might disable the skill."""


class InvalidDirective(AlexaError):
    """Unsupported or malformed."""

    type = "INVALID_DIRECTIVE"


class InvalidCredential(AlexaError):
    """The access token is unknown or was revoked."""

    type = "INVALID_AUTHORIZATION_CREDENTIAL"


class ExpiredCredential(AlexaError):
    """The access token was ours and has run out; Alexa renews it and asks again."""

    type = "EXPIRED_AUTHORIZATION_CREDENTIAL"


class NoSuchEndpoint(AlexaError):
    """Unknown, removed, or somebody else's: one answer for all three."""

    type = "NO_SUCH_ENDPOINT"


class EndpointUnreachable(AlexaError):
    """The device is not online."""

    type = "ENDPOINT_UNREACHABLE"


class NotProvisioned(AlexaError):
    """The device has never been heard from: its owner has not finished setting it up."""

    type = "NOT_SUPPORTED_IN_CURRENT_MODE"
    extra: ClassVar[dict[str, str]] = {"currentDeviceMode": "NOT_PROVISIONED"}


class AcceptGrantFailed(AlexaError):
    """The grant could not be exchanged or stored; the only error that this directive knows (alexa reference 4)."""

    type = "ACCEPT_GRANT_FAILED"
    namespace = "Alexa.Authorization"
