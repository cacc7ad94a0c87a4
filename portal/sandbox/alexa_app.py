"""The Alexa app: link, discover, ask, turn on and off, disable. Every directive goes through the courier, as through AWS Lambda.

An answer is checked against the reference and against what was announced; a token that has expired is renewed and the
directive sent once more, as Alexa does.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Callable

from . import directives, linking, links, lwa, skill_events
from .amazon import Amazon
from .checker import shape_violations, violations_of_answer
from .checker.discovery import endpoint_list
from .checker.shapes import is_object, item, items
from .state import Json

Maker = Callable[[str, str], Json]


class AskError(Exception):
    """The skill gave no usable answer; the text is for a person."""


async def link(amazon: Amazon, query: Json) -> str:
    """The return address: tokens, then AcceptGrant, then Discover. Returns words; errors are words, too."""
    account = await linking.returned(amazon, query)
    async with amazon.lock(f"link {account}"):
        return await grant_and_discover(amazon, account)


async def grant_and_discover(amazon: Amazon, account: str) -> str:
    """What follows on the tokens. Returns words; LinkingError and AskError where the skill does not play along."""
    await _accept_grant(amazon, account)
    return f"Linked. {await discover(amazon, account)}"


async def _accept_grant(amazon: Amazon, account: str) -> None:
    """A missing or wrong answer makes account linking fail for the customer (reference 4)."""
    code = lwa.issue_code(amazon.state, account)
    link = amazon.state.links[account]
    answer, _ = await _tell(amazon, account, lambda token, number: directives.accept_grant(token, number, code))
    if item(answer, "event", "header", "name") != "AcceptGrant.Response" or shape_violations(answer, "answer"):
        words = f"Unable to link: AcceptGrant was not accepted. {_why(answer)}"
        link |= {"status": "failed", "words": words}
        amazon.state.save()
        raise linking.LinkingError(words)
    anew = not link.get("enabled")
    link |= {"status": "linked", "words": "", "enabled": True}
    amazon.state.save()
    skill_events.linked(amazon, account, link["access_token"], anew=anew)


async def discover(amazon: Amazon, account: str) -> str:
    """Finds the devices. Returns words for the person; AskError when the skill did not answer with devices."""
    links.linked(amazon.state, account)
    answer, _ = await _tell(amazon, account, directives.discover)
    if item(answer, "event", "header", "name") != "Discover.Response":
        raise AskError(f"Discovery failed. {_why(answer)}")
    given = items(item(answer, "event", "payload", "endpoints"))
    # One bad endpoint must not hide the good ones from the page; the wire shows in red what is wrong with it.
    usable = [member for member in given if is_object(member) and not list(endpoint_list([member], "endpoint"))]
    links.announce(amazon.state, account, usable, whole=True)
    left_out = f" {len(given) - len(usable)} could not be used." if len(usable) < len(given) else ""
    return f"Alexa found {len(usable)} device{'' if len(usable) == 1 else 's'}.{left_out}"


async def ask(amazon: Amazon, account: str, endpoint_id: str | None) -> str:
    """ReportState for one endpoint (the first, where none is named). Returns words."""
    endpoint = _endpoint(amazon, account, endpoint_id)
    correlation = _correlation()
    answer, wrong = await _tell(
        amazon, account, lambda token, number: directives.report_state(token, number, correlation, endpoint)
    )
    if item(answer, "event", "header", "name") != "StateReport":
        raise AskError(f"{endpoint['friendlyName']} did not answer. {_why(answer)}")
    links.hear(amazon.state, account, answer)
    return f"{endpoint['friendlyName']}: {_spoken(answer)}.{_warning(wrong)}"


async def turn(amazon: Amazon, account: str, endpoint_id: str | None, on: bool) -> str:
    """TurnOn or TurnOff for one endpoint. Returns words, which may be that the answer is still to come."""
    endpoint = _endpoint(amazon, account, endpoint_id)
    correlation, word = _correlation(), "on" if on else "off"
    links.open_directive(amazon.state, account, correlation, endpoint["endpointId"], f"Turn {word}")
    answer, wrong = await _tell(
        amazon, account, lambda token, number: directives.turn(token, number, correlation, endpoint, on)
    )
    kind = item(answer, "event", "header", "name")
    if kind == "DeferredResponse":
        return f"{endpoint['friendlyName']} takes its time; the answer comes to the gateway.{_warning(wrong)}"
    links.close_directive(amazon.state, account, correlation)
    if kind == "Response":
        links.hear(amazon.state, account, answer)
        return f"{endpoint['friendlyName']} is {word}: {_spoken(answer)}.{_warning(wrong)}"
    raise AskError(f"{endpoint['friendlyName']} was not turned {word}. {_why(answer)}")


def _endpoint(amazon: Amazon, account: str, endpoint_id: str | None) -> Json:
    links.linked(amazon.state, account)
    known = links.announced(amazon.state, account)
    endpoint = known.get(endpoint_id or next(iter(known), ""))
    if endpoint is None:
        raise AskError("Alexa knows no such device. Discover first.")
    return endpoint


def _correlation() -> str:
    return base64.b64encode(secrets.token_bytes(120)).decode()


def _warning(wrong: list[str]) -> str:
    return " Its answer breaks rules, see the wire." if wrong else ""


def disable(amazon: Amazon, account: str) -> str:
    """The customer disables the skill: no directive tells the skill, at most an event. LWA refuses to renew, the gateway answers 403."""
    link = links.linked(amazon.state, account)
    link |= {"status": "disabled", "words": "The skill is disabled.", "endpoints": {}, "deferred": {}}
    link |= {"access_token": None, "refresh_token": None, "enabled": False}
    lwa.disable(amazon.state, account)
    if skill_events.disabled(amazon, account):
        return (
            "The skill is disabled. A skill event hints at it; the portal believes it when Login with Amazon says so."
        )
    return "The skill is disabled. Nobody tells the portal; it learns so from the gateway or from Login with Amazon."


async def _tell(amazon: Amazon, account: str, make: Maker) -> tuple[object, list[str]]:
    """Sends one directive; renews the token and sends once more where the skill calls it expired."""
    answer, wrong = await _send(amazon, account, make(await linking.access_token(amazon, account), str(uuid.uuid4())))
    if item(answer, "event", "payload", "type") == "EXPIRED_AUTHORIZATION_CREDENTIAL":
        token = await linking.access_token(amazon, account, renew=True)
        answer, wrong = await _send(amazon, account, make(token, str(uuid.uuid4())))
    return answer, wrong


async def _send(amazon: Amazon, account: str, directive: Json) -> tuple[object, list[str]]:
    carried = await amazon.courier.carry(directive)
    known = links.announced(amazon.state, account)
    wrong = [] if carried.words else violations_of_answer(directive, carried.answer, known)
    details: Json = {"request": directive, "answer": carried.answer, "words": carried.words, "violations": wrong}
    name = directive["directive"]["header"]["name"]
    amazon.state.record("out", "directive", name, ms=carried.milliseconds, **details)
    return carried.answer if not carried.words else {"words": carried.words}, wrong


def _why(answer: object) -> str:
    """The skill's own words, or the courier's."""
    kind, message = item(answer, "event", "payload", "type"), item(answer, "event", "payload", "message")
    if isinstance(kind, str):
        return f"The skill answered {kind}: {message}"
    words = item(answer, "words")
    return words if isinstance(words, str) else "The answer of the skill makes no sense; see the wire."


def _spoken(answer: object) -> str:
    told = [_property(member) for member in items(item(answer, "context", "properties"))]
    return ", ".join(words for words in told if words) or "nothing to tell"


def _property(member: object) -> str:
    value = item(member, "value")
    inner = item(value, "value") if is_object(value) else value
    unit = "%" if item(value, "@type") == "Percentage" else f" {item(value, 'unit') or ''}".rstrip()
    return f"{item(member, 'instance') or item(member, 'name')} {inner}{unit}"
