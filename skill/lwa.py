"""Login with Amazon, on the wire: exchange a grant's code, refresh its tokens (alexa reference 5). Stores nothing."""

import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from django.conf import settings

from skill import wire
from skill.connections import Connections, NoAnswer, NoConnection
from skill.quoting import quote

TIMEOUT_SECONDS = 3.0
EXCHANGE_SECONDS = 4.0  # both attempts together: the directive must be answered in 6
REFRESH_SECONDS = (
    10.0  # no one waits for it; as long as the event gateway is given, and less than the lease of a refresh
)
_FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.~-]+")
LONGEST_LIFE = 86400  # seconds; what is said beyond is not believed


@dataclass(frozen=True)
class Tokens:
    """What Login with Amazon gave; `seconds` the access token lives. An empty refresh token means: keep the old one."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    seconds: int


class LwaError(Exception):
    """Login with Amazon said no, or nothing. `retry`: may the same request succeed later?"""

    retry = False


class GrantRejected(LwaError):
    """invalid_grant: the code was used or ran out, or the customer withdrew. On refresh this ends the link."""


class ClientRejected(LwaError):
    """invalid_client: our client id or secret is wrong. Ours to mend; never a reason to unlink a customer."""

    retry = True


class RequestRejected(LwaError):
    """Any other refusal: our bug."""

    retry = True


class LwaUnavailable(LwaError):
    """No answer, or a 5xx."""

    retry = True


_BY_ERROR = {"invalid_grant": GrantRejected, "invalid_client": ClientRejected, "unauthorized_client": ClientRejected}


def exchange_now(code: str, **more: str) -> Tokens:
    """`exchange` for a thread that waits: at most 4 seconds. Raises LwaError."""
    return _now(lambda http: exchange(http, code, **more))


def refresh_now(refresh_token: str) -> Tokens:
    """`refresh` for a thread that waits: at most 4 seconds. Raises LwaError."""
    return _now(lambda http: refresh(http, refresh_token))


def _now(work: Callable[[Connections], Coroutine[Any, Any, Tokens]]) -> Tokens:
    """Over a connection of its own: a kept one could be a dead one, and a code is not sent twice."""

    async def alone() -> Tokens:
        http = Connections(limit=1)
        try:
            return await work(http)
        finally:
            http.close()

    try:
        return wire.run(alone(), EXCHANGE_SECONDS)  # type: ignore[no-any-return]
    except TimeoutError as error:
        raise LwaUnavailable("Login with Amazon gave no answer in time.") from error


async def exchange(http: Connections, code: str, **more: str) -> Tokens:
    """The tokens for AcceptGrant's code, or with redirect_uri and code_verifier for that of app-to-app linking. Raises LwaError.

    One quick repetition, only if the connection could not even be made.
    """
    form = {"grant_type": "authorization_code", "code": code, **more}
    try:
        return await _ask(http, form, TIMEOUT_SECONDS)
    except NoConnection:
        pass
    try:
        return await _ask(http, form, TIMEOUT_SECONDS)
    except NoConnection as error:
        raise LwaUnavailable("Login with Amazon cannot be reached.") from error


async def refresh(http: Connections, refresh_token: str) -> Tokens:
    """New tokens for a refresh token. Raises LwaError."""
    try:
        return await _ask(http, {"grant_type": "refresh_token", "refresh_token": refresh_token}, REFRESH_SECONDS)
    except NoConnection as error:
        raise LwaUnavailable("Login with Amazon cannot be reached.") from error


async def _ask(http: Connections, form: dict[str, str], seconds: float) -> Tokens:
    form |= {"client_id": settings.ALEXA_CLIENT_ID, "client_secret": settings.ALEXA_CLIENT_SECRET}
    try:
        answer = await http.post(settings.LWA_TOKEN_URL, _FORM, _encoded(form), seconds)
    except NoConnection:
        raise
    except NoAnswer as error:
        raise LwaUnavailable(f"Login with Amazon gave no answer ({error.code}).") from error
    return _read(answer.status, answer.body)


def _encoded(form: dict[str, str]) -> bytes:
    """urllib's urlencode for keys that need none, at a tenth of its cost: tokens are long, and nearly all of each is plain."""
    return "&".join(
        f"{key}={_NOT_PLAIN.sub(lambda part: quote_plus(part[0]), text)}" for key, text in form.items()
    ).encode()


def _read(status: int, body: bytes) -> Tokens:
    """Branch on the status first: the error JSON of a refusal must never be stored over good tokens."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    said = document if isinstance(document, dict) else {}
    if status >= 500 or status == 429:
        raise LwaUnavailable(f"Login with Amazon answered {status}.")
    if status != 200:
        words = quote(f"{said.get('error', status)}: {said.get('error_description', '')}", 300)
        raise _BY_ERROR.get(str(said.get("error")), RequestRejected)(words)
    access, renewal = said.get("access_token"), said.get("refresh_token") or ""
    if not _is_token(access) or (renewal and not _is_token(renewal)):
        raise LwaUnavailable("Login with Amazon answered 200 without a token.")
    return Tokens(access, renewal, _seconds(said.get("expires_in")))


def _is_token(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 4096 and text.isascii() and text.isprintable()


def _seconds(said: object) -> int:
    try:
        return min(max(int(said), 0), LONGEST_LIFE)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError, OverflowError):
        return 3600
