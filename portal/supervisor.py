"""`make run`: the whole portal on this machine, with the sandbox that plays Amazon. Starts the embedded PostgreSQL, prepares the
database, starts every process, says where to click, and on Ctrl-C, SIGTERM or SIGHUP stops all of it. `make clean` as well.

What must hold before it starts, and the environment of the processes: portal/preparations.py.
With PGHOST, CELERY_BROKER_URL and Amazon's addresses and credentials in the environment the same processes use those instead.
"""

import contextlib
import http.client
import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import honcho.manager
from honcho.manager import Manager
from honcho.printer import Printer

from portal import embedded, keys, leftovers, preparations
from portal.preparations import CannotRun

ROOT = embedded.BASE_DIR
READY_SECONDS = 240
honcho.manager.KILL_WAIT = leftovers.PATIENCE


def main(arguments: list[str]) -> int:
    """`run`, `run --under-make` (stops when make is killed), `clean`, or `after PORT COMMAND …` (once the portal is ready)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup make run
        signal.signal(signal.SIGHUP, _hang_up)
    match arguments:
        case [] | ["run"] | ["run", "--under-make"]:
            if "--under-make" in arguments:
                threading.Thread(target=_stop_without, args=(os.getppid(),), daemon=True).start()
            return _in_one_sentence(run)
        case ["clean"]:
            return _in_one_sentence(clean)
        case ["after", port, *command] if command:
            _answers(int(port), "/health/ready")
            os.execv(command[0], command)  # noqa: S606
    print(main.__doc__, file=sys.stderr)
    return 2


def _in_one_sentence(what: Callable[[], int]) -> int:
    try:
        return what()
    except (CannotRun, embedded.EmbeddedError, keys.KeysUnreadable) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `make run | head`: nobody listens any more
        _be_silent()
        return 1


def run() -> int:
    """Everything, until Ctrl-C or until a process ends by itself; the exit status. Raises CannotRun and EmbeddedError."""
    data_dir, ports = embedded.data_folder(), preparations.ports()
    with preparations.the_only_run(data_dir), _no_server(data_dir):
        _tidy_up(data_dir)
        preparations.check(data_dir, ports)
        environment = preparations.environment(data_dir, ports)
        with _database(data_dir), _no_orphans(data_dir):
            _prepare(environment)
            return _serve(environment, ports)


@contextlib.contextmanager
def _no_server(data_dir: Path) -> Iterator[None]:
    """However the block ends, the PostgreSQL server of this folder does not outlive it, unless `make manage` uses it."""
    try:
        yield
    finally:
        embedded.stop_unused(data_dir)


def _tidy_up(data_dir: Path) -> None:
    left = leftovers.of_the_run(data_dir)
    if left:
        _say(f"An earlier run was killed; stopping the {len(left)} processes that it left behind …")
        leftovers.end_processes(data_dir)


def clean() -> int:
    """Stop what runs with this data folder and delete what we put there; nothing else that may lie in it. Idempotent."""
    data_dir = embedded.data_folder()
    if data_dir.exists() and not leftovers.end_holder(data_dir):
        raise CannotRun(
            f"`make run` with the data folder {data_dir} does not stop: end process {leftovers.holder(data_dir)}."
        )
    leftovers.end_processes(data_dir)
    embedded.remove(data_dir)
    if not preparations.delete(data_dir):
        _say(f"{data_dir} stays, because it holds files that are not ours.")
    return 0


def commands(ports: dict[str, int]) -> dict[str, str]:
    """Every process by name; in production the same ones, less sandbox and machine."""
    python = shlex.quote(sys.executable)
    worker = f"{python} -W ignore -m celery --quiet -A portal.celery worker --loglevel WARNING --without-mingle --without-gossip"
    return {
        # --log-level error: granian warns of more threads than cores; ours wait for the database most of the time
        "web": f"{python} -m granian --interface wsgi --host 127.0.0.1 --port {ports['PORTAL_PORT']} --workers 1"
        " --blocking-threads 16 --no-ws --http 1 --log-level error portal.wsgi:application",
        "worker": f"{worker} --queues portal --pool threads --concurrency 4 --hostname worker@%h",
        "delivery": f"{worker} --queues delivery --pool solo --hostname delivery@%h",
        "beat": f"{python} -W ignore -m celery --quiet -A portal.celery beat --loglevel WARNING --pidfile=",
        "sandbox": f"{python} -m portal.sandbox",
        "machine": f"{python} -m portal.supervisor after {ports['PORTAL_PORT']} {python} -m portal.machine",
    }


@contextlib.contextmanager
def _database(data_dir: Path) -> Iterator[None]:
    """The embedded PostgreSQL around the run, or the server that PGHOST names."""
    if host := os.environ.get("PGHOST"):
        _say(f"Using the PostgreSQL server at {host} …")
        yield
        return
    _say(f"Starting the embedded PostgreSQL 18 ({embedded.cluster_dir(data_dir)}) …")
    with embedded.running(data_dir):
        yield


@contextlib.contextmanager
def _no_orphans(data_dir: Path) -> Iterator[None]:
    """However the block ends, none of its processes outlives it."""
    try:
        yield
    finally:
        leftovers.end_processes(data_dir)
        for reader in multiprocessing.active_children():  # honcho's; one may have been about to start its process
            reader.kill()
        leftovers.end_processes(data_dir)


def _prepare(environment: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "prepare"]
    done = subprocess.run(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise CannotRun(f"The database could not be prepared: {_reason(done.stderr) or done.returncode}")


def _reason(said: str) -> str:
    """All of a refusal; of a traceback only the error at its end."""
    if "Traceback (most recent call last)" not in said:
        return said.strip()
    lines = [line for line in said.splitlines() if line.strip()]
    last = max(number for number, line in enumerate(lines) if not line[0].isspace())
    return " ".join(line.strip() for line in lines[last:])


def _serve(environment: dict[str, str], ports: dict[str, int]) -> int:
    _say("Starting the processes …")
    manager = Manager(Printer(sys.stdout))
    for name, command in commands(ports).items():
        manager.add_process(name, f"exec {command}", env=environment, cwd=str(ROOT))
    threading.Thread(target=_banner, args=(ports, _passwords(environment)), daemon=True).start()
    with contextlib.suppress(KeyError):  # honcho's, told to stop before all of its processes had begun
        manager.loop()  # takes over SIGINT and SIGTERM
    if manager.returncode in (130, 143):
        _say(
            "The processes are stopped."
            if os.environ.get("PGHOST")
            else "The processes are stopped; PostgreSQL stops, too."
        )
        return 0
    _say("One process ended by itself (see above), so all are stopped.")
    return int(manager.returncode or 1)


def _passwords(environment: dict[str, str]) -> list[str]:
    """Of the customer and of staff, where `prepare` found that they still have those that everybody knows."""
    known = json.loads(Path(environment["DATA_DIR"], "accounts.json").read_text())
    return [known.get(f"{name}@example.com", "see above, or an earlier run") for name in ("alice", "staff")]


def _banner(ports: dict[str, int], passwords: list[str]) -> None:
    portal, sandbox = ports["PORTAL_PORT"], ports["SANDBOX_PORT"]
    customer, staff = passwords
    if not (_answers(portal, "/health/ready") and _answers(sandbox, "/")):
        _say(f"The pages did not answer within {READY_SECONDS} seconds; see the lines above.")
        return
    _say(
        f"""
  ┌──────────────────────────────────────────────────────────────────────────────┐
    The portal      http://127.0.0.1:{portal}/          alice@example.com / {customer}
    Support staff   http://127.0.0.1:{portal}/admin/    staff@example.com / {staff}
    The sandbox     http://127.0.0.1:{sandbox}/          plays Amazon: Alexa, the gateway, Dash

    First: open the sandbox, click “Link account”, sign in as Alice, allow.
    Then: brew until the beans run low, and look at the order in the portal.
    Ctrl-C stops everything; `make run` goes on with the same data; `make clean` removes it.
  └──────────────────────────────────────────────────────────────────────────────┘
"""
    )


def _answers(port: int, path: str) -> bool:
    """True once the address answers 200; False after READY_SECONDS."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
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


def _hang_up(number: int, frame: FrameType | None) -> None:
    """The terminal is gone: stop as after SIGTERM, and print nothing into the void, which would be an error of its own."""
    _be_silent()
    signal.raise_signal(signal.SIGTERM)


def _stop_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _be_silent() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
