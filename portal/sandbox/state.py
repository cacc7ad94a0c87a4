"""Everything that Amazon remembers, in one object, kept in SANDBOX_DATA/state.json so that a restart goes on.

Plain JSON data only, no behaviour: the modules beside play the parts. `save` is atomic and blocking (promises such as a
redeemed code must be on disk before they are answered); `touch` is for what may be lost, the wire, and is saved soon.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .masking import masked

WIRE_LENGTH = 300
VERSION = 1
_LONGEST_BODY = 60_000

Json = dict[str, Any]


def now() -> datetime:
    """The clock of the whole sandbox, UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime | None = None) -> str:
    """2026-11-21T07:30:00.250Z, as Amazon writes it."""
    return (moment or now()).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class State:
    """links (per Amazon account), lwa (codes, tokens), dash (runs of low levels), orders, outbox, wire, knobs."""

    def __init__(self, path: Path, knobs: Json):
        self.path = path
        self.data: Json = _fresh(knobs)
        self.revision = 0
        self.note = ""
        self._changed = asyncio.Event()
        self._dirty = False
        self._load(knobs)

    links = property(lambda self: self.data["links"])
    lwa = property(lambda self: self.data["lwa"])
    dash = property(lambda self: self.data["dash"])
    orders = property(lambda self: self.data["orders"])
    outbox = property(lambda self: self.data["outbox"])
    wire = property(lambda self: self.data["wire"])
    knobs = property(lambda self: self.data["knobs"])

    def _load(self, knobs: Json) -> None:
        if not self.path.exists():
            return
        try:
            stored = json.loads(self.path.read_text("utf-8"))
            if stored["version"] != VERSION:
                raise ValueError("another version")
        except (ValueError, KeyError, TypeError):
            self.path.replace(self.path.with_suffix(".broken"))
            self.note = (
                "The stored state could not be read; it was put aside as state.broken and the sandbox began anew."
            )
            return
        self.data = _fresh(knobs) | stored
        self.data["knobs"] = knobs | {key: value for key, value in stored["knobs"].items() if key in knobs}

    def save(self) -> None:
        """On disk when this returns: written beside, then renamed; only the owner can read it (tokens)."""
        self.touch()
        self._dirty = False
        beside = self.path.with_suffix(".tmp")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(json.dumps(self.data))  # piece by piece, as json.dump writes, it takes five times as long
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)

    def save_if_touched(self) -> None:
        """For the regular turn: writes only what has changed since the last save."""
        if self._dirty:
            self.save()

    def touch(self) -> None:
        """Something changed: pages look again, the disk follows soon."""
        self.revision += 1
        self._dirty = True
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def change(self, seconds: float) -> None:
        """Returns at the next change, or after these seconds."""
        # Not asyncio.wait_for: in Python 3.11 it swallows a cancellation that meets a change.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def record(self, direction: str, group: str, kind: str, **details: Any) -> Json:
        """One message on the wire, newest last, tokens masked before anything is kept. direction: "in" | "out"."""
        self.data["wire_number"] += 1
        entry = {
            "number": self.data["wire_number"],
            "at": stamp(),
            "direction": direction,
            "group": group,
            "kind": kind,
        }
        entry |= {"status": None, "words": "", "violations": [], "request": None, "answer": None, "ms": None}
        entry |= {key: _shown(value) for key, value in details.items()}
        self.wire.append(entry)
        del self.wire[:-WIRE_LENGTH]
        self.touch()
        return entry

    def next_number(self, name: str) -> int:
        """1, 2, 3, ... for each name; goes on after a restart."""
        self.data["counters"][name] = self.data["counters"].get(name, 0) + 1
        return int(self.data["counters"][name])


def _shown(value: object) -> object:
    """Masked, and short enough to keep 300 of."""
    try:
        safe = masked(value)
        text = json.dumps(safe, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to be shown)"
    return safe if len(text) <= _LONGEST_BODY else f"{text[:_LONGEST_BODY]} … ({len(text)} characters in all)"


def _fresh(knobs: Json) -> Json:
    empty: Json = {key: {} for key in ("links", "lwa", "dash", "pending", "counters")}
    empty["lwa"] = {"codes": {}, "refresh": {}, "access": {}}
    return {
        "version": VERSION,
        **empty,
        "orders": [],
        "outbox": [],
        "wire": [],
        "wire_number": 0,
        "knobs": dict(knobs),
        "notice": None,
    }
