"""POST /api/v1/iot: the door of AWS IoT's rule. It brings what the shadow service accepted, one message or a batch.

The rule proves itself by the header X-Iot-Secret. The confirmation of its HTTP destination comes without that header
(AWS sends only the action's messages with it); it is answered by opening its enableUrl if that is an address of
AWS IoT in a region and account of ours, so a stranger can make us confirm nothing but our own destination.
"""

import logging
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, NotFound, ParseError, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from devices import documents, iot, openapi, throttles
from devices.models import Device
from devices.parsers import body_of
from devices.views import DeviceAPIView

log = logging.getLogger(__name__)

LARGEST_BATCH = 100
RULE = "rule"


class ConfirmationUnavailable(APIException):
    """AWS IoT did not answer; it is asked to confirm again from its console."""

    status_code = 503
    default_detail = "The confirmation could not be delivered to AWS IoT; let it be sent again."


class RuleAuthentication(BaseAuthentication):
    """Sets ``request.auth`` to "rule" where one of IOT_SECRETS was sent; two of them during a rotation."""

    def authenticate(self, request: Request) -> tuple[None, str] | None:
        shown = request.META.get("HTTP_X_IOT_SECRET", "")
        if not shown:
            return None
        if not any([constant_time_compare(shown, secret) for secret in settings.IOT_SECRETS]):
            throttles.count_failure(request)
            raise AuthenticationFailed("The secret is not right.")
        return None, RULE

    def authenticate_header(self, request: Request) -> str:
        return 'Secret realm="iot"'


class IsRuleOrConfirmation(BasePermission):
    """The rule with its secret; or a confirmation, which is judged by what it says."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.auth == RULE or bool(settings.AWS_IOT_REGIONS and _is_confirmation(request))


class IotView(DeviceAPIView):
    """Idempotent as the verbs behind it are: AWS may deliver a message again, and in any order."""

    authentication_classes = [RuleAuthentication]
    permission_classes = [IsRuleOrConfirmation]
    throttle_classes = []
    http_method_names = ["post"]

    @extend_schema(**openapi.IOT_POST)
    def post(self, request: Request) -> Response:
        if _is_confirmation(request):
            return _confirm(request)
        body = body_of(request)
        if isinstance(body, list):
            return _batch(body)
        return Response(_accept(body))


class UndescribedIotView(IotView):
    """The same door once more, left out of the description."""

    schema = None


def _is_confirmation(request: Request) -> bool:
    return request.META.get("HTTP_X_AMZ_RULES_ENGINE_MESSAGE_TYPE") == "DestinationConfirmation"


def _confirm(request: Request) -> Response:
    """Open the address that enables the destination; on the wire, no transaction open."""
    throttles.count_failure(request)  # a stranger may try; AWS sends one
    try:
        iot.confirm_destination(body_of(request))
    except iot.ConfirmationRefused as refusal:
        raise PermissionDenied(str(refusal)) from refusal
    except iot.IotUnavailable as trouble:
        raise ConfirmationUnavailable from trouble
    return Response({"status": "confirmed"})


def _accept(body: Any) -> dict[str, Any]:
    """One message of .../shadow/update/accepted with the thing's name."""
    try:
        said = documents.parse_accepted(body)
        heard = documents.hear_accepted(_thing(body), said, timezone.now())
    except documents.DocumentRefused as refusal:
        raise ParseError(str(refusal)) from refusal
    answer: dict[str, Any] = {"thingName": body["thingName"], "version": heard.row.version}
    return answer | ({"results": heard.results} if heard.results else {})


def _thing(body: dict[str, Any]) -> Device:
    name = body.get("thingName")
    device = iot.device_of(name) if isinstance(name, str) else None
    if device is None:
        raise NotFound("No device has this thingName.")
    return device


def _batch(items: list[Any]) -> Response:
    """Each message of a batch by itself: what is refused does not stop the others, our own trouble stops all (503)."""
    if not 1 <= len(items) <= LARGEST_BATCH:
        raise ParseError(f"A batch has 1 to {LARGEST_BATCH} messages.")
    return Response({"messages": [_one_of_many(item) for item in items]})


def _one_of_many(item: Any) -> dict[str, Any]:
    try:
        return _accept(item)
    except (ParseError, NotFound) as refusal:
        return {"status": "refused", "reason": str(refusal.detail)}
