"""Pages of tables that are too large to be counted."""

from django.core.paginator import Paginator
from django.db import connection
from django.utils.functional import cached_property

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
