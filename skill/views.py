"""The courier's door: it parses, asks handlers, and answers, always HTTP 200 with an Alexa answer to whoever is our courier."""

import json
import logging
import time
import uuid
from collections.abc import Callable

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, RawPostDataException
from django.http.request import UnreadablePostError
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from devices.deadline import deadline
from skill import handlers, skill_events
from skill.alexa import messages
from skill.alexa.errors import AlexaError, InternalError, InvalidDirective
from skill.models import REGIONS

log = logging.getLogger(__name__)
MAX_BODY = 256 * 1024
ANSWER_SECONDS = 6.0  # Alexa waits 8, the courier 7


class Door:
    """Lets the courier in before anything that is for browsers: sessions, redirects, static files. `urls.py` names the same address,
    so that links to it can be made and a portal without this middleware answers the same.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info != "/skill/directive":
            return self.get_response(request)
        response = directive(request)
        response.headers["Content-Length"] = str(len(response.content))
        return response


@csrf_exempt
@require_POST
def directive(request: HttpRequest) -> HttpResponse:
    """POST /skill/directive. 403 to whoever does not know the courier's secret; else 200 with an event (alexa reference 7)."""
    if not (settings.COURIER_SECRET and _is_courier(request)):
        return JsonResponse({"error": "Only the skill's courier may ask here."}, status=403)
    started = time.monotonic()
    document: object = None
    try:
        document = _document(request)
        with deadline(ANSWER_SECONDS):
            if skill_events.is_event(document):
                return _take(document)
            answer = handlers.handle(messages.parse(document), _region(request))
    except AlexaError as error:
        answer = _error(error, document)
    except Exception:
        log.exception("directive failed: %s", _title(document))
        answer = _error(InternalError("The device cloud has a problem of its own."), document)
    _log(document, answer, started)
    return _answer(answer)


def _answer(answer: messages.Json) -> HttpResponse:
    """orjson is ten times as quick, but refuses what Alexa might send to be echoed: half a surrogate pair, a number beyond 64 bits."""
    try:
        return HttpResponse(orjson.dumps(answer), content_type="application/json")
    except orjson.JSONEncodeError:
        return JsonResponse(answer)


def _take(document: object) -> HttpResponse:
    """A skill event is a hint: what cannot be noted is a line in the log, and no reason for Alexa to worry."""
    try:
        skill_events.take(document)
    except Exception:
        log.exception("a skill event was not noted")
    return JsonResponse(skill_events.ANSWER)


def _is_courier(request: HttpRequest) -> bool:
    return constant_time_compare(request.headers.get("X-Courier-Secret", ""), settings.COURIER_SECRET)


def _document(request: HttpRequest) -> object:
    """The decoded body. Raises InvalidDirective."""
    try:
        body = request.read(MAX_BODY + 1)
    except (UnreadablePostError, RawPostDataException) as error:
        raise InvalidDirective("The directive's body could not be read.") from error
    if len(body) > MAX_BODY:
        raise InvalidDirective(f"The directive is larger than {MAX_BODY} bytes.")
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidDirective("The directive is not valid JSON.") from error
    return document


def _region(request: HttpRequest) -> str:
    region = request.headers.get("X-Skill-Region", "NA").upper()
    if region not in dict(REGIONS):
        raise InvalidDirective(f"The courier names an unknown region; known are {', '.join(dict(REGIONS))}.")
    return region


def _error(error: AlexaError, document: object) -> messages.Json:
    """The error as an answer; of AcceptGrant in its own namespace and with the one type that it knows."""
    correlation_token, endpoint_id = messages.correlation_of(document)
    type_, namespace, extra = error.type, error.namespace, error.extra
    if _title(document) == "Alexa.Authorization.AcceptGrant":
        type_, namespace, endpoint_id, extra = "ACCEPT_GRANT_FAILED", "Alexa.Authorization", None, {}
    return messages.error_response(
        str(uuid.uuid4()),
        type_,
        str(error),
        correlation_token=correlation_token,
        endpoint_id=endpoint_id,
        namespace=namespace,
        extra=extra,
    )


def _title(document: object) -> str:
    try:
        header = document["directive"]["header"]  # type: ignore[index]
        return ascii(f"{header['namespace']}.{header['name']}")[1:-1][:100]
    except (TypeError, KeyError, IndexError):
        return "unreadable"


def _log(document: object, answer: messages.Json, started: float) -> None:
    event = answer["event"]
    outcome = event["payload"].get("type", "") if event["header"]["name"] == "ErrorResponse" else "ok"
    log.info(
        "directive %s answer=%s outcome=%s ms=%d",
        _title(document),
        event["header"]["name"],
        outcome,
        (time.monotonic() - started) * 1000,
    )
