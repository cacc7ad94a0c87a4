"""What must hold before `make run` may start, each in one sentence, and what the processes get as their environment."""

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from portal import keys, leftovers, wheel
from portal.environment import Environment

NEEDED_BYTES = 500 * 1024 * 1024
SANDBOX_ACCOUNT = ":000000000000:"  # topics of it are the sandbox's, all others Amazon's
DEMO_SERIAL = "CRM20-DEMO1"
PORTS = {"PORTAL_PORT": 8000, "SANDBOX_PORT": 8100, "MACHINE_PORT": 8101}
OURS = ["broker", "sandbox", "machine", "static", "accounts.json", "secrets.*", "postgresql.*", "run.lock"]


class CannotRun(Exception):
    """One sentence that says what is in the way and what to do."""


def ports() -> dict[str, int]:
    """Where the pages will be, by the environment. Raises CannotRun."""
    chosen = {name: _port(name, default) for name, default in PORTS.items()}
    if len(set(chosen.values())) < len(chosen):
        raise CannotRun("PORTAL_PORT, SANDBOX_PORT and MACHINE_PORT must differ.")
    return chosen


def _port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise CannotRun(f"{name} is {text!r}, which is not a port number (1 to 65535).")
    return int(text)


@contextlib.contextmanager
def the_only_run(data_dir: Path) -> Iterator[None]:
    """Two runs with one data folder would read each other's messages. Makes the folder. Raises CannotRun."""
    try:
        for folder in ("sandbox", "machine"):
            (data_dir / folder).mkdir(parents=True, exist_ok=True)
        lock = leftovers.hold(data_dir)
    except OSError as error:
        raise CannotRun(
            f"The data folder {data_dir} cannot be used: {error.strerror}. Name another with DATA_DIR=…."
        ) from error
    if lock is None:
        raise CannotRun(
            f"`make run` is already running with the data folder {data_dir} (process {leftovers.holder(data_dir)}): stop it there"
            " with Ctrl-C, or name another folder with DATA_DIR=… and other ports."
        )
    with lock:
        yield


def check(data_dir: Path, ports: dict[str, int]) -> None:
    """Free ports, and room on the disks. Raises CannotRun."""
    for name, port in ports.items():
        _check_port(name, port)
    if os.environ.get("EMBEDDED", "1").strip().lower() not in {"1", "true", "yes", "on"}:
        raise CannotRun(
            "EMBEDDED is off, but `make run` is the demonstration on this machine: unset it. In production start the processes"
            " one by one (README: the processes)."
        )
    for folder in (data_dir, _existing(wheel.SYSTEM_ROOT) if os.geteuid() == 0 else data_dir):
        if (free := shutil.disk_usage(folder).free) < NEEDED_BYTES:
            raise CannotRun(
                f"Only {free >> 20} MiB are free in {folder}, and {NEEDED_BYTES >> 20} are needed: make room, or name another"
                " data folder with DATA_DIR=…."
            )


def _check_port(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise CannotRun(f"Port {port} is not for ordinary users: choose another with {name}=… make run.") from error
        except OSError as error:
            why = f"Port {port} is taken by another program: stop it, or choose another with {name}=… make run."
            raise CannotRun(why) from error


def _existing(path: Path) -> Path:
    """The nearest folder that exists: whose disk it will be."""
    while not path.exists():
        path = path.parent
    return path


def environment(data_dir: Path, ports: dict[str, int]) -> dict[str, str]:
    """What the processes get: the portal's own settings as they are, and under other names what sandbox and machine must know of them,
    because the portal may have them from files. What is wrong with one the portal says itself; empty is the sandbox's default."""
    made, given = keys.generated(data_dir), Environment()
    address = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    return os.environ | {
        leftovers.MARK: str(data_dir),
        "PYTHONUNBUFFERED": "1",
        "EMBEDDED": "1",
        "DATA_DIR": str(data_dir),
        **{name: str(port) for name, port in ports.items()},
        "PORTAL_URL": address["PORTAL_PORT"],
        "SANDBOX_URL": address["SANDBOX_PORT"],
        "SANDBOX_DATA": str(data_dir / "sandbox"),
        "MACHINE_DATA": str(data_dir / "machine"),
        "DEVICE_URL": address["MACHINE_PORT"],
        "DEVICE_SERIAL": DEMO_SERIAL,
        "MODEL_ID": "CREMA-20",
        "SLOT_ID": "beans",
        "LINK_CLIENT_ID": made["LINK_CLIENT_ID"],
        "LINK_CLIENT_SECRET": made["LINK_CLIENT_SECRET"],
        "DEVICE_KEY": made["DEVICE_KEY"],
        "PORTAL_PUBLIC_URL": given.text("PUBLIC_URL", ""),
        "SANDBOX_VENDOR_ID": given.text("ALEXA_VENDOR_ID", ""),
        "SANDBOX_SKILL_ID": given.text("ALEXA_SKILL_ID", ""),
        "SANDBOX_COURIER_SECRET": given.text("COURIER_SECRET", made["COURIER_SECRET"]),
        "LWA_CLIENT_ID": given.text("ALEXA_CLIENT_ID", made["ALEXA_CLIENT_ID"]),
        "LWA_CLIENT_SECRET": given.text("ALEXA_CLIENT_SECRET", made["ALEXA_CLIENT_SECRET"]),
        "HOTEL_REFRESH_TOKEN": given.text("ASP_REFRESH_TOKEN", made["ASP_REFRESH_TOKEN"]),
        "SNS_TOPIC_ARN": next((arn for arn in given.words("SNS_TOPIC_ARNS") if SANDBOX_ACCOUNT in arn), ""),
    }


def delete(data_dir: Path) -> bool:
    """Delete what a run puts into its data folder, and the folder; False if that stays, because something else is in it. Idempotent."""
    for path in [path for pattern in OURS for path in data_dir.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    with contextlib.suppress(OSError):
        data_dir.rmdir()
    return not data_dir.exists()
