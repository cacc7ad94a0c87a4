"""Linking from our side (app-to-app, alexa reference 8.4): enable the skill for a customer who came back from Amazon with its leave,
ask how it stands, disable it. On the wire, no transaction open; what is waited for is waited for by few threads.

While Amazon enables, it asks our own token endpoint and sends AcceptGrant and Discover. Those need threads of this very server, so
only CONNECTING of them may wait for Amazon at once: the others always find one free.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now

from skill import attempts, doorbell, lwa, oauth, skill_api, wire
from skill.models import AlexaGrant, Enablement, Endpoint, LinkingAttempt

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)
CONNECTING = 4  # of a web process's 16 threads
MOST_ATTEMPTS = 10  # to disable: about half an hour
SCOPE = "alexa::skills:account_linking"
LEASE = timedelta(minutes=1)
_places = threading.BoundedSemaphore(CONNECTING)


class NotConnected(Exception):
    """It did not work. `cause` is a key of diagnosis.CAUSES."""

    def __init__(self, cause: str, said: str) -> None:
        super().__init__(said)
        self.cause = cause


class Busy(Exception):
    """As many customers as may are connecting already; nothing was begun, so the same request can be made again."""


@dataclass(frozen=True)
class Standing:
    """What Amazon says of the skill for one customer."""

    enabled: bool
    words: str


def configured() -> bool:
    """Can customers link from here? Else they link from the Alexa app: no skill ID, or no OAuth client with our return address."""
    return bool(settings.ALEXA_SKILL_ID) and oauth.alexa_client(return_address()) is not None


def return_address() -> str:
    """Where Amazon sends the customer back: to be registered in the console and at our own OAuth client."""
    return f"{settings.PUBLIC_URL}/alexa/return/"


def address(state: str, challenge: str, *, app: bool) -> str:
    """Where the customer gives Amazon's leave: in the Alexa app, or without it on Amazon's web page."""
    asked = {
        "client_id": settings.ALEXA_CLIENT_ID,
        "scope": SCOPE,
        "skill_stage": settings.ALEXA_SKILL_STAGE,
        "response_type": "code",
        "redirect_uri": return_address(),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    if app:
        return f"{settings.ALEXA_APP_URL}?{urlencode({'fragment': 'skill-account-linking-consent'} | asked)}"
    return f"{settings.LWA_AUTHORIZE_URL}?{urlencode(asked)}"


@contextlib.contextmanager
def place() -> Iterator[None]:
    """One of the few places for those who wait for Amazon. Raises Busy at once when all are taken."""
    if not _places.acquire(blocking=False):
        raise Busy
    try:
        yield
    finally:
        _places.release()


def connect(user: Any, code: str, verifier: str, attempt: LinkingAttempt | None) -> None:
    """Enable and link the skill with the code that Amazon gave for this customer. Raises NotConnected.

    Twice is harmless: Amazon takes its code once, and a second enabling replaces the first.
    """
    ours = ""
    try:
        tokens = lwa.exchange_now(code, redirect_uri=return_address(), code_verifier=verifier)
        host = _run(lambda http: skill_api.host(http, tokens.access_token), 4)
        ours = oauth.issue_code(user, return_address())
        attempts.allowed(attempt, ours)
        _run(lambda http: skill_api.enable(http, host, tokens.access_token, return_address(), ours), 13)
    except (lwa.LwaError, skill_api.SkillApiError) as error:
        oauth.withdraw_code(ours)
        raise NotConnected(_cause(error), str(error)) from error
    _keep(user, tokens, host)
    log.info("enabled from our side user=%s", user.pk)


def _cause(error: Exception) -> str:
    if isinstance(error, lwa.LwaError):
        if isinstance(error, lwa.ClientRejected):
            return "client_refused"
        return "leave_refused" if isinstance(error, lwa.GrantRejected | lwa.RequestRejected) else "enablement_silent"
    return "enablement_refused" if isinstance(error, skill_api.Refused) else "enablement_silent"


def _keep(user: Any, tokens: lwa.Tokens, host: str) -> None:
    Enablement.objects.update_or_create(
        user=user,
        defaults={
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "expires_at": Now() + timedelta(seconds=tokens.seconds),
            "host": host,
            "enabled_at": Now(),
            "disable_at": None,
            "attempts": 0,
            "trouble": "",
        },
    )


def standing(user: Any) -> Standing | None:
    """How Amazon says it stands; None where we may not ask: the customer linked from the Alexa app. Raises NotConnected."""
    held = Enablement.objects.filter(user=user).first()
    if held is None:
        return None
    try:
        enabled, link = _with_token(held, skill_api.status)
    except (lwa.GrantRejected, skill_api.TokenRefused):
        Enablement.objects.filter(pk=held.pk, enabled_at=held.enabled_at).delete()
        return None
    except (lwa.LwaError, skill_api.SkillApiError) as error:
        raise NotConnected("enablement_silent", str(error)) from error
    return Standing(bool(enabled), f"{enabled} {link}".strip())


def disable_due() -> int:
    """Disable the skill for customers who unlinked here and whose devices are all withdrawn; how many are done. Idempotent.

    Claim, talk, settle: whoever dies in between leaves it to the next after the lease.
    """
    done = 0
    while (held := _claim()) is not None:
        done += _disable(held)
    return done


@transaction.atomic
def _claim() -> Enablement | None:
    untold = Endpoint.objects.filter(
        grant__user=OuterRef("user"), grant__state=AlexaGrant.State.CLOSING, due_at__isnull=False
    )
    in_time = AlexaGrant.objects.filter(user=OuterRef("user"), closing_until__gt=Now())
    rows = Enablement.objects.select_for_update(skip_locked=True, of=("self",)).filter(disable_at__lte=Now())
    held = rows.filter(~Exists(untold) | ~Exists(in_time)).order_by("disable_at").first()
    if held:
        Enablement.objects.filter(pk=held.pk).update(disable_at=Now() + LEASE, attempts=F("attempts") + 1)
        held.attempts += 1
    return held


def _disable(held: Enablement) -> bool:
    row = Enablement.objects.filter(pk=held.pk, enabled_at=held.enabled_at, disable_at__isnull=False)
    try:
        _with_token(held, skill_api.disable)
    except (lwa.GrantRejected, skill_api.TokenRefused):
        log.info("Amazon's leave has ended before the skill was disabled user=%s", held.user_id)
    except (lwa.LwaError, skill_api.SkillApiError) as error:
        if held.attempts >= MOST_ATTEMPTS:
            log.warning("the skill could not be disabled user=%s: %s", held.user_id, error)
            return bool(row.delete()[0])
        row.update(disable_at=Now() + timedelta(seconds=5 * 2 ** min(held.attempts, 8)), trouble=str(error)[:300])
        return False
    doorbell.ring()  # delivery closes what is closing
    return bool(row.delete()[0])


def _with_token(held: Enablement, ask: Callable[["aiohttp.ClientSession", str, str], Coroutine[Any, Any, Any]]) -> Any:
    """What Amazon answers to `ask`, with an access token that lives for a minute yet; one that is refused all the same is renewed
    once. Raises lwa.LwaError, skill_api.SkillApiError."""
    rows = Enablement.objects.filter(pk=held.pk, expires_at__gt=Now() + timedelta(minutes=1))
    if not rows.exists():
        _renew(held)
    try:
        return _run(lambda http: ask(http, held.host, held.access_token), 5)
    except skill_api.TokenRefused:
        _renew(held)
        return _run(lambda http: ask(http, held.host, held.access_token), 5)


def _renew(held: Enablement) -> None:
    tokens = lwa.refresh_now(held.refresh_token)
    held.access_token, held.refresh_token = tokens.access_token, tokens.refresh_token or held.refresh_token
    Enablement.objects.filter(pk=held.pk, enabled_at=held.enabled_at).update(
        access_token=held.access_token,
        refresh_token=held.refresh_token,
        expires_at=Now() + timedelta(seconds=tokens.seconds),
    )


def _run(work: Callable[["aiohttp.ClientSession"], Coroutine[Any, Any, Any]], seconds: float) -> Any:
    """Over a session of its own, in time."""
    import aiohttp  # takes a tenth of a second, and most processes never ask

    async def alone() -> Any:
        async with aiohttp.ClientSession() as http:
            return await work(http)

    try:
        return wire.run(alone(), seconds)
    except TimeoutError as error:
        raise skill_api.Silent("Amazon gave no answer in time.") from error
