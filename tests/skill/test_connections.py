"""Our side of HTTP/1.1 against servers that do what servers do: keep, close, dribble, stall, babble."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from skill import connections
from skill.connections import Answer, Connections, NoAnswer, NoConnection

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
LIKED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ncrema"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


class Server:
    """Answers what `serve` says; remembers what it was asked, and on how many connections."""

    def __init__(self, serve: Serve) -> None:
        self.serve, self.asked, self.connections = serve, [], 0
        self.address = ""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
                self.asked.append(head + await reader.readexactly(length))
                await self.serve(reader, writer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(serve)
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    server.address = f"{'https' if context else 'http'}://localhost:{port}/v3/events"
    try:
        yield server
    finally:
        listening.close()


def saying(*parts: bytes, close: bool = False) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if close:
            writer.close()

    return serve


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def post(http: Connections, server: Server, body: bytes = b"{}", seconds: float = 5.0) -> Answer:
    return await http.post(server.address, b"Authorization: Bearer Atza|alice\r\n", body, seconds)


def ask(run, serve: Serve, times: int = 1, seconds: float = 5.0) -> tuple[list[Answer], Server]:
    async def asking() -> tuple[list[Answer], Server]:
        http = Connections(limit=4)
        async with serving(serve) as server:
            try:
                return [await post(http, server, seconds=seconds) for _ in range(times)], server
            finally:
                http.close()

    return run(asking())


def test_the_whole_request(run):
    answers, server = ask(run, saying(ACCEPTED))
    assert answers == [Answer(202, b"")]
    host = server.address.split("/")[2].encode()
    assert server.asked == [
        b"POST /v3/events HTTP/1.1\r\nHost: " + host + b"\r\nAccept: */*\r\nAuthorization: Bearer Atza|alice\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    ]


def test_a_connection_is_kept_for_the_next_request(run):
    answers, server = ask(run, saying(LIKED), times=5)
    assert answers == [Answer(200, b"crema")] * 5
    assert server.connections == 1


@pytest.mark.parametrize(
    "parts",
    [
        [LIKED[:3], LIKED[3:20], LIKED[20:]],
        [b"HTTP/1.1 100 Continue\r\n\r\n", LIKED],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ncr\r\n", b"3\r\nema\r\n0\r\n\r\n"],
    ],
    ids=["in pieces", "after a Continue", "in chunks"],
)
def test_an_answer_may_come_in_many_ways(run, parts):
    answers, server = ask(run, saying(*parts), times=2)
    assert answers == [Answer(200, b"crema")] * 2
    assert server.connections == 1


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\ncrema",
        b"HTTP/1.1 200 OK\r\n\r\ncrema",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\ncrema",
    ],
    ids=["says close", "ends with the connection", "is of the old kind"],
)
def test_a_server_that_closes_gets_a_new_connection(run, said):
    answers, server = ask(run, saying(said, close=True), times=2)
    assert answers == [Answer(200, b"crema")] * 2
    assert server.connections == 2


def test_what_follows_an_answer_unasked_is_nobodys_answer(run):
    """Else the next customer's report would be settled by this one's echo."""
    answers, server = ask(run, saying(LIKED + ACCEPTED), times=3)
    assert answers == [Answer(200, b"crema")] * 3
    assert server.connections == 3


@pytest.mark.parametrize(
    "serve",
    [
        saying(close=True),
        saying(LIKED[:30], close=True),
        saying(LIKED[:-2], close=True),
        saying(b"220 mail.example.com ESMTP\r\n"),
    ],
    ids=["hangs up", "hangs up in the headers", "hangs up in the body", "speaks something else"],
)
def test_no_whole_answer_is_no_answer(run, serve):
    with pytest.raises(NoAnswer) as caught:
        ask(run, serve)
    assert not isinstance(caught.value, NoConnection), "it may have been heard"


def test_a_server_that_never_answers_is_waited_for_so_long_and_no_longer(run):
    with pytest.raises(NoAnswer, match="no answer in time"):
        ask(run, silent, seconds=0.05)


def test_an_answer_that_came_in_time_is_heard_though_we_were_kept_from_listening(run):
    """Else it would be told twice, because the machine is busy."""

    def amazon(listening: socket.socket) -> None:
        line, _ = listening.accept()
        with line:
            line.recv(10_000)
            assert kept.wait(10)
            line.sendall(ACCEPTED)
            said.set()
            line.recv(1)

    def keep_us() -> None:
        trouble.recv(1)
        kept.set()
        assert said.wait(10)
        time.sleep(0.1)

    async def asking(port: int) -> Answer:
        http, loop = Connections(limit=1), asyncio.get_running_loop()
        loop.add_reader(trouble, keep_us)  # not by a timer: those that fall due meanwhile would wait for their turn
        loop.call_later(0.03, begin.send, b"x")
        try:
            return await http.post(f"http://127.0.0.1:{port}/", b"", b"{}", 0.08)
        finally:
            loop.remove_reader(trouble)
            http.close()

    begin, trouble = socket.socketpair()
    kept, said = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening, begin, trouble:
        far_side = threading.Thread(target=amazon, args=[listening])
        far_side.start()
        assert run(asking(listening.getsockname()[1])) == Answer(202, b"")
        far_side.join()


def test_the_time_of_one_request_is_not_the_time_of_the_next(run):
    """One timer serves many requests of a connection."""

    async def asking() -> None:
        http = Connections(limit=1)
        slowly = iter([0.0, 0.06, 0.06, 60.0])

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(next(slowly))
            writer.write(ACCEPTED)

        async with serving(serve) as server:
            await post(http, server, seconds=0.05)
            await post(http, server, seconds=5.0)
            await post(http, server, seconds=5.0)
            assert server.connections == 1
            with pytest.raises(NoAnswer, match="no answer in time"):
                await post(http, server, seconds=0.05)
        http.close()

    run(asking())


def test_a_long_answer_is_cut(run):
    long = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
    answers, server = ask(run, saying(long), times=2)
    assert [(answer.status, len(answer.body)) for answer in answers] == [(400, connections.MOST_BYTES)] * 2
    assert server.connections == 2


def test_nobody_there(run):
    async def asking() -> None:
        async with serving(silent) as server:
            pass
        with pytest.raises(NoConnection):
            await post(Connections(limit=1), server)

    run(asking())


def test_no_more_connections_than_allowed_and_the_wait_for_one_counts(run):
    async def asking() -> None:
        http = Connections(limit=2)
        async with serving(silent) as server:
            asked = [post(http, server, seconds=seconds) for seconds in (0.3, 0.3, 0.05, 0.05, 0.05)]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [NoAnswer, NoAnswer] + [NoConnection] * 3
            assert server.connections == 2

    run(asking())


def test_who_stops_waiting_does_not_leave_their_answer_to_the_next(run):
    async def asking() -> None:
        http = Connections(limit=1)
        late = asyncio.Event()
        words = iter([LIKED, ACCEPTED])

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            word = next(words)
            if word is LIKED:
                await late.wait()
            writer.write(word)

        async with serving(serve) as server:
            impatient = asyncio.create_task(post(http, server))
            while not server.asked:
                await asyncio.sleep(0)
            impatient.cancel()
            with pytest.raises(asyncio.CancelledError):
                await impatient
            late.set()
            assert await post(http, server) == Answer(202, b"")
        http.close()

    run(asking())


def test_a_connection_that_was_closed_while_it_rested_is_not_used(run):
    async def asking() -> None:
        http = Connections(limit=1)
        doors: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            doors.append(writer)
            writer.write(ACCEPTED)

        async with serving(serve) as server:
            await post(http, server)
            doors[0].close()
            await doors[0].wait_closed()
            while any(door.idle for door in http._doors.values()):
                await asyncio.sleep(0)
            assert await post(http, server) == Answer(202, b"")
            assert server.connections == 2
        http.close()

    run(asking())


def test_a_connection_that_rested_long_is_not_trusted(run, monkeypatch):
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.0)
    answers, server = ask(run, saying(ACCEPTED), times=2)
    assert answers == [Answer(202, b"")] * 2
    assert server.connections == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """For the name localhost, signed by itself."""
    folder = tmp_path_factory.mktemp("certificate")
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost"]
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "pem", "-out", folder / "certificate.pem"]
    subprocess.run(["openssl", "req", *options, *files], check=True, capture_output=True)
    with (folder / "pem").open("ab") as both:
        both.write((folder / "certificate.pem").read_bytes())
    return folder / "pem"


def test_https_with_a_certificate_that_is_trusted_and_only_then(run, certificate, monkeypatch):
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate)
    ours = ssl.create_default_context(cafile=str(certificate))

    async def asking() -> None:
        async with serving(saying(ACCEPTED), theirs) as server:
            with pytest.raises(NoConnection):
                await post(Connections(limit=1), server)
            monkeypatch.setattr(connections, "_context", lambda: ours)
            http = Connections(limit=1)
            assert [await post(http, server) for _ in range(3)] == [Answer(202, b"")] * 3
            http.close()

    run(asking())
