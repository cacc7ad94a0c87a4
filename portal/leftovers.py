"""One `make run` per data folder, and nothing left of it: who holds the folder, and what a killed run left behind.

Every process of a run carries the data folder in its environment under MARK; that, and not a list of numbers, is how they are
found, so that none is missed and no stranger is ended. The PostgreSQL server is not among them (portal/embedded.py).
"""

import os
import signal
import time
from pathlib import Path
from typing import IO

import psutil

from portal import locks

MARK = "PORTAL_RUN"
PATIENCE = 20  # seconds that a worker has to finish what it is doing


def hold(data_dir: Path) -> IO[str] | None:
    """Be the one run of this data folder, until this process ends; None if another one is alive."""
    return locks.claim(data_dir / "run.lock")


def holder(data_dir: Path) -> int | None:
    """The process number of the run that holds the folder, as it wrote it down."""
    try:
        return int((data_dir / "run.lock").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def end_holder(data_dir: Path, seconds: float = 90) -> bool:
    """Ask the run of this data folder to stop, and wait until it has. True if none is left. Idempotent."""
    until = time.monotonic() + seconds
    while (lock := hold(data_dir)) is None:
        if time.monotonic() > until or (number := holder(data_dir)) is None:
            return False
        os.kill(number, signal.SIGTERM)
        time.sleep(1)
    lock.close()
    return True


def of_the_run(data_dir: Path) -> list[psutil.Process]:
    """The living processes of this folder's run, without the supervisor itself."""
    marked = [process for process in psutil.process_iter() if _mark(process) == str(data_dir)]
    return list(set(marked) | {parent for process in marked if (parent := _reader_of(process))})


def end_processes(data_dir: Path, patience: float = PATIENCE) -> int:
    """End what still runs of this folder's run: first politely, then surely. How many there were. Idempotent."""
    found = of_the_run(data_dir)
    _each(found, "terminate")
    _, deaf = psutil.wait_procs(found, timeout=patience)
    _each(deaf, "kill")
    psutil.wait_procs(deaf, timeout=5)
    return len(found)


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK) if process.pid != os.getpid() else None
    except (psutil.Error, OSError):
        return None


def _reader_of(process: psutil.Process) -> psutil.Process | None:
    """The supervisor's fork that reads what this process prints. It has the supervisor's own environment, without the mark."""
    try:
        parent = process.parent()
        ours = parent is not None and parent.pid != os.getpid() and "portal.supervisor" in parent.cmdline()
    except psutil.Error:
        return None
    return parent if ours else None


def _each(processes: list[psutil.Process], what: str) -> None:
    for process in processes:
        try:
            getattr(process, what)()
        except psutil.NoSuchProcess:
            continue
