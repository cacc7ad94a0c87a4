"""The link between a customer and Alexa: accept_grant, close, unlink. Amazon's tokens come and go here; renewal.py renews them.

Tokens are written, and a grant is closed, only WHERE generation = the one that was used: a late answer to an older generation
changes nothing. No transaction is open while Login with Amazon is asked.
"""

import hashlib
import logging
import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from skill import attempts, endpoints, lwa, oauth, outbox, pace
from skill.alexa.errors import AcceptGrantFailed
from skill.database import select
from skill.journal import journal
from skill.models import AlexaGrant, Enablement, Endpoint, Event
from skill.quoting import quote

log = logging.getLogger(__name__)
State = AlexaGrant.State
LIVE = (State.ACTIVE, State.CLOSING)
CLOSING_TIME = timedelta(minutes=10)
LONGEST_WAIT = "2s"  # for a row that somebody else holds, while Alexa waits for our answer
SAME_CODE_WAIT = (
    3.0  # seconds for whoever brought the same code first, and is still being answered by Login with Amazon
)
LONGEST_ACCEPTANCE = 5.0  # seconds from the beginning until that is given up: the directive must be answered in 6
LOOK_EVERY = 0.1
FIRST_REPORT_AFTER = 5  # seconds after AcceptGrant, unless Discover comes first


def accept_grant(user: Any, code: str, region: str, token: str = "") -> AlexaGrant:
    """Exchange AcceptGrant's code and store what it gives; this region becomes the active one. On the wire, once.

    `token` is the access token of ours that came along: what we gave to Alexa before it ends here, since the last link wins.

    Idempotent by the code: a repetition answers success without asking Amazon again. Raises AcceptGrantFailed (alexa reference 4).
    """
    code_hash = hashlib.sha256(code.encode()).hexdigest()
    if known := _accepted(user, region, code_hash):
        return known
    attempts.grant_came(user.pk, region)
    began = time.monotonic()
    try:
        tokens = lwa.exchange_now(code)
    except lwa.LwaError as error:
        if known := _accepted_after_all(user, region, code_hash, error, began):
            return known
        attempts.grant_refused(user.pk, _cause(error), str(error))
        if isinstance(error, lwa.ClientRejected):  # an alarm, and no customer's fault
            pace.open_at_once("LWA", 60, str(error))
        log.warning("accept_grant user=%s region=%s refused: %s", user.pk, region, error)
        raise AcceptGrantFailed(f"Login with Amazon did not take the code: {error}"[:200]) from error
    if not tokens.refresh_token:
        attempts.grant_refused(user.pk, "amazon_silent", "no refresh token came")
        raise AcceptGrantFailed("Login with Amazon gave no refresh token.")
    grant = _store_grant(user, region, code_hash, tokens, token)
    attempts.tokens_stored(user.pk)
    log.info("accept_grant user=%s region=%s generation=%d", user.pk, region, grant.generation)
    return grant


def _cause(error: lwa.LwaError) -> str:
    """Login with Amazon's refusal in the linking doctor's vocabulary."""
    if isinstance(error, lwa.ClientRejected):
        return "client_refused"
    return "code_refused" if isinstance(error, lwa.GrantRejected | lwa.RequestRejected) else "amazon_silent"


def _accepted(user: Any, region: str, code_hash: str) -> AlexaGrant | None:
    return AlexaGrant.objects.filter(user=user, region=region, code_hash=code_hash, state=State.ACTIVE).first()


def _accepted_after_all(user: Any, region: str, code_hash: str, error: lwa.LwaError, began: float) -> AlexaGrant | None:
    """The same code came twice at once, and the other was quicker: a code is refused as soon as it is spent, which may be before the
    other has heard what it is worth."""
    wait = SAME_CODE_WAIT if isinstance(error, lwa.GrantRejected) else 0.0
    end = min(time.monotonic() + wait, began + LONGEST_ACCEPTANCE)
    while (known := _accepted(user, region, code_hash)) is None and time.monotonic() < end:
        time.sleep(LOOK_EVERY)
    return known


