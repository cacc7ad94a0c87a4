"""`make run` as a newcomer has it, in a session of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from portal import embedded, wheel
from tests.the_house import House, until

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
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup's children would ignore it
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
