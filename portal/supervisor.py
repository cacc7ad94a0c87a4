"""`make run`: the whole portal on this machine, with the sandbox that plays Amazon. Starts the embedded PostgreSQL, prepares the
database, starts every process, says where to click, and on Ctrl-C stops all of it.

With PGHOST, CELERY_BROKER_URL and Amazon's credentials in the environment the same processes use those instead.
"""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import honcho.manager
from honcho.manager import Manager
from honcho.printer import Printer

from portal import embedded

ROOT = Path(__file__).resolve().parent.parent
NEEDED_BYTES = 500 * 1024 * 1024
READY_SECONDS = 60
honcho.manager.KILL_WAIT = 20  # a worker finishes what it is doing before it is killed


class CannotRun(Exception):
    """One sentence that says what is in the way and what to do."""


def main() -> int:
    """Run until Ctrl-C or until a process ends by itself; the exit status."""
    signal.signal(signal.SIGTERM, _stop_early)
    signal.signal(signal.SIGHUP, _stop_early)
    data_dir = Path(os.environ.get("DATA_DIR") or ROOT / ".data").resolve()
    try:
        ports = _ports()
        _check(data_dir, ports)
        environment = _environment(data_dir, ports)
        if os.environ.get("PGHOST"):
            return _serve(environment, ports)
        _say(f"Starting the embedded PostgreSQL 18 ({embedded.cluster_dir(data_dir)}) …")
        with embedded.running(data_dir):
            return _serve(environment, ports)
    except (CannotRun, embedded.EmbeddedError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _stop_early(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, flush=True)


def _ports() -> dict[str, int]:
    ports = {}
    for name, default in (("PORTAL_PORT", 8000), ("SANDBOX_PORT", 8100), ("MACHINE_PORT", 8101)):
        text = os.environ.get(name) or str(default)
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise CannotRun(f"{name} is {text!r}, which is not a port number.")
        ports[name] = int(text)
    if len(set(ports.values())) < len(ports):
        raise CannotRun("PORTAL_PORT, SANDBOX_PORT and MACHINE_PORT must differ.")
    return ports


def _check(data_dir: Path, ports: dict[str, int]) -> None:
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CannotRun(
                    f"Port {port} is taken by another program: stop it, or choose another with {name}=… make run."
                ) from error
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / "broker" / "messages").mkdir(parents=True, exist_ok=True)
        (data_dir / "broker" / "control").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(
            f"The data folder {data_dir} cannot be made: {error.strerror}. Name another with DATA_DIR=…."
        ) from error
    for folder in (data_dir, embedded.existing_parent(embedded.cluster_dir(data_dir))):
        if (free := shutil.disk_usage(folder).free) < NEEDED_BYTES:
            raise CannotRun(
                f"Only {free >> 20} MiB are free in {folder}, {NEEDED_BYTES >> 20} are needed: make room, or name another "
                "data folder with DATA_DIR=…."
            )


def _environment(data_dir: Path, ports: dict[str, int]) -> dict[str, str]:
    """What the processes get: the portal's own settings, and for the sandbox and the machine what they must know of it."""
    made = embedded.generated_secrets(data_dir)
    portal, sandbox = f"http://127.0.0.1:{ports['PORTAL_PORT']}", f"http://127.0.0.1:{ports['SANDBOX_PORT']}"
    return {
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        **os.environ,
        "EMBEDDED": os.environ.get("EMBEDDED", "1"),
        "DATA_DIR": str(data_dir),
        **{name: str(port) for name, port in ports.items()},
        "PORTAL_URL": portal,
        "SANDBOX_URL": sandbox,
        "SANDBOX_DATA": str(data_dir / "sandbox"),
        "MACHINE_DATA": str(data_dir / "machine"),
        "DEVICE_URL": f"http://127.0.0.1:{ports['MACHINE_PORT']}",
        "DEVICE_SERIAL": DEMO_SERIAL,
        "MODEL_ID": "CREMA-20",
        "SLOT_ID": "beans",
        "LINK_CLIENT_ID": made["LINK_CLIENT_ID"],
        "LINK_CLIENT_SECRET": made["LINK_CLIENT_SECRET"],
        "LWA_CLIENT_ID": os.environ.get("ALEXA_CLIENT_ID") or made["ALEXA_CLIENT_ID"],
        "LWA_CLIENT_SECRET": os.environ.get("ALEXA_CLIENT_SECRET") or made["ALEXA_CLIENT_SECRET"],
        "COURIER_SECRET": os.environ.get("COURIER_SECRET") or made["COURIER_SECRET"],
        "DEVICE_KEY": made["DEVICE_KEY"],
        "SNS_TOPIC_ARN": (
            os.environ.get("SNS_TOPIC_ARNS") or "arn:aws:sns:us-east-1:000000000000:dash-sandbox"
        ).split()[0],
    }


