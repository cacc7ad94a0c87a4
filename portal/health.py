"""Is the process alive; can it do its work? For load balancers and the on-call engineer."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers; touches nothing."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when the database answers and is migrated, else 503 with the reason."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_migrations WHERE app = 'skill' LIMIT 1")
            migrated = cursor.fetchone() is not None
    except DatabaseError:
        return JsonResponse({"status": "unavailable", "database": "out of reach"}, status=503)
    if not migrated:
        return JsonResponse({"status": "unavailable", "database": "not migrated: manage.py migrate"}, status=503)
    return JsonResponse({"status": "ok", "database": "ok"})
