"""A way for threads that are not asynchronous (the web process) to wait for something that is.

One event loop runs in a thread of its own, as long as the process lives: a loop per call would wait at its end for a name look-up
that hangs, however short the deadline was.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def run(work: Coroutine[Any, Any, Any], seconds: float) -> Any:
    """The result of `work`, or TimeoutError after `seconds` at the latest, whatever hangs. Never inside a transaction."""
    future = asyncio.run_coroutine_threadsafe(work, _running())
    try:
        return future.result(seconds)
    except TimeoutError:
        future.cancel()
        raise


def _running() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="wire", daemon=True).start()
        return _loop


def _forget() -> None:
    """A forked process has no thread that runs the loop."""
    global _lock, _loop
    _lock, _loop = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
