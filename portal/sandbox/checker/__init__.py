"""The strict oracle: every message of a skill, held against the Alexa reference.

Here lives the door: `violations` for one message by itself and against what was announced, and `violations_of_answer`
for an answer together with the directive that it answers. The rules stand in the modules beside. Pure: standard
library, no clock, no wire, no state. It never raises, whatever it is given, and an empty list means "nothing wrong".
"""

from collections.abc import Mapping
from typing import Literal

from .announced import against_announcement
from .answers import against_directive
from .discovery import names_to_say
from .kinds import message_violations
from .shapes import item

Way = Literal["gateway", "answer"]
Announced = Mapping[str, Mapping[str, object]]

__all__ = ["Announced", "Way", "kind_of", "shape_violations", "violations", "violations_of_answer"]


def kind_of(message: object) -> str:
    """The name in the header ("ChangeReport"), or "unreadable message" where there is none."""
    name = item(message, "event", "header", "name")
    return name if isinstance(name, str) and name else "unreadable message"


def shape_violations(message: object, over: Way | None = None) -> list[str]:
    """What Alexa would refuse in the message by itself. `over` says which way it came; without it the kind decides."""
    return list(message_violations(message, over))


def violations(message: object, announced: Announced | None = None, over: Way | None = None) -> list[str]:
    """What is wrong with the message by itself and, given the endpoints discovered so far, with its context.

    `announced` maps endpointId to the endpoint object of the last discovery or AddOrUpdateReport.
    """
    found = shape_violations(message, over) + list(names_to_say(message))
    if announced is not None:
        found += against_announcement(message, announced)
    return found


def violations_of_answer(directive: object, answer: object, announced: Announced | None = None) -> list[str]:
    """What is wrong with a synchronous answer: its shape, its context, and whether it fits its directive."""
    return violations(answer, announced, "answer") + list(against_directive(directive, answer))
