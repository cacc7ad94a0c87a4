"""Login with Amazon, on the wire: exchange a grant's code, refresh its tokens (alexa reference 5). Stores nothing."""

import json
from dataclasses import dataclass, field

import aiohttp
from django.conf import settings

TIMEOUT = aiohttp.ClientTimeout(total=3)


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


async def exchange(http: aiohttp.ClientSession, code: str) -> Tokens:
    """The tokens for AcceptGrant's code. One quick repetition, only if the connection could not even be made. Raises LwaError."""
    form = {"grant_type": "authorization_code", "code": code}
    try:
        return await _ask(http, form)
    except aiohttp.ClientConnectorError:
        pass
    try:
        return await _ask(http, form)
    except aiohttp.ClientConnectorError as error:
        raise LwaUnavailable("Login with Amazon cannot be reached.") from error


async def refresh(http: aiohttp.ClientSession, refresh_token: str) -> Tokens:
    """New tokens for a refresh token. Raises LwaError."""
    try:
        return await _ask(http, {"grant_type": "refresh_token", "refresh_token": refresh_token})
    except aiohttp.ClientConnectorError as error:
        raise LwaUnavailable("Login with Amazon cannot be reached.") from error


async def _ask(http: aiohttp.ClientSession, form: dict[str, str]) -> Tokens:
    form |= {"client_id": settings.ALEXA_CLIENT_ID, "client_secret": settings.ALEXA_CLIENT_SECRET}
    try:
        async with http.post(settings.LWA_TOKEN_URL, data=form, timeout=TIMEOUT, allow_redirects=False) as answer:
            return _read(answer.status, await answer.read())
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise LwaUnavailable(f"Login with Amazon gave no answer ({type(error).__name__}).") from error


def _read(status: int, body: bytes) -> Tokens:
    """Branch on the status first: the error JSON of a refusal must never be stored over good tokens."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    said = document if isinstance(document, dict) else {}
    if status >= 500 or status == 429:
        raise LwaUnavailable(f"Login with Amazon answered {status}.")
    if status != 200:
        words = f"{said.get('error', status)}: {said.get('error_description', '')}"[:300]
        raise _BY_ERROR.get(str(said.get("error")), RequestRejected)(words)
    access, seconds = said.get("access_token"), said.get("expires_in", 3600)
    if not isinstance(access, str) or not access or not isinstance(seconds, int) or isinstance(seconds, bool):
        raise LwaUnavailable("Login with Amazon answered 200 without a token.")
    return Tokens(access, str(said.get("refresh_token") or ""), seconds)
