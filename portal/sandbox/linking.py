"""Account linking, Alexa's side of it: the way to the portal's consent and back, the tokens, their renewal.

After the tokens come AcceptGrant and Discover; those are directives and live in alexa_app.py. (Reference 8.2, 8.3)
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

import aiohttp

from .amazon import Amazon
from .lwa import is_past
from .state import Json, now, stamp

_ANSWER_SECONDS = 4.5
_PENDING_SECONDS = 1800
_SHORTEST_TOKEN = 360


class LinkingError(Exception):
    """Linking or renewing failed; the text tells a person why."""


def begin(amazon: Amazon, account: str) -> str:
    """The portal's address to send the browser to. The state is long and opaque, as Alexa's is."""
    state, verifier = secrets.token_urlsafe(240), secrets.token_urlsafe(64)
    use_pkce = amazon.state.knobs["pkce"]
    expires = stamp(now() + timedelta(seconds=_PENDING_SECONDS))
    _forget_stale(amazon)
    pending = {"account": account, "verifier": verifier if use_pkce else None, "expires": expires}
    amazon.state.data["pending"][state] = pending
    amazon.state.save()
    return f"{amazon.settings.portal_url}/o/authorize/?{urlencode(_question(amazon, state, verifier, use_pkce))}"


def _question(amazon: Amazon, state: str, verifier: str, use_pkce: bool) -> dict[str, str]:
    settings = amazon.settings
    asked = {"response_type": "code", "client_id": settings.link_client_id, "redirect_uri": settings.redirect_uri}
    asked |= {"scope": settings.link_scope, "state": state}
    if use_pkce:
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    return asked


def _forget_stale(amazon: Amazon) -> None:
    pending = amazon.state.data["pending"]
    amazon.state.data["pending"] = {key: value for key, value in pending.items() if not is_past(value["expires"])}


async def returned(amazon: Amazon, query: Json) -> str:
    """The browser is back: checks the state (once), redeems the code, keeps the tokens. Returns the account."""
    pending = amazon.state.data["pending"].pop(query.get("state", ""), None)
    amazon.state.record("in", "oauth", "back from consent", request=dict(query), violations=_of_return(query))
    if pending is None or is_past(pending["expires"]):
        raise LinkingError("Linking failed: the portal came back with a state that Alexa did not give it (or twice).")
    if "error" in query:
        raise LinkingError(f"Linking was refused at the portal: {query.get('error_description') or query['error']}.")
    if not query.get("code"):
        raise LinkingError("Linking failed: the portal came back without a code.")
    form: Json = {
        "grant_type": "authorization_code",
        "code": query["code"],
        "redirect_uri": amazon.settings.redirect_uri,
    }
    tokens = await _ask(amazon, form | ({"code_verifier": pending["verifier"]} if pending["verifier"] else {}))
    _keep(amazon, pending["account"], tokens)
    return str(pending["account"])


async def redeem(amazon: Amazon, account: str, code: str, redirect_uri: str) -> None:
    """A code that the portal itself brought (reference 8.4): redeems it, keeps the tokens."""
    form: Json = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    _keep(amazon, account, await _ask(amazon, form))


def _of_return(query: Json) -> list[str]:
    return [] if "code" in query or "error" in query else ["neither code nor error came back"]


def _keep(amazon: Amazon, account: str, tokens: Json) -> None:
    known = amazon.state.links.get(account, {})
    link: Json = {"status": "linking", "linked_at": stamp(), "region": amazon.settings.region, "words": ""}
    link |= {"endpoints": known.get("endpoints", {}), "enabled": known.get("enabled", False), "refresh_token": None}
    amazon.state.links[account] = link
    _store(amazon, link, tokens)


def _store(amazon: Amazon, link: Json, tokens: Json) -> None:
    """The new pair; without a new refresh token the old one stays."""
    link["access_token"] = tokens["access_token"]
    link["refresh_token"] = tokens.get("refresh_token") or link["refresh_token"]
    link["expires_at"] = stamp(now() + timedelta(seconds=tokens.get("expires_in") or 3600))
    amazon.state.save()


async def access_token(amazon: Amazon, account: str, renew: bool = False) -> str:
    """The skill's token, renewed if it has expired (or `renew`); one renewal at a time for an account."""
    async with amazon.lock(f"renew {account}"):
        link = amazon.state.links[account]
        if renew or is_past(link["expires_at"]):
            await _renew(amazon, link)
        return str(link["access_token"])


async def _renew(amazon: Amazon, link: Json) -> None:
    if not link["refresh_token"]:
        raise LinkingError("The skill's token has expired and the portal gave no refresh token; link again.")
    form = {"grant_type": "refresh_token", "refresh_token": link["refresh_token"]}
    try:
        _store(amazon, link, await _ask(amazon, form))
    except RefusedTokenError as error:
        if error.error == "invalid_grant":
            link |= {"status": "broken", "words": "The portal refused the refresh token; link again."}
            amazon.state.save()
        raise


class RefusedTokenError(LinkingError):
    """The portal's token endpoint said no."""

    def __init__(self, error: str, text: str):
        super().__init__(text)
        self.error = error


async def _ask(amazon: Amazon, form: Json) -> Json:
    """One request to the portal's token endpoint, recorded; client authentication by HTTP Basic."""
    started = time.monotonic()
    try:
        status, body = await _post(amazon, form)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        words = f"the portal's token endpoint did not answer ({type(error).__name__})"
        amazon.state.record("out", "oauth", f"token {form['grant_type']}", request=form, words=words)
        raise LinkingError(f"Linking failed: {words}.") from error
    took = round((time.monotonic() - started) * 1000)
    details: Json = {
        "status": status,
        "request": form,
        "answer": body,
        "violations": _of_tokens(status, body),
        "ms": took,
    }
    amazon.state.record("out", "oauth", f"token {form['grant_type']}", **details)
    if status != 200 or not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
        raise RefusedTokenError(_error(body), f"The portal's token endpoint answered {status} {_error(body)}.")
    return body


def _error(body: Any) -> str:
    return (
        str(body.get("error", "without an error code")) if isinstance(body, dict) else "with something that is not JSON"
    )


async def _post(amazon: Amazon, form: Json) -> tuple[int, object]:
    settings = amazon.settings
    pair = f"{quote_plus(settings.link_client_id)}:{quote_plus(settings.link_client_secret)}"
    headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    patience = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    url = f"{settings.portal_url}/o/token/"
    async with amazon.http.post(url, data=form, headers=headers, timeout=patience, allow_redirects=False) as response:
        text = await response.text(errors="replace")
        try:
            return response.status, json.loads(text)
        except (ValueError, RecursionError):
            return response.status, text[:2000]


def _of_tokens(status: int, body: object) -> list[str]:
    """What Alexa asks of a token answer (reference 8.1, 8.3)."""
    if status != 200 or not isinstance(body, dict):
        return []
    found = [f"{key}: is missing" for key in ("access_token", "expires_in", "token_type") if key not in body]
    seconds = body.get("expires_in")
    if seconds is not None and (not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < _SHORTEST_TOKEN):
        found.append(f"expires_in: must be a number of at least {_SHORTEST_TOKEN} seconds")
    if str(body.get("token_type", "")).lower() != "bearer":
        found.append("token_type: must be Bearer")
    return found
