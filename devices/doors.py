"""The device API beside readings: the shadow, events, the unit's own key. Only translation; verbs are elsewhere."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from devices import documents, events, keys, openapi, presence, problems, serializers, shadow
from devices.models import Device, Door, Shadow
from devices.parsers import body_of
from devices.views import DeviceAPIView


class ShadowView(DeviceAPIView):
    """GET what the unit should be, what it said it is, and the difference; PATCH what it is now."""

    http_method_names = ["get", "patch"]

    @extend_schema(**openapi.SHADOW_GET)
    def get(self, request: Request) -> Response:
        device = request.auth
        presence.heard_from(device, timezone.now())
        return Response(documents.document(_at_this_door(device)))

    @extend_schema(**openapi.SHADOW_PATCH)
    def patch(self, request: Request) -> Response:
        device, now = request.auth, timezone.now()
        try:
            said = documents.parse(body_of(request))
            heard = documents.hear(device, said, now, Door.HTTPS)
        except shadow.VersionConflict as conflict:
            return problems.problem(409, str(conflict), [serializers.fault("version", str(conflict))])
        except (documents.DocumentRefused, shadow.ShadowRefused) as refusal:
            raise ParseError(str(refusal)) from refusal
        answer: dict[str, Any] = documents.document(heard.row)
        return Response(answer | ({"results": heard.results} if heard.results else {}))


class EventsView(DeviceAPIView):
    """POST one thing that happened; idempotent by its id."""

    http_method_names = ["post"]

    @extend_schema(**openapi.EVENTS_POST)
    def post(self, request: Request) -> Response:
        said = serializers.happening_of(body_of(request))
        if isinstance(said, list):
            return problems.problem(400, "The event is refused; see errors.", said)
        try:
            told = events.tell(request.auth, said, timezone.now())
        except events.EventRefused as refusal:
            return problems.problem(400, str(refusal), [serializers.fault("slot", str(refusal))])
        answer: dict[str, Any] = {"id": said.event_id, "status": told.status}
        if told.outcome:
            answer["reading"] = serializers.answer(told.outcome)
        return Response(answer, status=201 if told.status == "recorded" else 200)


class KeyView(DeviceAPIView):
    """POST (no body) for a new key; the one that was used to ask works until the new one has been used."""

    http_method_names = ["post"]

    @extend_schema(**openapi.KEY_POST)
    def post(self, request: Request) -> Response:
        try:
            key = keys.rotate_by_device(request.auth)
        except keys.RotationRefused as refusal:
            return problems.problem(409, str(refusal))
        return Response({"key": key}, status=201, headers={"Cache-Control": "no-store"})


def _at_this_door(device: Device) -> Shadow:
    """The shadow as it is; who asks here is no longer told by another way."""
    row = shadow.read(device)
    return row if row.door in (Door.NONE, Door.HTTPS) else shadow.update(device, door=Door.HTTPS)
