"""The embedded PostgreSQL 18: one server per data folder, reached only through a Unix socket in a private folder.

As whom and from where its programs run: portal/wheel.py. Here: where its files are, starting, stopping and removing it.
"""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO

from portal import locks, wheel
from portal.wheel import EmbeddedError

BASE_DIR = Path(__file__).resolve().parent.parent
MEMORY = Path("/dev/shm")  # noqa: S108 (Linux's files in memory; folders there are private: wheel.own_folder)
START_SECONDS = 120  # crash recovery after a power cut may take its time
SOCKET_FOLDER_BYTES = 80  # a socket's whole name may have 107 (Linux) or 103 (macOS)


def data_folder() -> Path:
    """DATA_DIR, or .data in the checkout; absolute."""
    return Path(os.environ.get("DATA_DIR") or BASE_DIR / ".data").expanduser().resolve()


def cluster_dir(data_dir: Path) -> Path:
    """Where the server's files are. As root: a folder of the system user, one per data folder; in memory, if that one is."""
    if os.geteuid() != 0:
        return data_dir / "postgresql"
    if data_dir.is_relative_to(MEMORY):
        return MEMORY / f"dash-{_digest(data_dir)}"
    return wheel.SYSTEM_ROOT / _digest(data_dir)


def socket_dir(data_dir: Path) -> Path:
    """The private folder of the server's socket: with the server's files, unless that name is too long or says something to libpq."""
    path = cluster_dir(data_dir) / "socket"
    if len(os.fsencode(path)) < SOCKET_FOLDER_BYTES and re.fullmatch(r"[\w./+ -]+", str(path), re.ASCII):
        return path
    return Path("/tmp") / f"dash-{os.geteuid()}-{_digest(path)}"  # noqa: S108 (private: wheel.own_folder)


def start(data_dir: Path, *, fast: bool = False) -> None:
    """Start the server of this data folder. Idempotent. `fast` gives up durability (for tests). Raises EmbeddedError."""
    cluster = cluster_dir(data_dir)
    _forget_a_former_life(data_dir)
    wheel.own_folder(cluster)
    wheel.own_folder(socket_dir(data_dir))
    if not (cluster / "data").exists():
        _initialise(cluster)
    if not is_running(data_dir):
        (cluster / "data" / "postmaster.pid").unlink(missing_ok=True)  # after a power cut its number may be another's
        arguments = ("-D", cluster / "data", "-l", cluster / "postgresql.log", "-w", "-t", START_SECONDS)
        wheel.run("pg_ctl", *arguments, "-o", _options(data_dir, fast), "start", cwd=cluster)
    _create_database(data_dir)


def stop(data_dir: Path, mode: str = "fast") -> None:
    """Stop the server of this data folder, if it runs. Idempotent. Raises EmbeddedError."""
    if is_running(data_dir):
        cluster = cluster_dir(data_dir)
        wheel.run("pg_ctl", "-D", cluster / "data", "-w", "-t", 60, "-m", mode, "stop", cwd=cluster)


def is_running(data_dir: Path) -> bool:
    """Whether the process that postmaster.pid names is this folder's server, and not a later one of the same number."""
    import psutil

    folder = cluster_dir(data_dir) / "data"
    try:
        number = int((folder / "postmaster.pid").read_text(encoding="utf-8").split("\n")[0])
        return str(folder) in psutil.Process(number).cmdline()
    except (OSError, ValueError, psutil.Error):
        return False


@contextlib.contextmanager
def running(data_dir: Path, *, fast: bool = False) -> Iterator[str]:
    """The server, for as long as anybody is in such a block: whoever leaves last stops it. Gives the socket's folder.

    A holder that was killed does not count any more, so what it left running is stopped by the next one. Raises EmbeddedError.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as leaving:
        with _at_the_gate(data_dir):
            leaving.callback(_leave, data_dir, locks.join(data_dir / "postgresql.users"))
            start(data_dir, fast=fast)
        yield str(socket_dir(data_dir))


def stop_unused(data_dir: Path) -> None:
    """Stop the server unless somebody is in a block of `running`: what a killed holder left. Idempotent. Raises EmbeddedError."""
    _leave(data_dir, locks.join(data_dir / "postgresql.users"))


def remove(data_dir: Path) -> None:
    """Stop the server and delete its files. Idempotent. Raises EmbeddedError."""
    if cluster_dir(data_dir).exists():
        stop(data_dir, "immediate")
    for folder in (cluster_dir(data_dir), socket_dir(data_dir)):
        shutil.rmtree(folder, ignore_errors=True)


def _leave(data_dir: Path, user: IO[str]) -> None:
    with _at_the_gate(data_dir):
        if locks.leave(user):
            stop(data_dir)


@contextlib.contextmanager
def _at_the_gate(data_dir: Path) -> Iterator[None]:
    """One starts or stops the server at a time, and is not interrupted."""
    with _signals_wait(), locks.alone(data_dir / "postgresql.gate"):
        yield


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """A Ctrl-C that comes inside takes effect afterwards: half a start or half a stop would leave a server behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        heard.append(number)

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, remember) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in heard:
            signal.raise_signal(number)


def _forget_a_former_life(data_dir: Path) -> None:
    """As root the server's files live elsewhere; if the data folder was deleted by hand, they go with the keys that were in it."""
    if os.geteuid() != 0:
        return
    ours, theirs = data_dir / "postgresql.id", cluster_dir(data_dir) / "id"
    data_dir.mkdir(parents=True, exist_ok=True)
    if not ours.exists():
        remove(data_dir)
        ours.write_text(uuid.uuid4().hex, encoding="utf-8")
    elif theirs.exists() and theirs.read_text(encoding="utf-8") != ours.read_text(encoding="utf-8"):
        remove(data_dir)
    wheel.own_folder(cluster_dir(data_dir))
    theirs.write_text(ours.read_text(encoding="utf-8"), encoding="utf-8")


def _initialise(cluster: Path) -> None:
    """Beside its place, and moved there when whole: an initdb that is cut short leaves nothing that looks like a server."""
    shutil.rmtree(cluster / "data.new", ignore_errors=True)
    how = ("-U", "portal", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    wheel.run("initdb", "-D", cluster / "data.new", *how, cwd=cluster)
    (cluster / "data.new").rename(cluster / "data")


def _options(data_dir: Path, fast: bool) -> str:
    chosen = ["listen_addresses=''", f"unix_socket_directories='{socket_dir(data_dir)}'", "max_connections=200"]
    if fast:
        chosen += ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "jit=off"]
    return " ".join(f"-c {option}" for option in [*chosen, "shared_buffers=128MB"])


def _create_database(data_dir: Path) -> None:
    where, cwd = ("-h", socket_dir(data_dir), "-U", "portal"), cluster_dir(data_dir)
    question = "SELECT count(*) FROM pg_database WHERE datname = 'portal'"
    if wheel.run("psql", *where, "-d", "postgres", "-tAc", question, cwd=cwd) == "0":
        wheel.run("createdb", *where, "portal", cwd=cwd)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def main(arguments: list[str]) -> int:
    """`python -m portal.embedded run COMMAND …` (with the server up, unless PGHOST names another), `… stop`, `… remove`."""
    data_dir = data_folder()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    match arguments:
        case ["run", *command] if command:
            server = contextlib.nullcontext() if os.environ.get("PGHOST") else running(data_dir)
            with server:
                return subprocess.run(command, env=os.environ | {"EMBEDDED": "1"}).returncode
        case ["stop"]:
            stop(data_dir)
        case ["remove"]:
            remove(data_dir)
        case _:
            print(main.__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EmbeddedError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
