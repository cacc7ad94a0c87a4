"""Does a synchronous answer fit its directive? (Alexa reference 1.2, 2.1, 4, 7.5 to 7.7)"""

from .shapes import Found, brief, item

_FITTING = {
    "Discover": {("Alexa.Discovery", "Discover.Response"), ("Alexa", "ErrorResponse")},
    "AcceptGrant": {("Alexa.Authorization", "AcceptGrant.Response"), ("Alexa.Authorization", "ErrorResponse")},
    "ReportState": {("Alexa", "StateReport"), ("Alexa", "DeferredResponse"), ("Alexa", "ErrorResponse")},
}
_CONTROL = {("Alexa", "Response"), ("Alexa", "DeferredResponse"), ("Alexa", "ErrorResponse")}


def against_directive(directive: object, answer: object) -> Found:
    """The right kind of answer, the same correlationToken byte for byte, the same endpoint, an id of its own."""
    asked = item(directive, "directive", "header")
    told = item(answer, "event", "header")
    yield from _kind(asked, told)
    yield from _correlation(asked, told)
    yield from _endpoint(directive, answer)
    if item(told, "messageId") is not None and item(told, "messageId") == item(asked, "messageId"):
        yield "event.header.messageId: is the directive's; an answer has an id of its own"


def _kind(asked: object, told: object) -> Found:
    name = item(asked, "name")
    fitting = _FITTING.get(name, _CONTROL) if isinstance(name, str) else _CONTROL
    given = (item(told, "namespace"), item(told, "name"))
    if not any(given == pair for pair in fitting):
        yield f"event.header: {brief(given[0])} {brief(given[1])} is no answer to {brief(name)}"


def _correlation(asked: object, told: object) -> Found:
    wanted, given = item(asked, "correlationToken"), item(told, "correlationToken")
    if wanted != given:
        yield "event.header.correlationToken: is not that of the directive"


def _endpoint(directive: object, answer: object) -> Found:
    wanted = item(directive, "directive", "endpoint", "endpointId")
    given = item(answer, "event", "endpoint", "endpointId")
    deferred = item(answer, "event", "header", "name") == "DeferredResponse"
    if wanted != given and not deferred:
        yield f"event.endpoint.endpointId: {brief(given)}, but the directive was for {brief(wanted)}"
