"""The portal as it is, and beside it the floor: bare Django views that insert one row or select one by its key, with the same middleware.

Served by granian like the portal itself, so both pay for the same server, settings and pool of connections.
"""

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from django.conf import settings
from django.db import models
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

settings.DEVICE_REQUESTS_PER_MINUTE = 10**9
settings.ROOT_URLCONF = "tests.bench.bare"
settings.MIDDLEWARE.insert(0, "tests.bench.bare.Door")


class Door:
    """The same select once more, for whoever wants to know what the middleware costs."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info != "/bare/select/alone":
            return self.get_response(request)
        response = select(request)
        response.headers["Content-Length"] = str(len(response.content))
        return response


from portal.wsgi import application as portal  # noqa: E402  (it reads the settings and needs the class)

TABLE = (
    "CREATE TABLE bench_row (id bigserial PRIMARY KEY, device_id bigint NOT NULL, sequence bigint NOT NULL,"
    " value numeric(12, 3) NOT NULL, heard_at timestamptz NOT NULL)"
)


class Row(models.Model):
    """About what a reading is."""

    device_id = models.BigIntegerField()
    sequence = models.BigIntegerField()
    value = models.DecimalField(max_digits=12, decimal_places=3)
    heard_at = models.DateTimeField()

    class Meta:
        app_label = "portal"
        managed = False
        db_table = "bench_row"

    def __str__(self) -> str:
        return str(self.sequence)


@csrf_exempt
def bare(request: HttpRequest) -> HttpResponse:
    row = Row.objects.create(device_id=1, sequence=2, value=3, heard_at=timezone.now())
    return JsonResponse({"id": row.pk}, status=201)


@csrf_exempt
def select(request: HttpRequest) -> HttpResponse:
    row = Row.objects.get(pk=500)
    return JsonResponse({"id": row.pk, "value": float(row.value)})


urlpatterns = [path("bare", bare), path("bare/select", select), path("", include("portal.urls"))]


def application(environ: dict[str, Any], start_response: Any) -> Any:
    return portal(environ, start_response)
