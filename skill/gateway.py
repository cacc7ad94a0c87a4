"""The Alexa Event Gateway, on the wire: one event per POST; every documented answer becomes success or one named exception
(alexa reference 6). Branches on Amazon's code first, on the HTTP status second."""

import json
import logging

import orjson
from django.conf import settings

from skill.connections import Connections, NoAnswer
from skill.journal import journal
from skill.quoting import quote

TIMEOUT_SECONDS = 10


class GatewayError(Exception):
    """Amazon did not take the event. `retry`: may the same event succeed later? Carries Amazon's code and words."""

    retry = True
    elsewhere = False  # may another region know the customer?

    def __init__(self, code: str, text: str = "") -> None:
        self.code = quote(code, 64)
        self.text = quote(text, 300)
        super().__init__(f"{self.code}: {self.text}" if text else self.code)


class TokenRejected(GatewayError):
    """401: expired, or the customer disabled the skill. Refresh once and send again."""


class SkillDisabled(GatewayError):
    """The customer disabled the skill: the link ends, once the first minutes after AcceptGrant are over."""


class NotEnabledHere(GatewayError):
    """No enablement known in this region: not spread yet, or the wrong region. Never a reason to unlink."""

    elsewhere = True


class NotPermitted(GatewayError):
    """Send Alexa Events is not switched on for the skill, or the skill is unknown for this token: our configuration."""


class SkillUnknown(NotPermitted):
    """The token's skill is unknown here: made while the skill was in another stage, or in another region."""

    elsewhere = True


class Refused(GatewayError):
    """400 and its kin: the event itself is wrong; sending it again will not help. Our bug."""

    retry = False


class Throttled(GatewayError):
    """429."""


class Unavailable(GatewayError):
    """5xx: unknown whether it was taken."""


class Unanswered(Unavailable):
    """A time-out, a broken connection: the same."""


_BY_CODE: dict[str, type[GatewayError]] = {
    "INVALID_REQUEST_EXCEPTION": Refused,
    "INVALID_ACCESS_TOKEN_EXCEPTION": TokenRejected,
    "SKILL_DISABLED_EXCEPTION": SkillDisabled,
    "SKILL_NEVER_ENABLED_EXCEPTION": NotEnabledHere,
    "INSUFFICIENT_PERMISSION_EXCEPTION": NotPermitted,
    "SKILL_NOT_FOUND_EXCEPTION": SkillUnknown,
    "ACCOUNT_NOT_FOUND_EXCEPTION": Refused,
    "REQUEST_ENTITY_TOO_LARGE_EXCEPTION": Refused,
    "THROTTLING_EXCEPTION": Throttled,
    "INTERNAL_SERVICE_EXCEPTION": Unavailable,
    "SERVICE_UNAVAILABLE_EXCEPTION": Unavailable,
}
_BY_STATUS: dict[int, type[GatewayError]] = {401: TokenRejected, 403: NotEnabledHere, 429: Throttled}


async def post(http: Connections, region: str, token: str, event: dict[str, object]) -> None:
    """Send one event; the token must be the one inside it. Raises GatewayError."""
    headers = f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n".encode("ascii")
    try:
        answer = await http.post(settings.EVENT_GATEWAYS[region], headers, orjson.dumps(event), TIMEOUT_SECONDS)
    except NoAnswer as error:
        raise Unanswered(error.code, str(error)) from error
    if answer.status != 202:
        _read(answer.status, answer.body)


def _read(status: int, body: bytes) -> None:
    if 200 <= status < 300:
        journal.count(f"an event gateway answered {status} instead of 202", logging.WARNING)
        return
    code, text = _said(body)
    raise _kind(status, code)(code or f"HTTP {status}", text)


def _kind(status: int, code: str) -> type[GatewayError]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    return _BY_STATUS.get(status, Unavailable if status >= 500 else Refused)


def _said(body: bytes) -> tuple[str, str]:
    """`payload.code` and `payload.description`, as far as the body has them."""
    try:
        payload = json.loads(body)["payload"]
        return str(payload["code"]), str(payload.get("description", ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "", body[:300].decode(errors="replace")
