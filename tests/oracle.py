"""Two judges of every message that the skill emits in the whole suite: Amazon's JSON schema where it covers (alexa reference 0; the
file is not ours to publish and may be absent), and the checker of our own sandbox, which covers the rest and holds each message
against what was announced before."""

import copy
import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from jsonschema_rs import Draft4Validator

from portal.sandbox import checker
from portal.sandbox.checker.announced import against_announcement
from skill import handlers
from skill.alexa import messages
from skill.alexa.errors import InvalidDirective

UNKNOWN_TO_THE_SCHEMA = {"InventoryConsumed", "DeleteReport"}
UNKNOWN_SENSORS = {"Alexa.InventoryUsageSensor", "Alexa.InventoryLevelUsageSensor"}


def shared_dir() -> Path:
    """Where Amazon's schema and samples are."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("SHARED_DIR") or getattr(settings, "SHARED_DIR", "") or beside)


@functools.cache
def schema() -> Draft4Validator | None:
    """Amazon's own schema, or None where it is not at hand."""
    path = shared_dir() / "reference" / "alexa_smart_home_message_schema.json"
    return Draft4Validator(json.loads(path.read_text())) if path.exists() else None


def needs_schema() -> None:
    if schema() is None:
        pytest.skip(f"Amazon's schema is not in {shared_dir()}/reference (SHARED_DIR says where to look)")


class Court:
    """The judges of one test, who remember what Alexa was told of."""

    def __init__(self) -> None:
        self.announced: dict[str, dict[str, Any]] = {}
        self.wrong: list[str] = []

    def hear_event(self, event: Any) -> None:
        """Something that goes to the event gateway."""
        self.wrong += about_event(event) + self._contradictions(event)
        self._remember(event)

    def hear_answer(self, document: Any, answer: Any) -> None:
        """A synchronous answer."""
        self.wrong += about_answer(document, answer) + self._contradictions(answer)
        self._remember(answer)

    def _contradictions(self, message: Any) -> list[str]:
        """Of an endpoint that was announced in this test. A property that the device never said is rightly missing; and of uses the
        sensor need not be announced, because tests make slots without publishing them."""
        if (
            message["event"]["header"]["name"] == "InventoryConsumed"
            or message["event"].get("endpoint", {}).get("endpointId") not in self.announced
        ):
            return []
        found = against_announcement(message, self.announced)
        return [violation for violation in found if "is retrievable but missing" not in violation]

    def _remember(self, message: Any) -> None:
        for endpoint in message["event"]["payload"].get("endpoints", []):
            if "capabilities" in endpoint:
                self.announced[endpoint["endpointId"]] = endpoint


def about_event(event: Any) -> list[str]:
    """What is wrong with an event sent to the gateway."""
    return checker.violations(event, over="gateway") + about_schema(event)


def about_answer(document: Any, answer: Any) -> list[str]:
    """What is wrong with a synchronous answer, by itself and, if the directive is one that we serve, as an answer to it."""
    served = checker.violations_of_answer(document, answer) if _is_served(document) else []
    return (served or checker.violations(answer, over="answer")) + about_schema(answer)


def _is_served(document: Any) -> bool:
    try:
        directive = messages.parse(document)
    except InvalidDirective:
        return False
    about_endpoint = directive.name in ("ReportState", "TurnOn", "TurnOff")
    if about_endpoint and not directive.correlation_token:
        return False
    fits = (
        messages.ENDPOINT_ID.fullmatch(directive.endpoint_id or "") if about_endpoint else directive.endpoint_id is None
    )
    return (
        (directive.namespace, directive.name) in handlers.HANDLERS and bool(fits) and directive.correlation_token != ""
    )


def about_schema(message: Any) -> list[str]:
    """Amazon's schema, on a copy without what it is known to be too old for."""
    if schema() is None or message["event"]["header"]["name"] in UNKNOWN_TO_THE_SCHEMA:
        return []
    return [f"schema: {'/'.join(map(str, error.instance_path))}: {error.message[:200]}" for error in _errors(message)]


def _errors(message: Any) -> list[Any]:
    judged = copy.deepcopy(message)
    for endpoint in judged["event"]["payload"].get("endpoints", []):
        endpoint["displayCategories"] = ["OTHER"]
        endpoint["capabilities"] = [
            capability for capability in endpoint["capabilities"] if capability["interface"] not in UNKNOWN_SENSORS
        ]
    validator = schema()
    assert validator is not None
    return list(validator.iter_errors(judged))
