"""Skill events (alexa reference 8.5): what Alexa tells of enabling, linking, permissions and disabling, in the format of custom skills.

Hints only, and delivered at least once in any order: nothing is closed because of one, but Login with Amazon is asked whether the link
still holds. Whoever cannot be matched to a customer is ignored.
"""

import hashlib
import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from skill import linking, oauth
from skill.alexa.errors import AlexaError
from skill.models import SkillUser
from skill.quoting import quote

log = logging.getLogger(__name__)
PREFIX = "AlexaSkillEvent."
LINKED = "SkillAccountLinked"
DOUBTFUL = ("SkillDisabled", "SkillPermissionChanged", "SkillPermissionAccepted")
ANSWER = {"version": "1.0", "response": {}}


def is_event(document: object) -> bool:
    """Is this a skill event, and no directive?"""
    return str(_part(document, "request", "type") or "").startswith(PREFIX)


def take(document: object) -> None:
    """Note what the event hints at. Idempotent, in any order, tolerant of whatever is missing."""
    name = quote(str(_part(document, "request", "type"))[len(PREFIX) :], 40)
    alexa_user, at = _part(document, "context", "System", "user", "userId"), _moment(document)
    if isinstance(alexa_user, str) and alexa_user:
        known = _know(name, _hash(alexa_user), _part(document, "request", "body", "accessToken"), at)
        log.info("skill event %s customer=%s", name, known.user_id if known else "unknown")


@transaction.atomic
def _know(name: str, user_hash: str, token: object, at: datetime) -> SkillUser | None:
    if name == LINKED and isinstance(token, str):
        _introduce(user_hash, token, at)
    known = SkillUser.objects.select_for_update().filter(user_hash=user_hash).first()
    if known is None or (known.hinted_at and known.hinted_at >= at):
        return known
    SkillUser.objects.filter(pk=known.pk).update(hint=name, hinted_at=at)
    if name in DOUBTFUL and at >= known.linked_at:
        linking.suspect(known.user_id)
    return known


def _introduce(user_hash: str, token: str, at: datetime) -> None:
    """The access token of ours in the event says which customer this Alexa user is; the newest event counts."""
    try:
        customer = oauth.customer(token)
    except AlexaError:
        return
    row, new = SkillUser.objects.get_or_create(user_hash=user_hash, defaults={"user": customer, "linked_at": at})
    if not new and row.linked_at < at:
        SkillUser.objects.filter(pk=row.pk, linked_at__lt=at).update(user=customer, linked_at=at)


def _moment(document: object) -> datetime:
    """When it happened at Alexa, but never later than now: a clock that runs ahead must not outdate what follows."""
    said = _part(document, "request", "eventCreationTime") or _part(document, "request", "timestamp")
    try:
        moment = parse_datetime(said) if isinstance(said, str) else None
    except ValueError:
        moment = None
    now = timezone.now()
    return min(moment, now) if moment and moment.tzinfo else now


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _part(document: object, *path: str) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document
