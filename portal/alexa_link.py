"""How the customer's link to Alexa stands, in the customer's words: one of five states, and why it ended if it did.

Here: which grant counts, and Amazon's reasons put plainly. Not here: any change (skill.linking), Amazon's own words (the admin).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db.models import Case, F, Value, When

from portal.models import User
from skill.models import AlexaGrant

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
