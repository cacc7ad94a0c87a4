"""The device API: report readings, ask about oneself. Only translation; what happens is in inventory.py."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from devices import openapi, presence, problems, remembered, serializers
from devices.authentication import DeviceAuthentication, IsDevice
from devices.deadline import deadline
from devices.inventory import Measurement, Outcome, record_reading
from devices.measurements import LARGEST_EPOCH, MeasurementRefused, slot_of, whole
from devices.models import Device, Inventory, Reading, Slot
from devices.paging import RecordedPages
from devices.parsers import LARGEST_BODY, BodyTooLarge, JSONOnly, PlainJSONRenderer, StrictJSONParser, body_of
from devices.throttles import DeviceThrottle

log = logging.getLogger(__name__)
ANSWER_SECONDS = 10.0


class DeviceAPIView(APIView):
    """What all addresses of the device API have in common, in place of DRF's site-wide defaults."""

    authentication_classes = [DeviceAuthentication]
    permission_classes = [IsDevice]
    throttle_classes = [DeviceThrottle]
    parser_classes = [StrictJSONParser]
    renderer_classes = [PlainJSONRenderer]
    content_negotiation_class = JSONOnly
    http_method_names = ["get", "post"]
    schema = AutoSchema()

    def get_exception_handler(self) -> Callable[..., Response]:
        return problems.handle

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with contextlib.ExitStack() as self.watched:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Too large is said before anything is read or asked of the database. A body comes as slowly as the unit's radio sends it,
        and only from who may: the database has its time before it, and again after it."""
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length[:20]) > LARGEST_BODY:
            raise BodyTooLarge
        with deadline(ANSWER_SECONDS):
            super().initial(request, *args, **kwargs)
        if length.isdecimal():
            _read_whole(request._request)
        self.watched.enter_context(deadline(ANSWER_SECONDS))


def _read_whole(request: HttpRequest) -> None:
    """Django keeps it, and what parses it finds it there. Raises ParseError if it ends early."""
    try:
        request.body  # noqa: B018
    except UnreadablePostError as error:
        raise ParseError("The body ended early.") from error


class ReadingsView(DeviceAPIView):
    """POST one reading or {"readings": [1 to 1,000]}; idempotent by sequence, so a lost answer is asked for again. GET what is
    recorded of one slot since the present owner's claim: whoever buys a used unit reads nothing of the former owner's."""

    @extend_schema(**openapi.READINGS_GET)
    def get(self, request: Request) -> Response:
        device, pages = request.auth, RecordedPages()
        presence.heard_from(device, timezone.now())
        try:
            slot, epoch = _asked(device, request.query_params)
        except MeasurementRefused as refusal:
            return problems.problem(400, refusal.reason, [serializers.fault(refusal.field, refusal.reason)])
        kept = Reading.objects.shown_to_owner(device).filter(slot=slot, epoch=epoch)
        rows = pages.paginate_queryset(kept, request, view=self) or []
        return pages.get_paginated_response([serializers.recorded(row, slot) for row in rows])

    @extend_schema(**openapi.READINGS_POST)
    def post(self, request: Request) -> Response:
        body = body_of(request)
        items = serializers.readings_of(body)
        return _single(request.auth, body) if items is None else _batch(request.auth, items)


class Door:
    """Lets a unit with readings in before anything that is for browsers: sessions, redirects, static files. `urls.py` names the
    same address, so that links to it can be made and a portal without this middleware answers the same.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.readings = ReadingsView.as_view()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info != "/api/v1/readings" or request.method != "POST":
            return self.get_response(request)
        response = self.readings(request).render()
        response.headers["Content-Length"] = str(len(response.content))
        return response


class MeView(DeviceAPIView):
    """GET what the portal knows of this unit: model, slots, the last sequence of each."""

    @extend_schema(**openapi.ME_GET)
    def get(self, request: Request) -> Response:
        device = request.auth
        presence.heard_from(device, timezone.now())
        states = {row.slot_id: row for row in Inventory.objects.filter(device=device)}
        return Response(serializers.about(device, list(device.device_model.slots.all()), states))


class NowhereView(DeviceAPIView):
    """Everything else below /api/v1/."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = []
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound("There is nothing at this address.")


def _asked(device: Device, query: Mapping[str, str]) -> tuple[Slot, int]:
    """The slot and the epoch, by default the present one. Raises MeasurementRefused."""
    name, epoch = query.get("slot", ""), query.get("epoch")
    slot = slot_of(name, remembered.slots(device.device_model_id, [name]))
    if epoch is None:
        return slot, Inventory.objects.filter(device=device, slot=slot).values_list("epoch", flat=True).first() or 0
    return slot, whole("epoch", int(epoch) if epoch.isdecimal() and len(epoch) < 20 else epoch, LARGEST_EPOCH)


def _single(device: Device, item: Any) -> Response:
    said = serializers.read(item)
    if isinstance(said, list):
        return problems.problem(400, "The reading is refused; see errors.", said)
    [outcome] = _record(device, [said])
    if outcome.status == "refused":
        return problems.problem(400, outcome.reason, [serializers.fault(outcome.field, outcome.reason)])
    return Response(serializers.answer(outcome), status=201 if outcome.status == "recorded" else 200)


def _batch(device: Device, items: list[Any]) -> Response:
    read = [serializers.read(item) for item in items]
    said = [entry for entry in read if isinstance(entry, Measurement)]
    outcomes = iter(_record(device, said) if said else [])
    results = [
        serializers.answer(next(outcomes)) if isinstance(entry, Measurement) else serializers.refusal(item, entry)
        for item, entry in zip(items, read, strict=True)
    ]
    return Response({"results": results})


def _record(device: Device, said: list[Measurement]) -> list[Outcome]:
    outcomes = record_reading(device, said, timezone.now())
    counts = {status: sum(o.status == status for o in outcomes) for status in ("recorded", "already known", "refused")}
    log.info(
        "readings of %s: %s", device.serial_number, ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    )
    return outcomes
