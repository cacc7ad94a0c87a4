"""An answer in time, whatever the database does: PostgreSQL's own time-outs do not help against a server that hangs or a network that
swallows. When the time is over the connection is cut, and whoever waits for it gets an OperationalError."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Within the block, this thread's database connection is cut after `seconds`. Afterwards it is never touched."""
    wrapper, lock, over = connections[DEFAULT_DB_ALIAS], threading.Lock(), threading.Event()

    def cut() -> None:
        with lock:
            if not over.is_set():
                _cut(wrapper.connection)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over.set()
        timer.cancel()


def _cut(raw: Any) -> None:
    """The descriptor stays psycopg's; only its far end is gone."""
    if raw is not None and not raw.closed:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(raw.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
