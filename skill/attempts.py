"""The trace of each attempt to link (LinkingAttempt): who writes which step, and how strangers are kept from filling the table.

Nothing here ever stands in the way of linking: what cannot be written down is a line in the log. What the steps mean is
diagnosis.py; a token or a code is never kept, a code's hash finds its attempt.
"""

import functools
import hashlib
import ipaddress
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from django.db import Error, connection
from django.db.models import Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from devices.credentials import CLAIM_ALPHABET
from skill import diagnosis
from skill.models import LinkingAttempt
from skill.quoting import quote

log = logging.getLogger(__name__)
OF_A_NETWORK = (
    60  # attempts of strangers that are traced, an hour; a campus or a mobile network may stand behind one address
)
OF_ALL_STRANGERS = 1000  # an hour
OF_A_CUSTOMER = 30  # a day
CURRENT = timedelta(days=1)  # how long an attempt waits for Alexa's next step
STRANGERS_KEPT, KEPT = timedelta(days=2), timedelta(days=90)
CODE_LIVES = timedelta(minutes=5)
_KEY = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"Atz\w\|\S+")
P, R = ParamSpec("P"), TypeVar("R")


def _never_in_the_way(work: Callable[P, R]) -> Callable[P, R | None]:
    """A database that refuses the trace does not refuse the linking. Outside of transactions, which an error would spoil."""

    @functools.wraps(work)
    def quietly(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return work(*args, **kwargs)
        except Error as error:
            log.warning("a step of linking is not traced (%s): %s", work.__name__, type(error).__name__)
            return None

    return quietly


@_never_in_the_way
def opened(asked: Mapping[str, str], user: Any, address: str) -> LinkingAttempt | None:
    """The attempt of this authorization request, begun if it is new; signed in, if `user` is. None beyond the limits."""
    key, network = _key(asked, address), network_of(address)
    attempt = LinkingAttempt.objects.filter(key=key).first()
    if attempt is None and _may_begin(user, network):
        attempt, _ = LinkingAttempt.objects.get_or_create(
            key=key, defaults={"reference": new_reference(), "network": network, **_described(asked)}
        )
    if attempt and user.is_authenticated and attempt.user_id != user.pk and attempt.consented_at is None:
        attempt.user = user
        attempt.signed_in_at = timezone.now()
        attempt.save(update_fields=["user", "signed_in_at"])
    return attempt


def begin_here(user: Any, asked: Mapping[str, str], address: str) -> LinkingAttempt | None:
    """An attempt that the customer begins on our own page."""
    attempt = opened(asked, user, address)
    if attempt:
        LinkingAttempt.objects.filter(pk=attempt.pk).update(way=LinkingAttempt.Way.OURS)
    return attempt


@_never_in_the_way
def keep(attempt: LinkingAttempt | None, query: str) -> bool:
    """The query of this request is too long for an address that goes along through signing in: it waits here, under the attempt's key."""
    return bool(attempt and LinkingAttempt.objects.filter(pk=attempt.pk).update(asked=query))


def kept(key: str) -> str:
    """The query that waits under this key; empty if there is none. The key is a hash of Alexa's state: nobody guesses it."""
    found = LinkingAttempt.objects.filter(key=key) if _KEY.fullmatch(key) else LinkingAttempt.objects.none()
    return found.values_list("asked", flat=True).first() or ""


@_never_in_the_way
def allowed(attempt: LinkingAttempt | None, code: str) -> None:
    """The customer allowed it, and this code of ours goes out."""
    if attempt:
        _update(attempt, consented_at=Now(), code_hash=_hash(code), asked="", failure="", failed_at=None, said="")


@_never_in_the_way
def failed(attempt: LinkingAttempt | None, cause: str, said: str = "") -> None:
    """It failed for this cause (a key of diagnosis.CAUSES), in these words of the other side."""
    if attempt:
        _update(attempt, failure=cause, failed_at=Now(), said=_safe(said))


@_never_in_the_way
def redeemed(code: str, milliseconds: int) -> None:
    """Alexa brought the code and got tokens for it, in so many milliseconds."""
    rows = LinkingAttempt.objects.filter(code_hash=_hash(code), redeemed_at=None)
    rows.update(redeemed_at=Now(), redeem_ms=milliseconds)


@_never_in_the_way
def not_redeemed(form: Mapping[str, str], error: str) -> None:
    """Our token endpoint refused a code. Codes that are nobody's leave no trace."""
    attempt = LinkingAttempt.objects.filter(code_hash=_hash(form.get("code", ""))).first()
    if attempt is None:
        return
    cause = diagnosis.cause_of_refusal(
        error,
        redeemed=attempt.redeemed_at is not None,
        late=attempt.consented_at is not None and timezone.now() - attempt.consented_at > CODE_LIVES,
        other_redirect=form.get("redirect_uri", "")[:300] != attempt.redirect_uri,
        pkce_fits=not (attempt.pkce or form.get("code_verifier")),
    )
    _update(attempt, failure=cause, failed_at=Now(), said=_safe(error))


@_never_in_the_way
def grant_came(user_id: Any, region: str) -> None:
    """AcceptGrant is here."""
    _current(user_id).filter(tokens_at=None).update(granted_at=Coalesce("granted_at", Now()), region=region)


@_never_in_the_way
def grant_refused(user_id: Any, cause: str, said: str) -> None:
    """AcceptGrant failed for this cause."""
    _current(user_id).filter(tokens_at=None).update(failure=cause, failed_at=Now(), said=_safe(said))


@_never_in_the_way
def tokens_stored(user_id: Any) -> None:
    """Amazon's tokens are stored: the link is made."""
    _current(user_id).filter(tokens_at=None).update(tokens_at=Now())


@_never_in_the_way
def discovered(user_id: Any, devices: int) -> None:
    """Alexa asked for the devices and was told of so many."""
    _current(user_id).filter(discovered_at=None).update(discovered_at=Now(), devices_found=devices)


@_never_in_the_way
def follow_reports() -> int:
    """Note the first report that Alexa accepted since each link; how many were new. Idempotent."""
    with connection.cursor() as cursor:
        cursor.execute(_FOLLOW)
        return int(cursor.rowcount)


def latest(user: Any) -> LinkingAttempt | None:
    """The customer's newest attempt."""
    return LinkingAttempt.objects.filter(user=user).order_by("-opened_at").first()


def verdict(attempt: LinkingAttempt) -> diagnosis.Verdict:
    """How the attempt stands now, in words."""
    times = {step.name: getattr(attempt, step.name) for step in diagnosis.STEPS}
    return diagnosis.diagnose(times, attempt.failure, attempt.devices_found, timezone.now())


def forget_old() -> int:
    """Delete attempts of strangers after two days and customers' after ninety, ten thousand at a time. Idempotent."""
    now = timezone.now()
    old = LinkingAttempt.objects.filter(Q(opened_at__lt=now - KEPT) | Q(opened_at__lt=now - STRANGERS_KEPT, user=None))
    return LinkingAttempt.objects.filter(pk__in=old.order_by("opened_at").values("pk")[:10_000]).delete()[0]


def new_reference() -> str:
    """Eight letters and digits of which none looks like another."""
    return "".join(secrets.choice(CLAIM_ALPHABET) for _ in range(8))


def network_of(address: str) -> str:
    """Whom an address stands for: a customer with IPv6 has a whole /64. Empty if it is none."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network(f"{ip}/64", strict=False))


def _key(asked: Mapping[str, str], address: str) -> str:
    """Alexa's state is new at each attempt; a request without one is the same as others of that hour from that address."""
    state = asked.get("state") or f"{address} {timezone.now():%Y-%m-%d %H}"
    return _hash("\n".join([asked.get("client_id") or "", asked.get("redirect_uri") or "", state]))


def _described(asked: Mapping[str, str]) -> dict[str, Any]:
    return {
        "client_id": quote(asked.get("client_id") or "", 100),
        "redirect_uri": quote(asked.get("redirect_uri") or "", 300),
        "pkce": bool(asked.get("code_challenge")),
    }


def _may_begin(user: Any, network: str) -> bool:
    now = timezone.now()
    if user.is_authenticated:
        return _fewer(LinkingAttempt.objects.filter(user=user, opened_at__gt=now - timedelta(days=1)), OF_A_CUSTOMER)
    strangers = LinkingAttempt.objects.filter(user=None, opened_at__gt=now - timedelta(hours=1))
    return _fewer(strangers.filter(network=network), OF_A_NETWORK) and _fewer(strangers, OF_ALL_STRANGERS)


def _fewer(rows: Any, limit: int) -> bool:
    return bool(rows[:limit].count() < limit)


def _current(user_id: Any) -> Any:
    """The attempt that Alexa's next directive belongs to, as a set of at most one."""
    waiting = LinkingAttempt.objects.filter(user=user_id, redeemed_at__gt=Now() - CURRENT)
    return LinkingAttempt.objects.filter(pk__in=waiting.order_by("-redeemed_at").values("pk")[:1])


def _update(attempt: LinkingAttempt, **changes: Any) -> None:
    LinkingAttempt.objects.filter(pk=attempt.pk).update(**changes)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _safe(said: str) -> str:
    return quote(_TOKEN.sub("(a token)", str(said)), 300)


_FOLLOW = """
UPDATE skill_linkingattempt AS a SET reported_at = first.sent_at
FROM (
  SELECT a.id, min(e.sent_at) AS sent_at FROM skill_linkingattempt a
  JOIN skill_alexagrant g ON g.user_id = a.user_id AND g.state = 'active' JOIN skill_endpoint e ON e.grant_id = g.id
  WHERE a.reported_at IS NULL AND a.tokens_at > now() - interval '30 days' AND e.sent_at >= a.tokens_at AND e.wanted
  GROUP BY a.id
) AS first WHERE a.id = first.id AND a.reported_at IS NULL
"""
