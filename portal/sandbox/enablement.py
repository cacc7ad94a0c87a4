"""Amazon's side of linking that begins in the portal (Alexa reference 8.4): the customer's leave, and the skill enablement API.

While it enables the skill, Amazon redeems the portal's code and sends AcceptGrant and Discover: the portal must answer all of that while
its own request is still open.
"""

from __future__ import annotations

import html
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from . import alexa_app, linking, lwa
from .amazon import Amazon
from .links import HOUSEHOLD
from .state import Json

SCOPE = "alexa::skills:account_linking"
PAGE = Path(__file__).resolve().parents[2] / "templates" / "sandbox" / "leave.html"


async def ask_for_leave(request: web.Request, amazon: Amazon) -> web.Response:
    """GET /spa/link (the Alexa app) and /ap/oa (the web): asks the customer. With `answer` it sends the browser back."""
    asked = dict(request.query)
    wrong = _wrong_request(amazon, asked)
    if wrong:
        amazon.state.record("in", "oauth", "leave asked for", request=asked, violations=wrong)
        return web.Response(status=400, text="Amazon cannot go on: " + "; ".join(wrong) + "\n")
    answer = asked.pop("answer", "")
    if not answer:
        return _page(request, asked)
    amazon.state.record("in", "oauth", f"leave asked for, {answer}", request=asked)
    told = {"code": _code(amazon, asked)} if answer == "allow" else {"error": "access_denied"}
    raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode(told | {'state': asked['state']})}")


def _wrong_request(amazon: Amazon, asked: Json) -> list[str]:
    expected = {
        "client_id": amazon.settings.lwa_client_id,
        "redirect_uri": amazon.settings.return_address,
        "response_type": "code",
        "scope": SCOPE,
        "code_challenge_method": "S256",
    }
    found = [f"{name} is not what it should be" for name, value in expected.items() if asked.get(name) != value]
    if asked.get("skill_stage") not in ("live", "development"):
        found.append("skill_stage must be live or development")
    return found + [f"{name} is missing" for name in ("state", "code_challenge") if not asked.get(name)]


def _page(request: web.Request, asked: Json) -> web.Response:
    text = PAGE.read_text("utf-8")
    for answer in ("allow", "cancel"):
        address = f"{request.path}?{urlencode(asked | {'answer': answer})}"
        text = text.replace(f"[{answer}]", html.escape(address, quote=True))
    return web.Response(text=text, content_type="text/html", charset="utf-8")


def _code(amazon: Amazon, asked: Json) -> str:
    bound = {"redirect_uri": asked["redirect_uri"], "challenge": asked["code_challenge"], "scope": SCOPE}
    return lwa.issue_code(amazon.state, HOUSEHOLD, **bound)


async def api_endpoint(request: web.Request, amazon: Amazon) -> web.Response:
    """GET /v1/alexaApiEndpoint: which host serves this customer."""
    if _account(request, amazon) is None:
        return _answer(amazon, "alexaApiEndpoint", 401, {"message": "The access token is not valid."})
    return _answer(amazon, "alexaApiEndpoint", 200, {"endpoints": [request.host]})


async def enablement(request: web.Request, amazon: Amazon) -> web.Response:
    """POST, GET and DELETE /v1/users/~current/skills/{skill}/enablement."""
    kind, started = f"{request.method} enablement", time.monotonic()
    account = _account(request, amazon)
    if account is None:
        return _answer(amazon, kind, 401, {"message": "The access token is not valid."})
    if request.match_info["skill"] != amazon.settings.skill_id:
        return _answer(amazon, kind, 404, {"message": "There is no such skill."})
    body = await _body(request)
    status, said = await {"POST": _enable, "GET": _status, "DELETE": _disable}[request.method](amazon, account, body)
    return _answer(amazon, kind, status, said, body, round((time.monotonic() - started) * 1000))


async def _enable(amazon: Amazon, account: str, body: Json) -> tuple[int, Json]:
    """201 once the portal's code is redeemed and AcceptGrant accepted; 400 as Amazon says it where it is not."""
    link = body.get("accountLinkRequest")
    if not isinstance(link, dict) or link.get("type") != "AUTH_CODE" or not isinstance(link.get("authCode"), str):
        return 400, {"message": "accountLinkRequest must hold redirectUri, authCode and the type AUTH_CODE."}
    async with amazon.lock(f"link {account}"):
        try:
            await linking.redeem(amazon, account, link["authCode"], str(link.get("redirectUri", "")))
        except linking.LinkingError:
            return 400, {"message": "Invalid account linking credentials"}
        try:
            await alexa_app.grant_and_discover(amazon, account)
        except (linking.LinkingError, alexa_app.AskError) as error:
            return 400, {"message": str(error)}
    return 201, _standing(amazon, account, str(body.get("stage")))


async def _status(amazon: Amazon, account: str, body: Json) -> tuple[int, Json]:
    if not _is_enabled(amazon, account):
        return 404, {"message": "The skill is not enabled."}
    return 200, _standing(amazon, account, "live")


async def _disable(amazon: Amazon, account: str, body: Json) -> tuple[int, Json]:
    if not _is_enabled(amazon, account):
        return 404, {"message": "The skill is not enabled."}
    alexa_app.disable(amazon, account)
    return 204, {}


def _is_enabled(amazon: Amazon, account: str) -> bool:
    return bool(amazon.state.links.get(account, {}).get("status") == "linked")


def _standing(amazon: Amazon, account: str, stage: str) -> Json:
    skill = {"stage": stage, "id": amazon.settings.skill_id}
    return {"skill": skill, "user": {"id": account}, "accountLink": {"status": "LINKED"}, "status": "ENABLED"}


def _account(request: web.Request, amazon: Amazon) -> str | None:
    """Whose access token it is: only one that was given for this purpose."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    found = amazon.state.lwa["access"].get(token)
    if found is None or found.get("scope") != SCOPE or lwa.is_past(found["expires"]):
        return None
    return str(found["account"])


async def _body(request: web.Request) -> Json:
    try:
        body: Any = json.loads(await request.text() or "{}")
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _answer(
    amazon: Amazon, kind: str, status: int, said: Json, body: Json | None = None, took: int | None = None
) -> web.Response:
    amazon.state.record("in", "oauth", kind, status=status, request=body, answer=said, ms=took)
    return web.Response(status=204) if status == 204 else web.json_response(said, status=status)
