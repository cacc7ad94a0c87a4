"""Alexa's part, over HTTP: links a test customer through the pages, redeems and renews, sends directives as the courier does.

Nothing is faked here: what answers is whatever runs at the address. Alexa reference 1.1 and 8.2-8.3.
"""

import base64
import hashlib
import html
import json
import re
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

Json = dict[str, Any]
SECONDS = 8.0  # Alexa waits so long
_FORM = re.compile(r"<form\b(?P<tag>[^>]*)>(?P<inside>.*?)</form>", re.S | re.I)
_INPUT = re.compile(r"<input\b[^>]*>", re.I)


class Unexpected(Exception):
    """The other side did not answer as it must; the text is evidence for a person, without secrets."""


@dataclass(frozen=True)
class Who:
    """Where the portal is, and who Alexa and her test customer are. Secrets do not show in its repr."""

    url: str
    email: str
    client_id: str
    redirect_uri: str
    region: str
    password: str = field(repr=False)
    client_secret: str = field(repr=False)
    courier_secret: str = field(repr=False)


@dataclass(frozen=True)
class Timed:
    """An answer and how long it took."""

    answer: requests.Response
    seconds: float


class Alexa:
    """One run: a browser with the customer's cookies, and the kept connection of Amazon's servers."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self.browser = requests.Session()
        self.servers = requests.Session()
        self.tokens: Json = {}
        self.durations: list[float] = []

    def question(self, **changes: str) -> tuple[Json, str]:
        """What the Alexa app asks of /o/authorize/, with a long state and a challenge, and the verifier of it."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {"response_type": "code", "client_id": self.who.client_id, "redirect_uri": self.who.redirect_uri}
        asked |= {"scope": "alexa", "state": secrets.token_urlsafe(400)}
        return asked | {"code_challenge": challenge, "code_challenge_method": "S256"} | changes, verifier

    def open(self, asked: Json) -> requests.Response:
        """The authorization address, as a stranger's browser opens it: no cookie, no redirect followed."""
        return requests.get(f"{self.who.url}/o/authorize/", params=asked, timeout=SECONDS, allow_redirects=False)

    def consent(self, asked: Json) -> Json:
        """Sign in if asked to, allow, and the query with which the customer is sent back to Alexa."""
        page = self._visit(
            self.browser.get(f"{self.who.url}/o/authorize/", params=asked, timeout=SECONDS, allow_redirects=False)
        )
        if "password" in _fields(page.text):
            page = self._visit(self._submit(page, "password", login=self.who.email, password=self.who.password))
        if "allow" not in page.text:
            raise Unexpected(
                "no page of consent: is the test customer's password right, and its e-mail address confirmed?"
            )
        back = self._submit(page, "redirect_uri", allow="Allow")
        address = back.headers.get("Location", "")
        if not address.startswith(asked["redirect_uri"]):
            raise Unexpected(f"after consent HTTP {back.status_code}, not back to {asked['redirect_uri']}")
        return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}

    def _visit(self, answer: requests.Response) -> requests.Response:
        """Follow redirects within the portal."""
        for _ in range(6):
            if not answer.is_redirect:
                return answer
            address = urljoin(answer.url, answer.headers["Location"])
            if not address.startswith(self.who.url):
                raise Unexpected(f"sent away to {address.partition('?')[0]}")
            answer = self.browser.get(address, timeout=SECONDS, allow_redirects=False)
        raise Unexpected("sent round in a circle")

    def _submit(self, page: requests.Response, having: str, **filled: str) -> requests.Response:
        """Send the form that has this field, as a browser does."""
        for form in _FORM.finditer(page.text):
            held = _fields(form["inside"])
            if having in held:
                action = _attribute(form["tag"], "action")
                address = urljoin(page.url, html.unescape(action)) if action else page.url
                return self.browser.post(
                    address, held | filled, headers={"Referer": page.url}, timeout=SECONDS, allow_redirects=False
                )
        raise Unexpected(f"no form with the field {having} at {page.url.partition('?')[0]} (HTTP {page.status_code})")

    def token(self, *, basic: bool = True, secret: str | None = None, **form: str) -> Timed:
        """POST /o/token/ with HTTP Basic, or with the credentials in the body."""
        pair = (self.who.client_id, self.who.client_secret if secret is None else secret)
        body = form if basic else form | {"client_id": pair[0], "client_secret": pair[1]}
        started = time.monotonic()
        answer = self.servers.post(f"{self.who.url}/o/token/", body, auth=pair if basic else None, timeout=SECONDS)
        return Timed(answer, time.monotonic() - started)

    def revoke(self) -> None:
        """Leave nothing behind: what we were given ends."""
        if token := self.tokens.get("refresh_token"):
            body = {"token": token, "token_type_hint": "refresh_token"}
            pair = (self.who.client_id, self.who.client_secret)
            self.servers.post(f"{self.who.url}/o/revoke_token/", body, auth=pair, timeout=SECONDS)

    def post(self, body: object, **headers: str) -> Timed:
        """To the courier's door, raw."""
        known = {"X-Courier-Secret": self.who.courier_secret, "X-Skill-Region": self.who.region}
        started = time.monotonic()
        answer = self.servers.post(
            f"{self.who.url}/skill/directive", json=body, headers=known | headers, timeout=SECONDS
        )
        return Timed(answer, time.monotonic() - started)

    def ask(self, directive: Json) -> Json:
        """The answer to a directive. Raises Unexpected if it is none."""
        timed = self.post(directive)
        self.durations.append(timed.seconds)
        try:
            event: Json = timed.answer.json()["event"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unexpected(f"HTTP {timed.answer.status_code}, and no Alexa event") from error
        if timed.answer.status_code != 200:
            raise Unexpected(f"HTTP {timed.answer.status_code}; errors to Alexa are HTTP 200 too")
        return timed.answer.json() | {"event": event}  # type: ignore[no-any-return]

    def directive(self, namespace: str, name: str, *, endpoint: str = "", token: str | None = None) -> Json:
        """A directive with the token of the linked customer; with a correlationToken where it is about an endpoint."""
        header = {"namespace": namespace, "name": name, "payloadVersion": "3", "messageId": str(uuid.uuid4())}
        scope = {"type": "BearerToken", "token": self.tokens.get("access_token", "") if token is None else token}
        if not endpoint:
            return {"directive": {"header": header, "payload": {"scope": scope}}}
        header["correlationToken"] = secrets.token_urlsafe(200)
        about = {"endpointId": endpoint, "scope": scope, "cookie": {}}
        return {"directive": {"header": header, "endpoint": about, "payload": {}}}

    def accept_grant(self, code: str) -> Json:
        header = {"namespace": "Alexa.Authorization", "name": "AcceptGrant", "payloadVersion": "3"}
        payload = {
            "grant": {"type": "OAuth2.AuthorizationCode", "code": code},
            "grantee": {"type": "BearerToken", "token": self.tokens.get("access_token", "")},
        }
        return {"directive": {"header": header | {"messageId": str(uuid.uuid4())}, "payload": payload}}


def _fields(page: str) -> dict[str, str]:
    """Name and value of every field, submit buttons apart."""
    tags = [tag for tag in _INPUT.findall(page) if _attribute(tag, "type") not in ("submit", "checkbox")]
    return {html.unescape(_attribute(tag, "name")): html.unescape(_attribute(tag, "value")) for tag in tags}


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\b{name}\s*=\s*"([^"]*)"', tag)
    return found[1] if found else ""


def short(document: object) -> str:
    """Evidence on one line."""
    return json.dumps(document, ensure_ascii=False)[:200]


def error_of(answer: Json) -> str:
    """The type of an ErrorResponse, else nothing."""
    event = answer["event"]
    return str(event["payload"].get("type")) if event["header"]["name"] == "ErrorResponse" else ""
