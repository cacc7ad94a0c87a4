"""Alive, and ready. The database out of reach: tests/portal/test_supervisor.py, with a real one."""

from typing import Any

import pytest
from django.db import connection

from portal.logs import JsonFormatter


def test_alive_without_a_database(client: Any) -> None:
    """This test has no database: whoever asks for one fails."""
    answer = client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_ready(client: Any, django_assert_num_queries: Any) -> None:
    client.get("/health/ready")
    with django_assert_num_queries(2):
        answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "database": "ok", "delivery": "ok"})


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement", ["DELETE FROM django_migrations WHERE app = 'notifications'", "DROP TABLE django_migrations"]
)
def test_a_database_behind_the_code_is_not_ready(client: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "database": "not migrated: manage.py migrate"}


@pytest.mark.django_db
def test_a_database_ahead_of_the_code_is_being_deployed(client: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('devices', '9999_next', now())")
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
@pytest.mark.django_db
def test_a_load_balancer_asks_by_number(client: Any, path: str) -> None:
    assert client.get("/", headers={"host": "10.1.2.3"}).status_code == 400, "or this test shows nothing"
    assert client.get(path, headers={"host": "10.1.2.3"}).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_nobody_can_write_there(client: Any, path: str) -> None:
    assert client.post(path).status_code == 405


def test_a_log_line_is_one_json_object() -> None:
    import json
    import logging

    record = logging.LogRecord("skill", logging.INFO, __file__, 1, "grant of %s\nclosed", ("Alice",), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("INFO", "skill", "grant of Alice\nclosed")
    assert told["time"].endswith("+00:00")
