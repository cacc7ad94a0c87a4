"""A cursor whose values the server binds. Django's quote them into the text, which the server reads again: for many values, or a long
one, that costs as much as all the rest. For statements that are asked very often; such a cursor is not seen by Django's query log."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection


@contextmanager
def bound_cursor() -> Iterator[psycopg.Cursor[Any]]:
    """On this thread's connection, in its transaction. Raises django.db errors, as Django's cursors do."""
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        yield cursor
