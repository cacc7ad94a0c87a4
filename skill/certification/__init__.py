"""Amazon's list for a skill, Works with Alexa and Dash, as checks that are run against a portal that runs (Alexa reference 8.6 and 9.4).

A check returns its evidence, or raises Failed with it. `NotHere` says why it cannot be told here; nothing passes without having been seen.
In linking.py and directives.py what Alexa sees over HTTP (alexa.py plays her), in inside.py what only the portal knows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import requests

from skill.certification.alexa import Alexa, Json, Unexpected


class Failed(Exception):
    """It is not as Amazon asks; the text is the evidence."""


class NotHere(Exception):
    """It cannot be told from here; the text says why."""


class Check(NamedTuple):
    """One line of the list. `todo`: what to do if it fails."""

    title: str
    source: str
    todo: str
    run: Callable[[Any], str]


@dataclass(frozen=True)
class Result:
    """What came of one check."""

    title: str
    source: str
    outcome: Literal["pass", "FAIL", "not here"]
    evidence: str
    todo: str = ""


class Run:
    """What one check learns and the next one needs."""

    def __init__(self, alexa: Alexa) -> None:
        self.alexa = alexa
        self.endpoints: list[Json] = []
        self.answer: Json = {}
        self.levels: dict[tuple[str, str], Decimal] = {}
        self.code = ""


def one(check: Check, state: Any) -> Result:
    try:
        return Result(check.title, check.source, "pass", check.run(state))
    except NotHere as reason:
        return Result(check.title, check.source, "not here", str(reason), check.todo)
    except (Failed, Unexpected) as evidence:
        return Result(check.title, check.source, "FAIL", str(evidence), check.todo)
    except requests.RequestException as error:
        return Result(check.title, check.source, "FAIL", f"no answer: {type(error).__name__}", check.todo)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # the other side's document has another shape
        return Result(check.title, check.source, "FAIL", f"an answer of another shape: {error!r}"[:200], check.todo)


def expect(condition: object, evidence: str) -> None:
    if not condition:
        raise Failed(evidence)
