"""What is in the way of `make run` is said in one sentence; what it leaves out of its own."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from portal import embedded, preparations
from tests.make_run import ROOT, MakeRun
from tests.the_house import free_port

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORTAL_PORT": "http"}, "PORTAL_PORT is 'http', which is not a port number (1 to 65535)."),
        ({"MACHINE_PORT": "65536"}, "MACHINE_PORT is '65536', which is not a port number (1 to 65535)."),
        ({"SANDBOX_PORT": "8000", "PORTAL_PORT": "8000"}, "PORTAL_PORT, SANDBOX_PORT and MACHINE_PORT must differ."),
    ],
)
def test_ports_that_cannot_be_are_named(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], sentence: str
) -> None:
    monkeypatch.setattr(os, "environ", environment)
    with pytest.raises(preparations.CannotRun) as refusal:
        preparations.ports()
    assert str(refusal.value) == sentence


def test_a_data_folder_that_cannot_be_is_named() -> None:
    with pytest.raises(preparations.CannotRun) as refusal, preparations.the_only_run(Path("/dev/null/data")):
        pytest.fail("there is a folder in /dev/null")
    sentence = "The data folder /dev/null/data cannot be used: Not a directory. Name another with DATA_DIR=…."
    assert str(refusal.value) == sentence


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(preparations.CannotRun) as refusal:
            preparations.check(tmp_path, {"PORTAL_PORT": free_port(), "SANDBOX_PORT": port})
    assert str(refusal.value) == (
        f"Port {port} is taken by another program: stop it, or choose another with SANDBOX_PORT=… make run."
    )


def test_a_foreign_server_out_of_reach_is_named(tmp_path: Path) -> None:
    house = MakeRun(tmp_path / "Alice's data, with spaces")
    said = house.try_to_run(PGHOST="/no/such/folder").splitlines()
    assert len(said) == 4, "one sentence, and what was done before"
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
