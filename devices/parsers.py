"""Strict JSON in, plain JSON out, for the device API.

Numbers become Decimal, so that 42.1 stays 42.1; NaN and Infinity, which are not JSON but which Python's and other
encoders write, become Decimal too, so that record_reading refuses just that one reading by name. Refused as a whole:
more than 1 MiB, text that is not UTF-8, the same key twice in one object (which one was meant?).
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from rest_framework.exceptions import APIException, ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

LARGEST_BODY = 1024 * 1024  # bytes
LONGEST_WHOLE = 30  # characters


class BodyTooLarge(APIException):
    """413: split it."""

    status_code = 413
    default_detail = f"The body is larger than {LARGEST_BODY} bytes; send the readings in smaller batches."
    default_code = "too_large"


class LengthRequired(APIException):
    """411: a body in chunks does not reach a WSGI application; reading it as empty would lose what it says."""

    status_code = 411
    default_detail = "Send a Content-Length; a chunked body is not read here."
    default_code = "length_required"


class EncodingRefused(APIException):
    """415: a compressed body would be read as damaged JSON, and said to be so."""

    status_code = 415
    default_detail = "Send the body as plain JSON, without Content-Encoding."
    default_code = "unsupported_encoding"


class StrictJSONParser(BaseParser):
    """application/json of at most 1 MiB."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None):
        body = stream.read(LARGEST_BODY + 1)
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge
        return loads(body)


def body_of(request: Request) -> Any:
    """What was posted; raises 411 for a chunked body, 415 for a compressed one and 400 for an empty one."""
    if request.META.get("HTTP_TRANSFER_ENCODING") and not request.META.get("CONTENT_LENGTH"):
        raise LengthRequired
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        raise EncodingRefused
    if request.META.get("CONTENT_LENGTH") in (None, "", "0"):
        raise ParseError("The body is empty.")
    return request.data


def loads(body: bytes) -> Any:
    """Parse one JSON text; raises ParseError (400) with a sentence that says what is wrong."""
    try:
        text = body.decode("utf-8")
        return json.loads(
            text, parse_float=_number, parse_int=_whole, parse_constant=Decimal, object_pairs_hook=_object
        )
    except RecursionError as error:
        raise ParseError("The JSON is nested too deeply.") from error
    except ValueError as error:
        raise ParseError(f"The body is not JSON in UTF-8: {str(error)[:200]}") from error


class PlainJSONRenderer(JSONRenderer):
    """ASCII only, so that whatever a device sent can be repeated to it."""

    ensure_ascii = True


class JSONOnly(BaseContentNegotiation):
    """Answers are JSON whatever the Accept header says: a small device may send none, or a wrong one."""

    def select_parser(self, request: Request, parsers: list[BaseParser]) -> BaseParser | None:
        wanted = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == wanted), None)

    def select_renderer(self, request: Request, renderers: list[BaseRenderer], format_suffix: str | None = None):
        return renderers[0], renderers[0].media_type


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond anything
        return Decimal("NaN")


def _whole(text: str) -> int | Decimal:
    """Nobody counts so far; Python refuses to make an int of thousands of digits, and with it the whole batch."""
    return int(text) if len(text) <= LONGEST_WHOLE else _number(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ParseError(
            f"The key {ascii(next(n for n in names if names.count(n) > 1))[:60]} stands twice in one object."
        )
    return found
