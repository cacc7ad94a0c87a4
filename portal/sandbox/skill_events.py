"""Skill events (Alexa reference 8.5): Alexa tells the skill that it was enabled, linked or disabled, in the format of custom skills.

They go through the same Lambda as directives, beside whatever the customer does: nobody waits for them, and none is repeated here.
Only a skill whose manifest subscribes to them gets them, so there is a knob.
"""

from __future__ import annotations

import hashlib
import uuid

from .amazon import Amazon
from .checker.shapes import is_object, item
from .state import Json, stamp

ENABLED = "SkillEnabled"
LINKED = "SkillAccountLinked"
DISABLED = "SkillDisabled"


def event(name: str, skill_id: str, account: str, body: Json) -> Json:
    """The request as Alexa sends it; `body` is empty where the event has none."""
    at = stamp()
    request: Json = {"type": f"AlexaSkillEvent.{name}", "requestId": str(uuid.uuid4()), "timestamp": at}
    request |= {"eventCreationTime": at, "eventPublishingTime": at, **({"body": body} if body else {})}
    system = {"application": {"applicationId": skill_id}, "user": {"userId": user_id(account)}}
    return {"version": "1.0", "context": {"System": system}, "request": request}


def user_id(account: str) -> str:
    """The customer as this skill knows him: opaque, and the same for ever."""
    return f"amzn1.ask.account.{hashlib.sha256(account.encode()).hexdigest().upper()}"


def linked(amazon: Amazon, account: str, token: str, *, anew: bool) -> None:
    """The account was linked; `anew`: the skill was enabled for it, too. The token is the skill's own."""
    told: list[tuple[str, Json]] = [(ENABLED, {})] if anew else []
    _tell(amazon, account, [*told, (LINKED, {"accessToken": token})])


def disabled(amazon: Amazon, account: str) -> bool:
    """The customer disabled the skill. False where the skill does not want to know."""
    return _tell(amazon, account, [(DISABLED, {"userInformationPersistenceStatus": "NOT_PERSISTED"})])


def _tell(amazon: Amazon, account: str, events: list[tuple[str, Json]]) -> bool:
    wanted = bool(amazon.state.knobs["skill_events"])
    if wanted:
        amazon.beside(_send(amazon, account, events))
    return wanted


async def _send(amazon: Amazon, account: str, events: list[tuple[str, Json]]) -> None:
    async with amazon.lock(f"skill events {account}"):
        for name, body in events:
            told = event(name, amazon.settings.skill_id, account, body)
            carried = await amazon.courier.carry(told)
            details = {"request": told, "answer": carried.answer, "words": carried.words, "ms": carried.milliseconds}
            wrong = [] if carried.words else _of_answer(carried.answer)
            amazon.state.record("out", "skill", name, violations=wrong, **details)


def _of_answer(answer: object) -> list[str]:
    """Alexa reads nothing in it, but it must be an answer of a custom skill."""
    right = item(answer, "version") == "1.0" and is_object(item(answer, "response"))
    return [] if right else ["the answer to a skill event is a version and a response"]
