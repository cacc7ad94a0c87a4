"""The broker of `make run`: kombu's folder of files, with messages that appear there whole.

kombu opens a message's file in the folder and then writes it; whoever looks in between takes an empty message away and
its worker ends. Here a message is written under another name first, and the name is changed when it is complete.
"""

import os
import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """kombu's, but for how a message is put down."""

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}"
        unfinished = Path(self.data_folder_out, f"{name}.{queue}.unfinished")
        unfinished.write_bytes(str_to_bytes(dumps(payload)))
        os.replace(unfinished, unfinished.with_suffix(".msg"))


class Transport(filesystem.Transport):
    """What `filesystem://` means here."""

    Channel = Channel


def install() -> None:
    """From now on `filesystem://` is this transport, in this process."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
