"""skill/lambda_function.py: in a bare interpreter, on one kept connection, with one total deadline, and never twice."""

import importlib.util
import json
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.sandbox import checker
from skill import lambda_package
from tests import oracle

FILE = Path(__file__).resolve().parents[2] / "skill" / "lambda_function.py"
DISCOVER = {"directive": {"header": {"namespace": "Alexa.Discovery", "name": "Discover", "payloadVersion": "3"}}}
GRANT = {"directive": {"header": {"namespace": "Alexa.Authorization", "name": "AcceptGrant", "payloadVersion": "3"}}}
STATE = {
    "directive": {
        "header": {"namespace": "Alexa", "name": "ReportState", "payloadVersion": "3", "correlationToken": "c=="},
        "endpoint": {"endpointId": "e-1"},
    }
}
ANSWER = json.dumps({"event": {"header": {"name": "Discover.Response"}, "payload": {"endpoints": []}}}).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


class Portal:
    """A portal on a real socket. `behave` gets the connection after each request; False closes it."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.behave: Callable[[socket.socket], object] = lambda sock: sock.sendall(OK)
        portal = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                portal.connections += 1
                while (request := portal.read(self.request)) and portal.behave(self.request) is not False:
                    assert request

        socketserver.ThreadingTCPServer.daemon_threads = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/skill/directive"

    def read(self, sock: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            if not (chunk := sock.recv(65536)):
                return b""
            request += chunk
        head, body = request.split(b"\r\n\r\n", 1)
        length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")).split(b":")[1])
        while len(body) < length:
            body += sock.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return request


@pytest.fixture
def portal() -> Iterator[Portal]:
    server = Portal()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def courier(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module as Lambda loads it, with 1.5 seconds to spend."""
    monkeypatch.setenv("DIRECTIVE_URL", portal.url)
    monkeypatch.setenv("COURIER_SECRET", "the-secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    spec = importlib.util.spec_from_file_location("courier_under_test", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.LONGEST = 1.5
    return module


def is_our_error(answer: dict[str, Any], type_: str = "INTERNAL_ERROR") -> bool:
    return answer["event"]["header"]["name"] == "ErrorResponse" and answer["event"]["payload"]["type"] == type_


def test_it_brings_the_directive_the_secret_and_its_region(courier: Any, portal: Portal) -> None:
    assert courier.lambda_handler(DISCOVER, None) == json.loads(ANSWER)
    (request,) = portal.requests
    assert request.startswith(b"POST /skill/directive HTTP/1.1")
    assert b"X-Courier-Secret: the-secret" in request
    assert b"X-Skill-Region: EU" in request
    assert json.loads(request.split(b"\r\n\r\n")[1]) == DISCOVER


def test_one_connection_serves_many_directives(courier: Any, portal: Portal) -> None:
    for _ in range(5):
        assert courier.lambda_handler(DISCOVER, None) == json.loads(ANSWER)
    assert (portal.connections, len(portal.requests)) == (1, 5)


def test_a_kept_connection_that_the_portal_closed_is_not_used(courier: Any, portal: Portal) -> None:
    portal.behave = lambda sock: (sock.sendall(OK), False)[1]
    for _ in range(3):
        assert courier.lambda_handler(DISCOVER, None) == json.loads(ANSWER)
        time.sleep(0.05)
    assert (portal.connections, len(portal.requests)) == (3, 3)


def test_a_connection_that_was_idle_for_long_is_not_trusted(courier: Any, portal: Portal) -> None:
    courier.IDLE = 0
    courier.lambda_handler(DISCOVER, None)
    courier.lambda_handler(DISCOVER, None)
    assert portal.connections == 2


def test_a_portal_that_drips_does_not_stretch_the_deadline(courier: Any, portal: Portal) -> None:
    """Each byte is in time, the answer is not."""

    def drip(sock: socket.socket) -> None:
        for byte in OK:
            sock.sendall(bytes([byte]))
            time.sleep(0.1)

    portal.behave = drip
    started = time.monotonic()
    assert is_our_error(courier.lambda_handler(DISCOVER, None))
    assert time.monotonic() - started < 8
    portal.behave = lambda sock: sock.sendall(OK)
    assert courier.lambda_handler(DISCOVER, None) == json.loads(ANSWER), "the half-read connection was used again"
    assert len(portal.requests) == 2


@pytest.mark.parametrize(
    "behave",
    [
        lambda sock: False,
        lambda sock: sock.sendall(b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"),
        lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot json!"),
        lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"),
        lambda sock: sock.sendall(b"\x00\x01\x02\r\n\r\n"),
    ],
    ids=["closes", "503", "no JSON", "no event", "no HTTP"],
)
def test_a_request_is_never_repeated(courier: Any, portal: Portal, behave: Any, capsys: Any) -> None:
    portal.behave = behave
    assert is_our_error(courier.lambda_handler(GRANT, None), "ACCEPT_GRANT_FAILED")
    assert len(portal.requests) == 1
    printed = capsys.readouterr().out
    assert "Alexa.Authorization.AcceptGrant" in printed
    assert "the-secret" not in printed


def test_a_broken_secret_is_not_printed(courier: Any, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("COURIER_SECRET", "the-secret\nwith a second line")
    assert is_our_error(courier.lambda_handler(DISCOVER, None))
    assert "the-secret" not in capsys.readouterr().out


def test_the_error_answers_to_its_directive(courier: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("DIRECTIVE_URL", "http://127.0.0.1:9/skill/directive")
    event = courier.lambda_handler(STATE, None)["event"]
    assert event["header"]["correlationToken"] == "c=="
    assert event["endpoint"] == {"endpointId": "e-1"}


@pytest.mark.parametrize(
    ("event", "namespace", "type_"),
    [
        (DISCOVER, "Alexa", "INTERNAL_ERROR"),
        (STATE, "Alexa", "INTERNAL_ERROR"),
        (GRANT, "Alexa.Authorization", "ACCEPT_GRANT_FAILED"),
    ],
    ids=["Discover", "ReportState", "AcceptGrant"],
)
def test_each_error_is_in_its_directives_own_form(
    courier: Any, monkeypatch: Any, event: Any, namespace: str, type_: str
) -> None:
    """Only a directive about an endpoint gets a correlationToken and an endpoint back; the oracles agree."""
    monkeypatch.setenv("DIRECTIVE_URL", "http://127.0.0.1:9/skill/directive")
    answer = courier.lambda_handler(event, None)
    said = answer["event"]
    assert (said["header"]["namespace"], said["payload"]["type"]) == (namespace, type_)
    assert ("correlationToken" in said["header"], "endpoint" in said) == (event is STATE, event is STATE)
    assert checker.violations(answer, over="answer") + oracle.about_schema(answer) == []


@pytest.mark.parametrize("nonsense", [None, [], "x", {"directive": 5}, {"directive": {"header": []}}])
def test_nonsense_is_carried_too(courier: Any, portal: Portal, nonsense: Any) -> None:
    assert courier.lambda_handler(nonsense, None) == json.loads(ANSWER)


def test_lambdas_own_clock_counts(courier: Any, portal: Portal) -> None:
    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 1600

    portal.behave = lambda sock: time.sleep(3)
    started = time.monotonic()
    assert is_our_error(courier.lambda_handler(DISCOVER, Context()))
    assert time.monotonic() - started < 2.5


def test_its_zip_runs_in_a_bare_interpreter(portal: Portal, tmp_path: Path) -> None:
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import lambda_function\n"
        "print(json.dumps(lambda_function.lambda_handler(json.load(sys.stdin), None)))"
    )
    courier_zip = tmp_path / "courier.zip"
    courier_zip.write_bytes(lambda_package.package())
    environment = {"DIRECTIVE_URL": portal.url, "COURIER_SECRET": "s"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(courier_zip)],
        input=json.dumps(DISCOVER), env=environment, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(ANSWER)


def test_a_skill_event_and_its_answer_pass(courier: Any, portal: Portal) -> None:
    """They have the format of custom skills: no directive in it, and no event in the answer."""
    told = json.dumps({"version": "1.0", "response": {}}).encode()
    portal.behave = lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))
    disabled = {"version": "1.0", "request": {"type": "AlexaSkillEvent.SkillDisabled"}}
    assert courier.lambda_handler(disabled, None) == {"version": "1.0", "response": {}}
    assert json.loads(portal.requests[0].split(b"\r\n\r\n")[1]) == disabled
