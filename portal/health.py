"""Is the process alive; can it do its work? For load balancers and the on-call engineer."""

from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from devices.deadline import deadline
from portal.metrics import metrics
from skill import figures

ANSWER_SECONDS = 3.0


class Health:
    """Answers these addresses before anything looks at the Host header: load balancers ask by number, not by our name."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        view = {"/health/live": live, "/health/ready": ready, "/metrics": metrics}.get(request.path_info)
        return view(request) if view else self.get_response(request)


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers; touches nothing."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when the database answers and every migration of this version is applied, else 503 with the reason, within 4 seconds.

    Says besides whether delivery is behind; that is a matter for the workers, and takes no web process out of service.
    """
    try:
        with deadline(ANSWER_SECONDS):
            if _newest_migrations() - _applied():
                return _unavailable("not migrated: manage.py migrate")
            waited = max(figures.overdue().values(), default=0)
    except (DatabaseError, InterfaceError):
        return _unavailable("out of reach")
    delivery = "behind" if waited > settings.ALARM_OVERDUE_SECONDS else "ok"
    return JsonResponse({"status": "ok", "database": "ok", "delivery": delivery})


@cache
def _newest_migrations() -> frozenset[tuple[str, str]]:
    """The last migration of every app on disk; whoever has these has all. A newer database is fine: it is being deployed."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def _applied() -> set[tuple[str, str]]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            return set(cursor.fetchall())
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) == "42P01":  # no such table: an empty database
            return set()
        raise


def _unavailable(why: str) -> HttpResponse:
    return JsonResponse({"status": "unavailable", "database": why}, status=503)
