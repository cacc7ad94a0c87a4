"""Locks between processes, as files: the kernel lets go of them when their holder dies, however it dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else is in such a block of this file at the same time; waits for its turn."""
    with _opened(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def join(path: Path) -> IO[str]:
    """Become one of the users of something; leave with `leave`."""
    file = _opened(path)
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def leave(file: IO[str]) -> bool:
    """Stop being a user; True for whoever was the last one. To be called in a block of `alone`, like `join`."""
    with file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def claim(path: Path) -> IO[str] | None:
    """Be the one process that holds this file, until it ends or closes it; None if another does. Its pid is written inside.

    Unlike the others this lock is not shared with forked children, which may outlive their killed parent.
    """
    file = _opened(path)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    file.truncate(0)
    print(os.getpid(), file=file, flush=True)
    return file


def _opened(path: Path) -> IO[str]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+", encoding="utf-8")
