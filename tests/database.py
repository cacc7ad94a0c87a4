"""One embedded PostgreSQL for the whole run; a plugin named in pyproject.toml, because settings are read before any conftest."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from portal import embedded, locks

WORKER = "PYTEST_XDIST_WORKER" in os.environ
ROOM = 2 << 30
PREFIX = "portal-tests-"


def new_folder() -> Path:
    """For data; in memory, if there is room: to make and delete files on a disk is a twentieth of all work. If this process is killed,
    the next run removes it."""
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_in_memory()))


def _in_memory() -> Path | None:
    memory = embedded.MEMORY
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= ROOM
    return memory if roomy else None


os.environ["EMBEDDED"] = "1"
for name in [name for name in os.environ if name.startswith("PG")]:
    del os.environ[name]  # the tests never touch a server that somebody else configured
if not WORKER:
    os.environ["DATA_DIR"] = str(new_folder())


def pytest_configure(config: pytest.Config) -> None:
    """The controlling process has the folder; xdist's workers inherit its address, and the server is made while they collect."""
    if WORKER:
        return
    _remove_what_was_killed()
    folder = Path(os.environ["DATA_DIR"])
    (folder / "static").mkdir()
    config.add_cleanup(lambda: remove(folder))  # the last of all
    early = threading.Thread(target=migrate, args=(folder,))
    if config.getoption("numprocesses", None):
        early.start()  # or all test processes would wait for it together
        config.add_cleanup(early.join)


def migrate(folder: Path) -> None:
    """The database that every test process copies: whoever comes first makes it, the others wait."""
    with locks.alone(folder / "migrated.gate"):
        if not (folder / "migrated").exists():
            embedded.start(folder, fast=True)
            command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"]
            subprocess.run(command, cwd=embedded.BASE_DIR, check=True)
            (folder / "migrated").touch()


def _remove_what_was_killed() -> None:
    """Servers and folders of runs that were ended without a chance to clean up: nobody has memory to lose."""
    import psutil

    for folder in Path(os.environ["DATA_DIR"]).parent.glob(f"{PREFIX}*-*"):
        run = folder.name.removeprefix(PREFIX).partition("-")[0]
        with contextlib.suppress(OSError, embedded.EmbeddedError):  # another run is at it, too
            if folder.stat().st_uid == os.geteuid() and run.isdecimal() and not psutil.pid_exists(int(run)):
                remove(folder)


def remove(folder: Path) -> None:
    embedded.remove(folder)
    shutil.rmtree(folder, ignore_errors=True)
