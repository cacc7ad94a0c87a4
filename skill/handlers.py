"""One function per directive, and the table of them. A handler reads rows, asks the translator, and returns the whole answer."""

import logging
import uuid
from collections.abc import Callable

from django.db import DatabaseError

from skill import attempts, endpoints, linking, oauth, outbox, power
from skill.alexa import discovery, messages
from skill.alexa.errors import InvalidDirective
from skill.alexa.messages import Directive, Json
from skill.models import AlexaGrant

log = logging.getLogger(__name__)


def handle(directive: Directive, region: str) -> Json:
    """The answer to a directive that the courier of `region` brought. Raises AlexaError."""
    handler = HANDLERS.get((directive.namespace, directive.name))
    if handler is None:
        raise InvalidDirective(f"{directive.namespace}.{directive.name} is not supported."[:200])
    return handler(directive, region)


def discover(directive: Directive, region: str) -> Json:
    """All devices of the customer; what was told is remembered, so that it is not announced again (alexa reference 2)."""
    customer = oauth.customer_id(directive.token)
    link = linking.link(customer)
    owned = [] if link and link.state == AlexaGrant.State.CLOSING else endpoints.owned_by(customer)
    described = endpoints.describe_all(owned, region)
    answer = discovery.discover_response(_id(), described.told)
    size = discovery.size(answer)
    if described.left_out or size >= discovery.LARGE_ANSWER_BYTES:
        told = len(described.told)
        log.warning("discovery user=%s told=%d bytes=%d left_out=%s", customer, told, size, described.left_out)
    if link is None or link.discovered_at is None:
        attempts.discovered(customer, len(described.told))
    if link and link.state == AlexaGrant.State.ACTIVE and link.region == region:
        _remember(link, described, size)
    return answer


def _remember(link: linking.Link, described: endpoints.Described, size: int) -> None:
    """If it cannot be written down (somebody holds the rows), Alexa hears it all once more; that is no reason not to answer."""
    try:
        old = link.told_lately(size) and outbox.is_known(link.grant_id, described.digests, described.left_out)
        if not old:
            outbox.discovered(link.grant_id, described.digests, described.left_out, size)
    except DatabaseError as error:
        log.warning("what was discovered is not remembered: %s", type(error).__name__)


def accept_grant(directive: Directive, region: str) -> Json:
    """Who the customer is says our token in `grantee`; Amazon's code is in `grant` (alexa reference 4)."""
    customer = oauth.customer(directive.token)
    grant = directive.payload.get("grant")
    if not isinstance(grant, dict) or grant.get("type") != "OAuth2.AuthorizationCode":
        raise InvalidDirective("payload.grant must be of type OAuth2.AuthorizationCode.")
    code = grant.get("code")
    if not isinstance(code, str) or not code.isprintable() or not code:
        raise InvalidDirective("payload.grant.code is missing or no plain text.")
    linking.accept_grant(customer, code, region, directive.token)
    return messages.accept_grant_response(_id())


def report_state(directive: Directive, region: str) -> Json:
    """From what we know, at once: an offline device answers with its last values and UNREACHABLE (alexa reference 7.5)."""
    correlation_token = _expect_correlation(directive)
    told = endpoints.state(oauth.customer_id(directive.token), directive.endpoint_id)
    return messages.state_report(_id(), correlation_token, str(directive.endpoint_id), told)


def turn_on(directive: Directive, region: str) -> Json:
    return _switch(directive, region, "ON")


def turn_off(directive: Directive, region: str) -> Json:
    return _switch(directive, region, "OFF")


def _switch(directive: Directive, region: str, wanted: str) -> Json:
    """Done: a Response with every property as it is then. Not yet: a DeferredResponse, and the answer follows (alexa reference 7.6)."""
    correlation_token = _expect_correlation(directive)
    if "\0" in correlation_token or not correlation_token.isascii():
        raise InvalidDirective("header.correlationToken has characters that cannot be kept for a later answer.")
    customer = oauth.customer_id(directive.token)
    device = endpoints.find(customer, directive.endpoint_id)
    if not power.switch(device, wanted, correlation_token, region):
        return messages.deferred_response(_id(), correlation_token, int(power.PATIENCE.total_seconds()))
    told = endpoints.state(customer, directive.endpoint_id)
    return messages.response(_id(), correlation_token, endpoints.endpoint_id(device), told)


def _expect_correlation(directive: Directive) -> str:
    if not directive.correlation_token:
        raise InvalidDirective("header.correlationToken is missing: the answer could not be told from any other.")
    return directive.correlation_token


HANDLERS: dict[tuple[str, str], Callable[[Directive, str], Json]] = {
    ("Alexa.Discovery", "Discover"): discover,
    ("Alexa.Authorization", "AcceptGrant"): accept_grant,
    ("Alexa", "ReportState"): report_state,
    ("Alexa.PowerController", "TurnOn"): turn_on,
    ("Alexa.PowerController", "TurnOff"): turn_off,
}


def _id() -> str:
    return str(uuid.uuid4())
