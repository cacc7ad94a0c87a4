"""The staff API: a factory's list by HTTP, for people who are signed in to the admin. No tokens, no secrets of its own.

Authentication is Django's session with its CSRF token; the permission is "Can import a factory's list of devices".
"""

import io
import logging
from collections.abc import Callable, Mapping
from typing import IO, Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from devices import problems
from devices.factory_lines import Fault
from devices.parsers import BodyTooLarge, JSONOnly, LengthRequired, PlainJSONRenderer
from devices.uploads import LARGEST_UPLOAD, UploadRefused, import_upload

log = logging.getLogger(__name__)

PERMISSION = "devices.import_device"
_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_SECRET = {"type": "object", "properties": dict.fromkeys(("serial", "model", "key", "claim_code"), _TEXT)}
_DONE = {
    "type": "object",
    "required": ["listed", "added", "generated", "secrets"],
    "properties": {
        **dict.fromkeys(("listed", "added", "generated"), _COUNT),
        "secrets": {"type": "array", "items": _SECRET, "description": "Said this once; empty where nothing is new."},
    },
}
_FAULT = {"type": "object", "properties": {"line": _COUNT, "field": _TEXT, "reason": _TEXT}}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        **dict.fromkeys(("type", "title", "detail"), _TEXT),
        "status": {"type": "integer"},
        "errors": {"type": "array", "items": _FAULT},
    },
}
_REFUSED = {(status, problems.PROBLEM_JSON): _PROBLEM for status in (400, 403, 405, 409, 411, 413, 415, 503)}
IMPORTS_POST: dict[str, Any] = {
    "operation_id": "import_devices",
    "summary": "Enter a factory's list of units, all of it or nothing",
    "description": "CSV with the columns serial, model, key, claim_code and, if wanted, mac and firmware; key and "
    'claim_code may be "generate". The same list again changes nothing.',
    "request": {"text/csv": _TEXT},
    "responses": {(200, "application/json"): _DONE, (201, "application/json"): _DONE, **_REFUSED},
    "tags": ["staff"],
}


class CSVParser(BaseParser):
    """text/csv of at most 10 MiB, as bytes."""

    media_type = "text/csv"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None):
        body = stream.read(LARGEST_UPLOAD + 1)
        if len(body) > LARGEST_UPLOAD:
            raise ListTooLarge
        return body


class ListTooLarge(BodyTooLarge):
    """413: not by HTTP."""

    default_detail = f"The list is larger than {LARGEST_UPLOAD} bytes; use manage.py import_devices."


class MayImport(BasePermission):
    """Staff who are allowed to."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        return bool(user and user.is_active and user.is_staff and user.has_perm(PERMISSION))


class ImportsView(APIView):
    """POST a list as text/csv; generated secrets are in the answer and nowhere else."""

    authentication_classes = [SessionAuthentication]
    permission_classes = [MayImport]
    parser_classes = [CSVParser]
    renderer_classes = [PlainJSONRenderer]
    content_negotiation_class = JSONOnly
    http_method_names = ["post"]
    schema = AutoSchema()

    def get_exception_handler(self) -> Callable[..., Response]:
        return problems.handle

    @extend_schema(**IMPORTS_POST)
    def post(self, request: Request) -> Response:
        try:
            done = import_upload(io.BytesIO(_body(request)))
        except UploadRefused as refusal:
            status = 400 if refusal.faults else 409
            return problems.problem(status, str(refusal), [_said(fault) for fault in refusal.faults])
        log.info("staff %s imported a list: %s", request.user.pk, done.imported)
        answer = done.imported._asdict() | {"secrets": [secret._asdict() for secret in done.secrets]}
        headers = {"Cache-Control": "no-store"}
        return Response(answer, status=201 if done.imported.added else 200, headers=headers)


def _body(request: Request) -> bytes:
    if request.META.get("HTTP_TRANSFER_ENCODING") and not request.META.get("CONTENT_LENGTH"):
        raise LengthRequired
    if request.META.get("CONTENT_LENGTH") in (None, "", "0"):
        raise ParseError("The body is empty.")
    if int(request.META["CONTENT_LENGTH"][:20]) > LARGEST_UPLOAD:
        raise ListTooLarge
    return request.data


def _said(fault: Fault) -> dict[str, Any]:
    return {"line": fault.line, "field": fault.field, "reason": fault.reason.encode("utf-8", "replace").decode()}
