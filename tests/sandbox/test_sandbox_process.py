"""The sandbox as a process: starts, goes on after a restart, ends cleanly, says in a sentence why it cannot start."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from portal.sandbox import lwa, weather
from portal.sandbox.__main__ import main
from portal.sandbox.settings import SettingsError, from_environment
from portal.sandbox.signing import identity_in
from portal.sandbox.state import State
from tests.sandbox.far_side import run

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {
    "PORTAL_URL": "http://127.0.0.1:9",
    "LINK_CLIENT_ID": "alexa",
    "LINK_CLIENT_SECRET": "a",
    "SANDBOX_COURIER_SECRET": "b",
    "LWA_CLIENT_ID": "c",
    "LWA_CLIENT_SECRET": "d",
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def started(folder: Path, port: int, **more: str):
    """`python -m portal.sandbox` with nothing but its own environment; it does not outlive the block."""
    environment = {"PATH": os.environ["PATH"], "SANDBOX_DATA": str(folder), "SANDBOX_PORT": str(port)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "portal.sandbox"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment | NEEDED | more, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(port: int, path: str, body: dict | None = None) -> dict:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if body is not None:
        request.data, request.headers = json.dumps(body).encode(), {"Content-type": "application/json"}
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def up(process: subprocess.Popen) -> str:
    """Its first line: it is up."""
    return process.stdout.readline().strip()


def end(process: subprocess.Popen, how: int = signal.SIGTERM) -> tuple[int, str]:
    process.send_signal(how)
    _, told = process.communicate(timeout=60)
    return process.returncode, told


LAMBDA = """
import os, pathlib, time
def lambda_handler(event, context):
    pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
    time.sleep(30 if os.environ["SKILL_REGION"] == "EU" else 0)
"""
LINKED = {"status": "linked", "access_token": "a", "expires_at": "2999-01-01T00:00:00Z", "endpoints": {}}


@contextlib.contextmanager
def discovering(folder: Path, **more: str):
    """A sandbox whose Lambda was asked, the process of that Lambda, and the connection that waits for the answer."""
    (folder / "lambda.py").write_text(LAMBDA)
    (folder / "state.json").write_text(json.dumps({"version": 1, "knobs": {}, "links": {"household": LINKED}}))
    port = free_port()
    with started(folder, port, LAMBDA_FILE=str(folder / "lambda.py"), **more) as process:
        assert up(process) == f"The sandbox plays Amazon on http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as page:
            page.sendall(b"POST /actions/discover HTTP/1.1\r\nHost: localhost\r\n")
            page.sendall(b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            pid = until(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
            yield process, Path(f"/proc/{pid}"), page


def test_neither_a_page_that_listens_nor_a_busy_lambda_keeps_it_from_ending_and_a_restart_goes_on(tmp_path):
    with discovering(tmp_path, SKILL_REGION="EU") as (process, child, page):
        port = page.getpeername()[1]
        ask(port, "/actions/weather", {"threshold": 33})
        url = ask(port, "/actions/link", {})["url"]
        assert_private(port, tmp_path)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/changes", timeout=30) as stream:
            stream.readline()
            assert child.exists()
            begun = time.monotonic()
            assert end(process) == (0, "")
        assert time.monotonic() - begun < 5
        assert not child.exists()
    with started(tmp_path, port) as second:
        up(second)
        assert ask(port, "/state.json")["knobs"]["threshold"] == 33
        assert next(iter(json.loads((tmp_path / "state.json").read_text())["pending"])) in url
        assert end(second, signal.SIGINT) == (0, "")


def assert_private(port: int, folder: Path) -> None:
    """It can be reached on this machine only, and only its owner can read what it keeps."""
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert f"0100007F:{port:04X}" in listening
    assert f"00000000:{port:04X}" not in listening
    for name in ("state.json", "sns-key.pem"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_a_warm_lambda_ends_with_it_even_when_it_is_killed(tmp_path):
    with discovering(tmp_path) as (process, child, page):
        page.recv(1)  # it has answered
        assert child.exists()
        end(process, signal.SIGKILL)
        until(lambda: not child.exists())


def until(ready):
    """Waits for what another process does."""
    for _ in range(2000):
        if found := ready():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """What a start says that cannot be; asked in this process, for a start takes half a second."""

    def begin(**more: str) -> str:
        for name, value in ({"SANDBOX_DATA": str(tmp_path)} | NEEDED | more).items():
            monkeypatch.setenv(name, value)
        assert main() == 2
        return capsys.readouterr().err

    return begin


def test_a_taken_port_is_one_sentence(refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = refused(SANDBOX_PORT=str(port))
    assert told == f"Port {port} of 127.0.0.1 is taken; stop what uses it or set SANDBOX_PORT to another.\n"


def test_a_folder_that_cannot_be_is_one_sentence(refused, tmp_path):
    (tmp_path / "file").write_text("in the way")
    told = refused(SANDBOX_DATA=str(tmp_path / "file" / "data"))
    assert told.startswith("The sandbox cannot start: Not a directory")
    assert told.count("\n") == 1


def test_what_is_missing_is_one_sentence(refused):
    told = refused(LINK_CLIENT_SECRET="", LWA_CLIENT_ID="")
    assert told == "The sandbox needs LINK_CLIENT_SECRET, LWA_CLIENT_ID in its environment; `make run` sets them all.\n"


WRONG = [
    ("SANDBOX_PORT", "eighty", "SANDBOX_PORT must be a whole number"),
    ("LWA_TOKEN_SECONDS", "0", "LWA_TOKEN_SECONDS must be a whole number"),
    ("SKILL_REGION", "MARS", "SKILL_REGION must be NA, EU or FE"),
    ("PORTAL_URL", "localhost:8000", "PORTAL_URL must begin with http"),
    ("SNS_TOPIC_ARN", "dash-sandbox", "SNS_TOPIC_ARN must be the name of a topic"),
    ("SNS_RETRY_SECONDS", "soon", "SNS_RETRY_SECONDS must be seconds"),
]


def test_what_is_wrong_is_one_sentence(tmp_path):
    for name, value, words in WRONG:
        with pytest.raises(SettingsError, match=words):
            from_environment(NEEDED | {"SANDBOX_DATA": str(tmp_path), name: value})


def test_secrets_are_not_in_the_settings_text(tmp_path):
    known = from_environment(NEEDED | {"SANDBOX_DATA": str(tmp_path), "LINK_CLIENT_SECRET": "very-secret"})
    assert "very-secret" not in repr(known)


def test_a_state_file_that_cannot_be_read_is_put_aside(tmp_path):
    (tmp_path / "state.json").write_text('{"version": 1, "links"')
    state = State(tmp_path / "state.json", weather.DEFAULTS)
    assert state.links == {}
    assert "put aside" in state.note
    assert (tmp_path / "state.broken").exists()


def test_that_it_was_put_aside_is_told_on_the_page(tmp_path):
    async def scene(world):
        assert "put aside" in (await world.state())["notice"]["words"]

    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "state.json").write_text("[]")
    run(scene, tmp_path)


def test_a_redeemed_code_stays_redeemed_after_a_crash(tmp_path):
    state = State(tmp_path / "state.json", weather.DEFAULTS)
    code = lwa.issue_code(state, "household")
    assert code in State(tmp_path / "state.json", weather.DEFAULTS).lwa["codes"]


def test_the_identity_stays_the_same(tmp_path):
    first, second = identity_in(tmp_path), identity_in(tmp_path)
    assert first.file_name == second.file_name
    assert first.pem == second.pem
