"""Login with Amazon: the token endpoint, and what it knows of codes and tokens (Alexa reference 5).

Who may link is the Alexa app's matter; here a code becomes tokens once, and a refresh token becomes access tokens until
it is revoked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, unquote_plus

from aiohttp import web

from .amazon import Amazon
from .settings import Settings
from .state import Json, State, now, stamp

CODE_SECONDS = 300
_TOKEN_BYTES = 270  # 360 characters of Base64: Amazon's have 350 and more
GRANTS = ("authorization_code", "refresh_token")
HOTEL = "hotel"  # the account of Smart Properties


class LwaError(Exception):
    """One of Amazon's answers that is not a token."""

    def __init__(self, status: int, error: str, description: str):
        super().__init__(description)
        self.status, self.error, self.description = status, error, description


def issue_code(state: State, account: str, **bound: str) -> str:
    """A code for AcceptGrant, or one `bound` to a redirect_uri, a challenge and a scope: one use, five minutes. On disk when
    this returns."""
    code = "AN" + secrets.token_urlsafe(15)
    expires = stamp(now() + timedelta(seconds=CODE_SECONDS))
    state.lwa["codes"][code] = {"account": account, "expires": expires, **bound}
    state.save()
    return code


def disable(state: State, account: str) -> None:
    """The customer disabled the skill: codes and refresh tokens end, access tokens draw a 403 until they expire."""
    for family in ("codes", "refresh"):
        kept = {key: value for key, value in state.lwa[family].items() if value["account"] != account}
        state.lwa[family] = kept
    for token in state.lwa["access"].values():
        token["disabled"] = token["account"] == account or token.get("disabled", False)
    state.save()


def expire_access_tokens(state: State) -> int:
    """Every access token now is an expired one; refreshing gives a good one. Returns how many."""
    living = [token for token in state.lwa["access"].values() if not is_past(token["expires"])]
    for token in living:
        token["expires"] = stamp(now() - timedelta(seconds=1))
    state.save()
    return len(living)


def is_past(moment: str) -> bool:
    """Has this time of ours come?"""
    return datetime.fromisoformat(moment) <= now()


async def answer(request: web.Request, amazon: Amazon) -> web.Response:
    """POST /auth/o2/token. Always JSON; everything is recorded with its secrets masked."""
    settings, state = amazon.settings, amazon.state
    form = dict(parse_qsl((await request.read()).decode("utf-8", "replace"), keep_blank_values=True))
    account, violations = "", _violations(form, state)
    try:
        status, body, account = 200, *_tokens(request, form, settings, state)
    except LwaError as error:
        status, body = error.status, {"error": error.error, "error_description": error.description}
    kind = f"LWA {form.get('grant_type', 'token')}"
    words = body.get("error_description", f"tokens for {account}")
    state.record("in", "lwa", kind, status=status, request=form, answer=body, violations=violations, words=words)
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def _violations(form: dict[str, str], state: State) -> list[str]:
    """What Amazon lets pass, but our reference says otherwise."""
    bound = state.lwa["codes"].get(form.get("code", ""), {}).get("redirect_uri")
    if form.get("grant_type") == "authorization_code" and "redirect_uri" in form and not bound:
        return ["redirect_uri: is not sent with the code of an AcceptGrant"]
    return []


def _tokens(request: web.Request, form: dict[str, str], settings: Settings, state: State) -> tuple[Json, str]:
    if state.knobs["lwa_down"]:
        raise LwaError(503, "ServerError", "Login with Amazon is out of service (a weather knob).")
    if request.content_type != "application/x-www-form-urlencoded":
        raise LwaError(400, "invalid_request", "The body must be application/x-www-form-urlencoded.")
    if form.get("grant_type") not in GRANTS:
        raise LwaError(400, "unsupported_grant_type", "The grant_type must be authorization_code or refresh_token.")
    _check_client(request, form, settings)
    found = _redeem(form, state) if form["grant_type"] == "authorization_code" else _refresh(form, state)
    return _grant(form, settings, state, found), str(found["account"])


def _check_client(request: web.Request, form: dict[str, str], settings: Settings) -> None:
    name, secret = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
    right = hmac.compare_digest(name.encode(), settings.lwa_client_id.encode())
    right &= hmac.compare_digest(secret.encode(), settings.lwa_client_secret.encode())
    if not right:
        raise LwaError(401, "invalid_client", "Client authentication failed.")


def _basic(request: web.Request) -> tuple[str, str] | None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise LwaError(401, "invalid_client", "The Basic credentials cannot be read.") from error
    return unquote_plus(name), unquote_plus(secret)


def _redeem(form: dict[str, str], state: State) -> Json:
    found: Json | None = state.lwa["codes"].pop(_needed(form, "code"), None)
    if found is None or is_past(found["expires"]) or not _is_bound_so(form, found):
        raise LwaError(
            400, "invalid_grant", "The request has an invalid grant parameter : code. It is unknown, used or expired."
        )
    return found


def _is_bound_so(form: dict[str, str], found: Json) -> bool:
    """The code of app-to-app linking comes back with the same address and the verifier of its challenge."""
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return bool(
        form.get("redirect_uri") == found.get("redirect_uri", form.get("redirect_uri"))
        and challenge == found.get("challenge", challenge)
    )


def _refresh(form: dict[str, str], state: State) -> Json:
    found: Json | None = state.lwa["refresh"].get(_needed(form, "refresh_token"))
    if found is None:
        told = "The request has an invalid grant parameter : refresh_token."
        told += " User may have revoked or didn't grant the permission."
        raise LwaError(400, "invalid_grant", told)
    return found


def _needed(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise LwaError(400, "invalid_request", f"The request is missing a required parameter : {name}")
    return form[name]


def _grant(form: dict[str, str], settings: Settings, state: State, found: Json) -> Json:
    access = "Atza|" + secrets.token_urlsafe(_TOKEN_BYTES)
    expires = stamp(now() + timedelta(seconds=settings.lwa_token_seconds))
    _forget_the_old(state)
    whose = {key: found[key] for key in ("account", "scope") if key in found}
    state.lwa["access"][access] = whose | {"expires": expires}
    refresh = _refresh_token(form, state, whose)
    state.save()
    return {
        "access_token": access,
        "refresh_token": refresh,
        "token_type": "bearer",
        "expires_in": settings.lwa_token_seconds,
    }


def _refresh_token(form: dict[str, str], state: State, whose: Json) -> str:
    given = form.get("refresh_token") if form["grant_type"] == "refresh_token" else None
    if given and (whose["account"] == HOTEL or not state.knobs["rotate_refresh"]):
        return given
    state.lwa["refresh"].pop(given, None)
    fresh = "Atzr|" + secrets.token_urlsafe(_TOKEN_BYTES)
    state.lwa["refresh"][fresh] = whose
    return fresh


def _forget_the_old(state: State) -> None:
    """Expired for a day: nobody asks any more. (An expired token and an unknown one get the same answer.)"""
    limit = now() - timedelta(days=1)
    kept = {
        key: value for key, value in state.lwa["access"].items() if datetime.fromisoformat(value["expires"]) > limit
    }
    state.lwa["access"] = kept
