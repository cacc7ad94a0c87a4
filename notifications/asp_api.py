"""The wire to Alexa Smart Properties: Event Messenger, endpoints, roles, units, and whose token it is. Stores nothing.

Sources: Smart Properties events, sections 3, 7, 8 and 9. Call it with no transaction open; every call takes 20 s at most and
raises AspError only.
"""

import asyncio
import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.conf import settings

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

SECONDS, SECONDS_TO_CONNECT = 10, 3  # of them to connect
MOST_BYTES = 1024 * 1024
AHEAD = 300  # seconds before its end a token counts as old
EVENTS = {
    "activation": ("Alexa.Enterprise.Subscription", "Activation"),
    "automation": ("Alexa.Automation.Execution", "Completion"),
    "skill": ("Alexa.Skill.Interaction", "Failure"),
    "assignment": ("Alexa.Role.Management", "Assignment"),
    "revocation": ("Alexa.Role.Management", "Revocation"),
    "setup": ("Alexa.Endpoint.Lifecycle", "SetupCompletion"),
}
NEEDED = ("ASP_CLIENT_ID", "ASP_CLIENT_SECRET", "ASP_REFRESH_TOKEN")
_lock = Lock()
_token: tuple[float, str] = (0.0, "")


class AspError(Exception):
    """Amazon's refusal or silence, in words. `status` is 0 without an answer to it; `retry`: may the same succeed later?"""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status

    @property
    def retry(self) -> bool:
        return self.status in (0, 401, 403, 408, 429) or self.status >= 500


@dataclass(frozen=True)
class Answer:
    """What Amazon answered with 2xx."""

    status: int
    document: Any
    location: str = ""


def create_configuration(topic_arn: str, intent: str) -> str:
    """A configuration that delivers to this topic; its ID. The same `intent` twice is one."""
    body = {"deliveryChannels": [{"type": "SNS", "id": topic_arn}], "idempotencyToken": intent}
    return _created(call("POST", _events("subscriptionConfigurations"), body))


