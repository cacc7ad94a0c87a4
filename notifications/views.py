"""The door that SNS posts to: HTTP in, HTTP out. Every verdict comes from `inbox.receive`; here it becomes a status.

The sender never learns which check failed. 503 makes SNS try again; every other refusal makes it give up for ever.
"""

import base64
import logging
from collections.abc import Callable
from typing import IO

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.common import no_append_slash
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from devices.deadline import deadline
from notifications import inbox, sns

log = logging.getLogger(__name__)

LARGEST_BODY = 1024 * 1024
ANSWER_SECONDS = 10.0  # SNS waits 15
HEADERS = {f"HTTP_{name.upper().replace('-', '_')}": name for name in sns.HEADERS}


class _TooLarge(Exception):
    """A body that no SNS message has."""


class Door:
    """Lets SNS in before anything that is for browsers: sessions, redirects, static files, the Host that a browser names.

    `urls.py` names the same address, so that links to it can be made and a portal without this middleware answers the same.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return door(request) if request.path_info in ("/sns/", "/sns") else self.get_response(request)


@no_append_slash
@csrf_exempt
@require_POST
def door(request: HttpRequest) -> HttpResponse:
    """One SNS message. 200 means stored. Source: Amazon's SNS guide, section 7."""
    try:
        body = _body(request)
    except _TooLarge:
        return HttpResponse("too large", status=413, content_type="text/plain")
    except OSError:  # the sender hung up
        return HttpResponse(status=400)
    return _refuse_stranger(request) or _receive(body, request)


def _receive(body: bytes, request: HttpRequest) -> HttpResponse:
    try:
        with deadline(ANSWER_SECONDS):
            inbox.receive(body, _sns_headers(request))
    except sns.Refused as problem:
        log.warning("SNS message refused by the check: %s", problem)
        return HttpResponse(status=400 if isinstance(problem, sns.Malformed) else 403)
    except (sns.CertificateUnavailable, DatabaseError, InterfaceError) as problem:
        log.error("SNS message could not be taken now, SNS will try again: %s %s", type(problem).__name__, problem)
        return HttpResponse(status=503, headers={"Retry-After": "20"})
    return HttpResponse("ok", content_type="text/plain")


def _sns_headers(request: HttpRequest) -> dict[str, str]:
    """The only headers that verification looks at, without taking all the others apart."""
    return {name: request.META[key] for key, name in HEADERS.items() if key in request.META}


def _body(request: HttpRequest) -> bytes:
    """The body, never more than a byte over the limit; its announced length is believed only when it is too large."""
    announced = str(request.META.get("CONTENT_LENGTH") or "")
    if announced.isdecimal() and int(announced) > LARGEST_BODY:
        raise _TooLarge
    stream = _stream(request)
    body = b""
    while len(body) <= LARGEST_BODY and (chunk := stream.read(LARGEST_BODY + 1 - len(body))):
        body += chunk
    if len(body) > LARGEST_BODY:
        raise _TooLarge
    return body


def _stream(request: HttpRequest) -> IO[bytes]:
    """Django takes a body without a length for an empty one; in chunks, only the server knows its end."""
    if request.META.get("CONTENT_LENGTH") or "chunked" not in request.headers.get("Transfer-Encoding", "").lower():
        return request
    return request.META["wsgi.input"]


def _refuse_stranger(request: HttpRequest) -> HttpResponse | None:
    """Basic authentication where it is configured; the challenge only for who sent nothing, as SNS does at first."""
    if not settings.SNS_BASIC_AUTH:
        return None
    sent = request.headers.get("Authorization")
    if sent is None:
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Basic realm="sns"'})
    known = [constant_time_compare(sent, _basic(pair)) for pair in settings.SNS_BASIC_AUTH]
    return None if any(known) else HttpResponse(status=403)


def _basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()
