"""How the customer's link to Alexa stands, in the customer's words: one of five states, why it ended if it did, and what became of the
last attempt to link.

Here: which grant counts, and Amazon's reasons put plainly. Not here: any change (skill.linking), Amazon's own words (the admin).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db.models import Case, F, Value, When
from django.utils import timezone

from portal.models import User
from skill import attempts, enablement
from skill.models import AlexaGrant, Enablement

State = AlexaGrant.State
Standing = Literal["none", "active", "delayed", "closing", "closed"]
REASONS = {
    "Unlinked by the customer": "you unlinked it here",
    "Login with Amazon": "Amazon no longer accepts the permission that it gave us for your devices",
    "Amazon": "the skill was disabled in the Alexa app",
}


@dataclass(frozen=True)
class LinkCard:
    """`since` is when it was linked, or when it ended; `why` completes “because …”, empty unless it ended."""

    standing: Standing
    since: datetime | None = None
    why: str = ""

    @property
    def is_on(self) -> bool:
        return self.standing in ("active", "delayed")


def link_card(user: User) -> LinkCard:
    """The link as it stands: what is active, else what is closing, else what ended last. One query."""
    grant = _telling_grant(user)
    if grant is None:
        return LinkCard("none")
    if grant.state == State.ACTIVE:
        return LinkCard("delayed" if grant.trouble else "active", grant.accepted_at)
    if grant.state == State.CLOSING:
        return LinkCard("closing", grant.accepted_at)
    return LinkCard("closed", grant.closed_at, why(grant.reason))


@dataclass(frozen=True)
class LastAttempt:
    """An attempt that did not succeed: what the customer can do, and the reference under which support finds it."""

    words: str
    reference: str
    opened_at: datetime


def last_attempt(user: User, link: LinkCard) -> LastAttempt | None:
    """The newest attempt, if it failed within the last week and nothing was linked since."""
    attempt = attempts.latest(user)
    if attempt is None or attempt.tokens_at or timezone.now() - attempt.opened_at > timedelta(days=7):
        return None
    verdict = attempts.verdict(attempt)
    overtaken = link.is_on and link.since is not None and link.since > attempt.opened_at
    if verdict.cause is None or overtaken:
        return None
    return LastAttempt(verdict.cause.customer, attempt.reference, attempt.opened_at)


def alexa_page(user: User, *, on_a_phone: bool) -> dict[str, Any]:
    """The page about the link: how it stands, what to do, what went wrong last."""
    link = link_card(user)
    return {
        "link": link,
        "attempt": last_attempt(user, link),
        "can_connect": enablement.configured(),
        "on_a_phone": on_a_phone,
        "can_check": Enablement.objects.filter(user=user, disable_at=None).exists(),
    }


def why(reason: str) -> str:
    """The reason that was kept, in the customer's words."""
    for beginning, words in REASONS.items():
        if reason.startswith(beginning):
            return words
    return "Amazon ended it"


def _telling_grant(user: User) -> AlexaGrant | None:
    rank = Case(When(state=State.ACTIVE, then=Value(0)), When(state=State.CLOSING, then=Value(1)), default=Value(2))
    grants = AlexaGrant.objects.filter(user=user).exclude(state=State.DORMANT).defer("access_token", "refresh_token")
    return grants.order_by(rank, F("closed_at").desc(nulls_last=True)).first()
