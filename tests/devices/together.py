"""Several at once, on a real PostgreSQL: a connection each."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection, connections

Jobs = list[Callable[[], Any]]


def at_once(jobs: Jobs) -> list[Any]:
    """Run all jobs in threads that start together; their results in order."""
    with together(len(jobs)) as run:
        return run(jobs)


@contextlib.contextmanager
def together(many: int) -> Iterator[Callable[[Jobs], list[Any]]]:
    """The same for round after round of so many jobs; to connect anew for each would take longer than most jobs."""
    gate = threading.Barrier(many)

    def start(job: Callable[[], Any]) -> Any:
        gate.wait(timeout=20)  # so each thread has one job
        return job()

    with ThreadPoolExecutor(many, initializer=_connect) as pool:
        try:
            yield lambda jobs: list(pool.map(start, jobs))
        finally:
            list(pool.map(start, [connections.close_all] * many))


def _connect() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '10s'")  # a wait for ever is a failure, not a hanging test