@transaction.atomic
def _store_grant(user: Any, region: str, code_hash: str, tokens: lwa.Tokens, token: str = "") -> AlexaGrant:
    """The grant, active; grants of other regions dormant; endpoints of all the customer's devices, to be announced anew."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LONGEST_WAIT}'")
    outbox.hold_customers([user.pk])
    grants = AlexaGrant.objects.select_for_update(no_key=True).filter(user=user).order_by("pk")
    for other in [grant for grant in grants if grant.state == State.ACTIVE and grant.region != region]:
        _silence(other)
        AlexaGrant.objects.filter(pk=other.pk).update(state=State.DORMANT, reason=f"Linked in region {region} since.")
    fresh = {
        "state": State.ACTIVE, "access_token": tokens.access_token, "refresh_token": tokens.refresh_token, "code_hash": code_hash,
        "expires_at": Now() + timedelta(seconds=tokens.seconds), "accepted_at": Now(), "refresh_leased_until": None,
        "closing_until": None, "closed_at": None, "reason": "", "trouble": "", "other_regions": "", "discovered_at": None,
    }  # fmt: skip
    grant, created = AlexaGrant.objects.get_or_create(user=user, region=region, defaults=fresh)
    if not created:
        AlexaGrant.objects.filter(pk=grant.pk).update(generation=F("generation") + 1, **fresh)
    grant.refresh_from_db()
    outbox.introduce(grant, endpoints.announceable(user), FIRST_REPORT_AFTER, relinked=True)
    oauth.supersede(token)
    Enablement.objects.filter(user=user).update(disable_at=None)  # linked again before the skill was disabled
    return grant


@transaction.atomic
def close(grant_id: int, generation: int, reason: str) -> bool:
    """End the link that had this generation: tokens gone, its work cancelled, devices and account untouched. Idempotent.

    False if the grant is closed already or has moved on to another generation.
    """
    grant = (
        AlexaGrant.objects.select_for_update(no_key=True)
        .filter(pk=grant_id, generation=generation)
        .exclude(state=State.CLOSED)
        .first()
    )
    if grant is None:
        return False
    _silence(grant)
    AlexaGrant.objects.filter(pk=grant_id).update(
        state=State.CLOSED,
        reason=quote(reason, 200),
        access_token="",
        refresh_token="",
        closed_at=Now(),
        closing_until=None,
        refresh_leased_until=None,
    )
    if grant.state == State.CLOSING:
        oauth.revoke_all(grant.user_id, before=grant.closing_until - CLOSING_TIME)
    journal.count(f"link closed in {grant.region}", example=f"of user {grant.user_id}: {reason}")
    return True


def _silence(grant: AlexaGrant) -> None:
    """Nothing more is said under this grant; whoever is talking now can settle nothing, and `leased_until` keeps others from talking
    until that must be over."""
    ids = list(Endpoint.objects.select_for_update().filter(grant=grant).order_by("pk").values_list("pk", flat=True))
    Endpoint.objects.filter(pk__in=ids).update(due_at=None, lease=None, announced_digest="", not_before=None)
    untold = Event.objects.filter(endpoint__in=ids, status__in=[Event.Status.PENDING, Event.Status.WAITING])
    held = list(untold.select_for_update().order_by("pk").values_list("pk", flat=True))
    Event.objects.filter(pk__in=held).update(status=Event.Status.CANCELLED, settled_at=Now())


@transaction.atomic
def unlink(user: Any) -> None:
    """The customer disconnects here, in the order of alexa reference 8.5; idempotent.

    The deletions are announced while Amazon's tokens live; then the skill is disabled, if Amazon gave us leave (enablement.py); then
    the link is closed, and what we gave to Alexa before now is revoked. If that takes too long, it is closed all the same.
    """
    outbox.hold_customers([user.pk])
    grants = AlexaGrant.objects.select_for_update(no_key=True).filter(user=user)
    for grant in grants.exclude(state=State.CLOSED).order_by("pk"):
        if grant.state == State.DORMANT:
            close(grant.pk, grant.generation, "Unlinked by the customer.")
    AlexaGrant.objects.filter(user=user, state=State.ACTIVE).update(
        state=State.CLOSING, closing_until=Now() + CLOSING_TIME, reason="Unlinked by the customer."
    )
    Enablement.objects.filter(user=user, disable_at=None).update(disable_at=Now())
    closing = list(AlexaGrant.objects.filter(user=user, state=State.CLOSING).order_by("pk"))
    for grant in closing:
        outbox.withdraw(grant)
    if not closing:
        oauth.revoke_all(user)


def finish_closing() -> int:
    """Close the links whose deletions are told and whose skill is disabled, or whose time is up. Idempotent; called by every delivery."""
    return sum(close(*grant) for grant in select(_ENDED, {}))


_ENDED = """
SELECT id, generation, reason FROM skill_alexagrant AS g WHERE state = 'closing' AND (closing_until < now()
  OR NOT EXISTS (SELECT FROM skill_endpoint AS e WHERE e.grant_id = g.id AND e.due_at IS NOT NULL)
  AND NOT EXISTS (SELECT FROM skill_enablement AS n WHERE n.user_id = g.user_id AND n.disable_at IS NOT NULL))
"""


@transaction.atomic
def suspect(user_id: Any) -> None:
    """Somebody hints that the link may be over: Login with Amazon is asked, whose word counts, and all devices are announced anew, so
    that there is something to ask it for. Idempotent."""
    outbox.hold_customers([user_id])
    for grant in AlexaGrant.objects.select_for_update(no_key=True).filter(user=user_id, state=State.ACTIVE):
        AlexaGrant.objects.filter(pk=grant.pk).update(expires_at=Now())
        outbox.introduce(grant, endpoints.announceable(user_id))


class Link(NamedTuple):
    """A grant as Discover asks for it; `state` is active, or closing: then Alexa is being told to forget the devices."""

    grant_id: int
    state: str
    region: str
    discovered_at: datetime | None
    discovered_bytes: int | None

    def told_lately(self, size: int) -> bool:
        """Alexa asks often: did she get an answer of so many bytes within the hour?"""
        recent = self.discovered_at is not None and timezone.now() - self.discovered_at < timedelta(hours=1)
        return recent and self.discovered_bytes == size


def link(user_id: int) -> Link | None:
    """The grant that counts: the active one, else one that is closing. One query."""
    rows = select(_LINK, {"user": user_id, "live": list(LIVE)})
    return Link(*rows[0]) if rows else None


_LINK = """
SELECT id, state, region, discovered_at, discovered_bytes FROM skill_alexagrant
WHERE user_id = %(user)s AND state = ANY (%(live)s) ORDER BY state LIMIT 1
"""


def active_grant(user: Any, region: str | None = None) -> AlexaGrant | None:
    """The grant that reports go to, if there is one (and, if named, of this region)."""
    grants = AlexaGrant.objects.filter(user=user, state=State.ACTIVE)
    return (grants.filter(region=region) if region else grants).first()
