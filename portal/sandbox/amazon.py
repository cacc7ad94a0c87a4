"""What every part of the sandbox needs in its hand: settings, memory, the SNS identity, and one HTTP client."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

import aiohttp

from .courier import Courier
from .settings import Settings
from .signing import Identity
from .state import State


@dataclass
class Amazon:
    """One sandbox. `http` exists while the server runs."""

    settings: Settings
    state: State
    identity: Identity
    courier: Courier
    http: aiohttp.ClientSession = field(init=False)
    closing: bool = False
    device: dict[str, object] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def lock(self, name: str) -> asyncio.Lock:
        """One at a time for each name (linking or refreshing one account)."""
        return self.locks.setdefault(name, asyncio.Lock())

    def beside(self, work: Coroutine[None, None, None]) -> None:
        """Something that nobody waits for; it ends with the server."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
