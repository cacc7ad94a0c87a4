"""The broker of `make run` hands over whole messages only, whoever looks into its folder at whatever moment."""

import contextlib
import multiprocessing
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from portal import folder_broker


@pytest.fixture
def channel(tmp_path: Path) -> Any:
    with connected(tmp_path) as connection:
        yield connection.default_channel


def connected(folder: Path) -> Connection:
    folder_broker.install()
    messages = str(folder / "broker" / "messages")  # made by who comes first, as in production
    folders = {
        "data_folder_in": messages,
        "data_folder_out": messages,
        "control_folder": str(folder / "broker" / "control"),
    }
    return Connection("filesystem://", transport_options=folders)


def test_a_message_that_is_being_written_is_not_there_yet(channel: Any) -> None:
    looked = []

    class Doorbell:
        def __json__(self) -> str:
            with pytest.raises(Empty):
                channel._get("delivery")
            looked.append(True)
            return "look now"

    channel._put("delivery", {"body": Doorbell()})
    assert looked
    assert channel._get("delivery") == {"body": "look now"}


def test_every_message_comes_once_to_its_own_queue(channel: Any, tmp_path: Path) -> None:
    for number in range(3):
        channel._put("delivery", {"number": number})
    channel._put("portal", {"number": 9})
    came = sorted(channel._get("delivery")["number"] for _ in range(3))
    assert came == [0, 1, 2]
    with pytest.raises(Empty):
        channel._get("delivery")
    assert channel._get("portal") == {"number": 9}
    assert not [path for path in (tmp_path / "broker" / "messages").iterdir() if path.is_file()]


def test_what_is_no_message_is_left_out(channel: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broker" / "messages" / "1_empty.delivery.msg").touch()
    channel._put("delivery", {"number": 1})
    assert channel._get("delivery") == {"number": 1}
    assert "1_empty.delivery.taken" in caplog.text


def bind_and_take(folder: Path, number: int, start: Any, taken: Any) -> None:
    with connected(folder) as connection:
        channel = connection.default_channel
        start.wait()
        channel._queue_bind("doorbell", "", "", f"queue{number}")
        channel._put("delivery", {"number": number})
        channel._delete(f"queue{number}", "doorbell", "", "")
        taken.put(take(channel))


def take(channel: Any) -> int:
    """Looks again, as a worker does: all that it saw may be taken by others, while more has come."""
    while True:
        with contextlib.suppress(Empty):
            return int(channel._get("delivery")["number"])


def test_processes_that_begin_at_once_do_not_hurt_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, taken = context.Barrier(20), context.Queue()
    crowd = [context.Process(target=bind_and_take, args=(tmp_path, number, start, taken)) for number in range(20)]
    for process in crowd:
        process.start()
    came = [taken.get(timeout=30) for _ in crowd]
    assert sorted(came) == list(range(20))
    for process in crowd:
        process.join()
    assert [process.exitcode for process in crowd] == [0] * 20
