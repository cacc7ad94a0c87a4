"""Amazon's skill enablement API, on the wire: enable, ask, disable for one customer (alexa reference 8.4). Stores nothing."""

import json
from typing import TYPE_CHECKING
from urllib.parse import quote as quoted
from urllib.parse import urlsplit

from django.conf import settings

from skill.quoting import quote

if TYPE_CHECKING:
    import aiohttp

LONGEST = 12  # seconds; Amazon asks our token endpoint before it answers
SHORT = 4
MOST_BYTES = 64 * 1024


class SkillApiError(Exception):
    """Amazon did not do it; the text holds Amazon's words."""


class Refused(SkillApiError):
    """Amazon said no."""


class TokenRefused(Refused):
    """Amazon takes this access token no longer."""


class Silent(SkillApiError):
    """No answer, or one of trouble: it may have been done or not."""


async def host(http: "aiohttp.ClientSession", token: str) -> str:
    """Where this customer's skills are managed; ours if Amazon names no host of its own, so that no token goes elsewhere."""
    ours = urlsplit(settings.ALEXA_API_URL).netloc
    status, said = await _ask(http, "GET", f"{settings.ALEXA_API_URL}/v1/alexaApiEndpoint", token, SHORT)
    _check(status, said)
    named = said.get("endpoints")
    first = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    return first if first.endswith(".amazonalexa.com") and first.replace(".", "").replace("-", "").isalnum() else ours


async def enable(http: "aiohttp.ClientSession", at: str, token: str, redirect_uri: str, code: str) -> None:
    """Enable the skill and link it with a code of our own OAuth server, which Amazon redeems before it answers."""
    linked = {"redirectUri": redirect_uri, "authCode": code, "type": "AUTH_CODE"}
    body = {"stage": settings.ALEXA_SKILL_STAGE, "accountLinkRequest": linked}
    _check(*await _ask(http, "POST", _address(at), token, LONGEST, body))


async def status(http: "aiohttp.ClientSession", at: str, token: str) -> tuple[str, str]:
    """Amazon's words for the enablement and for the account link; empty texts where the skill is not enabled."""
    code, said = await _ask(http, "GET", _address(at), token, SHORT)
    if code == 404:
        return "", ""
    _check(code, said)
    link = said.get("accountLink")
    return quote(said.get("status", "ENABLED"), 40), quote(link.get("status", "") if isinstance(link, dict) else "", 40)


async def disable(http: "aiohttp.ClientSession", at: str, token: str) -> None:
    """Disable the skill. Idempotent: a skill that is not enabled is disabled."""
    code, said = await _ask(http, "DELETE", _address(at), token, SHORT)
    if code != 404:
        _check(code, said)


def _address(at: str) -> str:
    scheme = urlsplit(settings.ALEXA_API_URL).scheme
    return f"{scheme}://{at}/v1/users/~current/skills/{quoted(settings.ALEXA_SKILL_ID, safe='')}/enablement"


async def _ask(
    http: "aiohttp.ClientSession",
    method: str,
    url: str,
    token: str,
    patience: float,
    body: object = None,
) -> tuple[int, dict[str, object]]:
    import aiohttp  # takes a tenth of a second, and most processes never ask

    headers, wait = {"Authorization": f"Bearer {token}"}, aiohttp.ClientTimeout(total=patience)
    try:
        async with http.request(method, url, json=body, headers=headers, timeout=wait, allow_redirects=False) as answer:
            return answer.status, _document(await _body_of(answer))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Silent(f"Amazon gave no answer ({type(error).__name__}).") from error


async def _body_of(answer: "aiohttp.ClientResponse") -> bytes:
    """As much of it as any documented answer could have."""
    body = bytearray()
    async for chunk in answer.content.iter_chunked(8192):
        body += chunk
        if len(body) > MOST_BYTES:
            break
    return bytes(body)


def _document(body: bytes) -> dict[str, object]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _check(status: int, said: dict[str, object]) -> None:
    if 200 <= status < 300:
        return
    words = quote(f"{status}: {said.get('message', '')}", 300)
    if status >= 500 or status == 429:
        raise Silent(words)
    raise TokenRefused(words) if status == 401 else Refused(words)