def create_subscription(
    configuration: str, event: str, entities: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> str:
    """A subscription of one of EVENTS; its ID."""
    namespace, name = EVENTS[event]
    body = {
        "subscriptionConfigurationId": configuration,
        "eventType": {"namespace": namespace, "name": name},
        "entities": entities,
        **(extra or {}),
    }
    return _created(call("POST", _events("subscriptions"), body))


def entities_for(event: str, unit: str, skill: str = "", user: str = "") -> dict[str, Any]:
    """What a subscription to `event` is about, as far as it is documented. Pure. Raises ValueError in words.

    For a set-up the member that carries the user is not documented: {"user": …} beside the unit, where one is named.
    """
    if event == "skill" and not skill:
        raise ValueError("Failures of a skill are subscribed for one skill: name it, amzn1.ask.skill.….")
    whole = {"type": "Unit", "id": unit}
    if event == "activation":
        return {"unit": {"parent": whole}}
    if event in ("assignment", "revocation"):
        return {"resource": {"type": "Resource", "resourceType": "Unit", "resourceId": unit}}
    more = {"skill": {"type": "Skill", "id": skill}} if event == "skill" else {}
    return {"unit": whole, **more, **({"user": {"type": "User", "id": user}} if user and event == "setup" else {})}


def listed(what: str) -> list[dict[str, Any]]:
    """All “subscriptions” or “subscriptionConfigurations” of ours, page by page."""
    pages = _pages(_events(what), {"owner": "~caller", "maxResults": "100"})
    return [found for page in pages if isinstance(page, dict) for found in page.get("results") or []]


def _pages(url: str, query: dict[str, str]) -> Iterator[Any]:
    """Whole pages, to the last."""
    token, seen = "", set[str]()
    while token not in seen:
        seen.add(token)
        page = call("GET", url, query=query | ({"nextToken": token} if token else {})).document
        yield page
        token = ((page.get("paginationContext") or {}) if isinstance(page, dict) else {}).get("nextToken") or ""


def delete(what: str, identifier: str) -> bool:
    """Delete one of them; False when there was none. Idempotent."""
    try:
        call("DELETE", f"{_events(what)}/{_part(identifier)}")
    except AspError as problem:
        if problem.status == 404:
            return False
        raise
    return True


def user_id() -> str:
    """Whose token it is: amzn1.account.…, the principal of roles and the user of set-ups."""
    document = call("GET", settings.ASP_PROFILE_URL).document
    found = document.get("user_id") if isinstance(document, dict) else None
    if not isinstance(found, str) or not found:
        raise AspError("Amazon's answer names no user_id: the token needs the scope profile:user_id.", 200)
    return found


def endpoint(endpoint_id: str) -> Any:
    """One device as Amazon knows it."""
    url = f"{settings.ASP_API_URL}/v2/endpoints/{_part(endpoint_id)}"
    return call("GET", url, query={"expand": "all"}).document


def endpoint_by_serial(serial_number: str) -> Any:
    """The device with this serial number, whatever its endpoint ID is by now."""
    url = f"{settings.ASP_API_URL}/v2/endpoints"
    return call("GET", url, query={"serialNumber.value.text": serial_number, "expand": "all"}).document


def unit_id(name: str) -> str:
    """The API's own ID of a unit, whichever of its IDs is given; "" when there is no such unit."""
    try:
        document = call("GET", f"{settings.ASP_API_URL}/v2/units/{_part(name)}").document
    except AspError as problem:
        if problem.status != 404:
            raise
        return ""
    found = document.get("id") if isinstance(document, dict) else None
    return found if isinstance(found, str) else ""


def associate(endpoint_id: str, unit_id: str) -> Any:
    """Put the device into the unit, and nowhere else; the answer, which may hold a new endpoint ID."""
    url = f"{settings.ASP_API_URL}/v2/endpoints/{_part(endpoint_id)}/associatedUnits"
    return call("PUT", url, [{"id": unit_id}]).document


def assign(role_id: str, principal_id: str, *, propagate: bool) -> None:
    call("POST", _assignments(role_id), {"principalId": principal_id, "propagate": propagate})


def revoke(role_id: str, principal_id: str, *, propagate: bool) -> None:
    query = {"principalId": principal_id, "propagate": "true" if propagate else "false"}
    call("DELETE", _assignments(role_id), query=query)


def assignments(principal_id: str) -> Iterator[Any]:
    """Which roles the principal has, as whole pages: how an entry looks is not documented. Ten of a page is the most."""
    return _pages(f"{settings.ASP_API_URL}/v1/roles/assignments", {"principalId": principal_id, "maxResults": "10"})


def _assignments(role_id: str) -> str:
    return f"{settings.ASP_API_URL}/v1/roles/{_part(role_id)}/assignments"


def _events(what: str) -> str:
    return f"{settings.ASP_EVENTS_URL}/v1/eventMessenger/{what}"


def _part(identifier: str) -> str:
    return quote(identifier, safe="")


def _created(answer: Answer) -> str:
    found = answer.document.get("id") if isinstance(answer.document, dict) else None
    if not (found or answer.location):
        raise AspError("Amazon says that it is made, but not under which ID: list them.", answer.status)
    return str(found or answer.location)


def call(method: str, url: str, body: Any = None, *, query: Mapping[str, str] | None = None) -> Answer:
    """One request with our token; after a 401 once more with a new one. Raises AspError."""
    try:
        return _call(method, url, body, query)
    except AspError as problem:
        if problem.status != 401:
            raise
    forget_token()
    return _call(method, url, body, query)


def _call(method: str, url: str, body: Any, query: Mapping[str, str] | None) -> Answer:
    headers = {"Authorization": f"Bearer {_access_token()}", "Accept": "application/json"}
    options = {"params": query, "json": body} if body is not None else {"params": query}
    return asyncio.run(_talk(method, url, headers=headers, **options))


async def _talk(method: str, url: str, **options: Any) -> Answer:
    """No redirects, no cookies."""
    import aiohttp  # takes a tenth of a second, and most processes never ask

    wait = aiohttp.ClientTimeout(total=SECONDS, sock_connect=SECONDS_TO_CONNECT)
    try:
        async with (
            aiohttp.ClientSession(timeout=wait, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, url, allow_redirects=False, **options) as response,
        ):
            body = await _capped(response)
            request_id = response.headers.get("X-Amzn-RequestId", "")
            log.info("Smart Properties: %s %s answered %s %s", method, url, response.status, request_id)
            if response.status // 100 != 2:
                raise AspError(_words(response.status, _read(body), request_id), response.status)
            return Answer(response.status, _document(body), response.headers.get("Location", ""))
    except (aiohttp.ClientError, TimeoutError, OSError) as problem:
        raise AspError(f"Amazon gave no answer ({type(problem).__name__}).") from problem


async def _capped(response: "aiohttp.ClientResponse") -> bytes:
    """The whole body, however many pieces it comes in; a little more than MOST_BYTES of one that is longer."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MOST_BYTES:
            break
    return bytes(body)


def _document(body: bytes) -> Any:
    """What a success says. One that we cannot read is as good as no answer: AspError, to be asked again."""
    if len(body) > MOST_BYTES:
        raise AspError(f"Amazon's answer is longer than {MOST_BYTES} bytes.")
    try:
        return json.loads(body or b"null")
    except (ValueError, RecursionError) as problem:
        raise AspError("Amazon's answer is not JSON.") from problem


def _read(body: bytes) -> Any:
    """What a refusal says: JSON mostly, or plain text."""
    try:
        return json.loads(body or b"null")
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _words(status: int, document: Any, request_id: str) -> str:
    said = document if isinstance(document, str) else json.dumps(document) if document else ""
    request = f" (request {request_id})" if request_id else ""
    return f"Amazon answered {status}: {said[:300]}{request}".replace("\x00", "")


def _access_token() -> str:
    """From memory as long as it lives; one renewal at a time in this process. Never stored, never logged."""
    global _token
    with _lock:
        if time.monotonic() >= _token[0]:
            _token = _renewed()
        return _token[1]


def forget_token() -> None:
    """Ask for a new one next time."""
    global _token
    with _lock:
        _token = (0.0, "")


def missing() -> list[str]:
    """Which of our credentials are not set; without them nothing can be asked."""
    return [name for name in NEEDED if not getattr(settings, name)]


def _renewed() -> tuple[float, str]:
    """What is wrong with our credentials says nothing about what was asked for: that may succeed when they are mended."""
    if missing():
        raise AspError(f"Smart Properties needs {', '.join(missing())} in the environment.")
    form = {
        "grant_type": "refresh_token",
        "refresh_token": settings.ASP_REFRESH_TOKEN,
        "client_id": settings.ASP_CLIENT_ID,
        "client_secret": settings.ASP_CLIENT_SECRET,
    }
    try:
        document = asyncio.run(_talk("POST", settings.LWA_TOKEN_URL, data=form)).document
    except AspError as problem:
        raise AspError(f"Login with Amazon gave no access token. {problem}") from problem
    token = document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise AspError("Login with Amazon gave no access token.")
    lives = document.get("expires_in")
    return time.monotonic() + (lives if isinstance(lives, int) else 3600) - AHEAD, token
