"""What the skill knows, one file for each matter: delivery.py (links, endpoints, events, doors), linking.py (how a link came about
and what we hold to end it), oauth.py (our OAuth server's own)."""

from skill.models.delivery import REGIONS, AlexaGrant, AnswerCount, Endpoint, Event, Gateway, Miss
from skill.models.linking import Enablement, LinkingAttempt, SkillUser
from skill.models.oauth import Application, RedeemedCode, Renewal

__all__ = [
    "REGIONS",
    "AlexaGrant",
    "AnswerCount",
    "Application",
    "Enablement",
    "Endpoint",
    "Event",
    "Gateway",
    "LinkingAttempt",
    "Miss",
    "RedeemedCode",
    "Renewal",
    "SkillUser",
]
