"""The broker of `make run`: kombu's folder of files, with messages and tables that are seen whole or not at all.

kombu opens a file in its folder and then writes it, and takes a message by way of the system's folder for temporary files; whoever
looks in between finds something empty, and its worker ends. Here a message is written, and taken, under another name of the same
folder, and the tables of who listens to what are read and written by one process at a time.
"""

import contextlib
import fcntl
import logging
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps, loads

log = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """kombu's, but for how files are written and taken, and for its folders, which are there whoever comes first."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for folder in (self.data_folder_in, self.data_folder_out, self.control_folder):
            Path(folder).mkdir(parents=True, exist_ok=True)

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}"
        unfinished = Path(self.data_folder_out, f"{name}.{queue}.unfinished")
        unfinished.write_bytes(str_to_bytes(dumps(payload)))
        os.replace(unfinished, unfinished.with_suffix(".msg"))

    def _get(self, queue: str) -> Any:
        """The oldest message of the queue. One that nobody can read is left out, under the name that it has then."""
        for name in sorted(os.listdir(self.data_folder_in)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            message = Path(self.data_folder_in, name)
            taken = message.with_suffix(".taken")
            try:
                message.rename(taken)
            except FileNotFoundError:  # another one was quicker
                continue
            try:
                payload = loads(taken.read_bytes())
            except ValueError:
                log.error("a message that cannot be read: %s", taken)
                continue
            taken.unlink()
            return payload
        raise Empty

    def get_table(self, exchange: str) -> Any:
        with self._turn():
            return super().get_table(exchange)

    def _queue_bind(self, *names: Any) -> None:
        with self._turn():
            super()._queue_bind(*names)

    def _delete(self, *names: Any, **kwargs: Any) -> None:
        with self._turn():
            super()._delete(*names, **kwargs)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Nobody else of this folder is at a table meanwhile."""
        with (self.control_folder / "turn.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield


class Transport(filesystem.Transport):
    """What `filesystem://` means here."""

    Channel = Channel


def install() -> None:
    """From now on `filesystem://` is this transport, in this process."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