DEMO_SERIAL = "CRM20-DEMO1"


def _serve(environment: dict[str, str], ports: dict[str, int]) -> int:
    _manage(environment, "Bringing the database up to date …", "migrate", "--verbosity", "0")
    _manage(environment, "Making the cache's table …", "createcachetable")
    _manage(environment, "Collecting the static files …", "collectstatic", "--noinput", "--verbosity", "0")
    _manage(environment, "Making the demonstration's people, coffee machine and link …", "seed_demo")
    _say("Starting the processes …")
    manager = Manager(Printer(sys.stdout))
    for name, command in commands(ports).items():
        manager.add_process(name, f"exec {command}", env=environment, cwd=str(ROOT))
    threading.Thread(target=_banner, args=(ports,), daemon=True).start()
    manager.loop()
    stopped_by_hand = manager.returncode in (130, 143)
    _say(
        "Everything is stopped." if stopped_by_hand else "One process ended by itself (see above), so all are stopped."
    )
    return 0 if stopped_by_hand else int(manager.returncode or 1)


def commands(ports: dict[str, int]) -> dict[str, str]:
    """Every process by name; in production the same ones, less sandbox and machine."""
    python = sys.executable
    celery = f"{python} -W ignore -m celery --quiet -A portal.celery"
    return {
        "web": f"{python} -m granian --interface wsgi --host 127.0.0.1 --port {ports['PORTAL_PORT']} --workers 1"
        " --blocking-threads 16 --no-ws --http 1 --log-level warning portal.wsgi:application",
        "worker": f"{celery} worker --loglevel WARNING --queues portal --pool threads --concurrency 4 --hostname worker@%h --without-mingle --without-gossip",
        "delivery": f"{celery} worker --loglevel WARNING --queues delivery --pool solo --hostname delivery@%h --without-mingle --without-gossip",
        "beat": f"{celery} beat --loglevel WARNING --pidfile=",
        "sandbox": f"{python} -m portal.sandbox",
        "machine": f"{python} -m portal.machine",
    }


def _manage(environment: dict[str, str], what: str, *arguments: str) -> None:
    _say(what)
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise CannotRun(f"manage.py {arguments[0]} failed:\n{done.stderr.strip() or done.stdout.strip()}")


def _banner(ports: dict[str, int]) -> None:
    portal, sandbox = ports["PORTAL_PORT"], ports["SANDBOX_PORT"]
    if not (_answers(portal, "/health/ready") and _answers(sandbox, "/")):
        _say(f"The pages did not answer within {READY_SECONDS} seconds; see the lines above.")
        return
    _say(
        f"""
  ┌──────────────────────────────────────────────────────────────────────────────┐
    The portal      http://127.0.0.1:{portal}/          alice@example.com / coffee-please
    Support staff   http://127.0.0.1:{portal}/admin/    staff@example.com / support-please
    The sandbox     http://127.0.0.1:{sandbox}/          plays Amazon: Alexa, the gateway, Dash

    First: open the sandbox, click “Link account”, sign in as Alice, allow.
    Then: brew until the beans run low, and look at the order in the portal.
    Ctrl-C stops everything; `make run` goes on with the same data; `make clean` removes it.
  └──────────────────────────────────────────────────────────────────────────────┘
"""
    )


def _answers(port: int, path: str) -> bool:
    """True once the address answers 200."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    return False


if __name__ == "__main__":
    sys.exit(main())
