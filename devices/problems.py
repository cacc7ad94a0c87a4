"""Every failure of the device API as application/problem+json (RFC 9457), and nothing of the rest of the site."""

import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework.exceptions import APIException, NotFound
from rest_framework.exceptions import PermissionDenied as Forbidden
from rest_framework.response import Response

log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER = 10  # seconds, when the trouble is ours


def problem(
    status: int, detail: str, errors: list[dict[str, str]] | None = None, headers: dict[str, str] | None = None
) -> Response:
    """One problem: the status's own phrase as title, a sentence as detail, and per field what to do."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body["detail"] = detail
    if errors:
        body["errors"] = errors
    return Response(body, status=status, headers=headers, content_type=PROBLEM_JSON)


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Translate an exception of a view. Our own trouble is 503 with Retry-After: the device keeps its reading."""
    if isinstance(error, Http404):
        error = NotFound()
    elif isinstance(error, PermissionDenied):
        error = Forbidden()
    if isinstance(error, APIException):
        return problem(error.status_code, _sentence(error), headers=_headers(error))
    if isinstance(error, OperationalError | InterfaceError):
        log.error("device API: the database did not answer: %s", type(error).__name__)
        return problem(503, "Please send it again in a moment.", headers={"Retry-After": str(RETRY_AFTER)})
    log.exception("device API: unexpected %s", type(error).__name__)
    return problem(500, "Something is wrong on our side. Keep the reading and send it again later.")


def _sentence(error: APIException) -> str:
    return error.detail if isinstance(error.detail, str) else str(error)


def _headers(error: APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    return headers
