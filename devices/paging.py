"""Pages of tables that are too large to be counted."""

from typing import Any

from django.core.paginator import Paginator
from django.db import connection
from django.utils.functional import cached_property
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination

COUNTED = 10_000  # rows that are really counted


class EstimatedPaginator(Paginator):
    """Counts to 10,000; beyond that, a whole table is as large as PostgreSQL remembers, a selection just 10,000.

    So the cost of a page does not grow with the table, and small tables are exact.
    """

    @cached_property
    def count(self) -> int:
        rows = self.object_list.order_by()
        found = rows[:COUNTED].count()
        if found < COUNTED or rows.query.where:
            return found
        return max(found, self._remembered(rows.model._meta.db_table))

    def _remembered(self, table: str) -> int:
        """Of a table in partitions it is their sum: PostgreSQL counts the whole only when told to."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum(greatest(reltuples, 0))::bigint FROM pg_class WHERE oid = %s::regclass AND relkind = 'r'"
                " OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %s::regclass)",
                [table, table],
            )
            return cursor.fetchone()[0] or 0


class RecordedPages(CursorPagination):
    """Readings of one slot and epoch, newest first: the sequence is unique there, and an index brings them in this order."""

    ordering = "-sequence"
    page_size, max_page_size, page_size_query_param = 100, 1000, "page_size"

    def decode_cursor(self, request: Any) -> Cursor | None:
        """Where to go on. Raises NotFound for what is none of our cursors, though it may look like one."""
        cursor = super().decode_cursor(request)
        position = cursor.position if cursor else None
        if position is not None and not (position.isdecimal() and len(position) < 20 and int(position) < 2**63):
            raise NotFound(self.invalid_cursor_message)
        return cursor
