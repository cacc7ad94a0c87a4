"""The broker of `make run` hands over whole messages only, whoever looks into its folder at whatever moment."""

from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from portal import folder_broker


@pytest.fixture
def channel(tmp_path: Path) -> Any:
    folder_broker.install()
    folders = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path / "c")}
    with Connection("filesystem://", transport_options=folders) as connection:
        yield connection.default_channel


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
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
