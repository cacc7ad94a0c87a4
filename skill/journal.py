"""One log line for each class of outcome and minute, with a counter: a bad day writes as many lines as it has kinds of trouble.

What happened to a single endpoint or event stands on its row. Counted per process; whoever counts also writes when a minute is over.
"""

import logging
import threading
import time
from collections import Counter

log = logging.getLogger(__name__)
EVERY = 60.0  # seconds


class Journal:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Begin anew, and write nothing of what was counted."""
        self._counts: Counter[tuple[int, str]] = Counter()
        self._examples: dict[tuple[int, str], str] = {}
        self._since = time.monotonic()

    def count(self, what: str, level: int = logging.INFO, example: str = "") -> int:
        """One more of this class; how many that are in this minute, whose line names the first example. What is due is written: a web
        process counts seldom, and nobody else there looks at the minute."""
        with self._lock:
            self._counts[level, what] += 1
            number = self._counts[level, what]
            self._examples.setdefault((level, what), example)
        if time.monotonic() - self._since >= EVERY:
            self.write_when_due()
        return number

    def trouble(self, what: str, example: str, error: BaseException | None = None) -> None:
        """The same for what an engineer must see: the first of the minute is written at once, with the error's traceback."""
        if self.count(what, logging.ERROR, example) == 1:
            log.error("%s: %s", what, example, exc_info=error)

    def write_when_due(self, now: bool = False) -> None:
        """The lines of the minute that is over; or of what there is, now."""
        with self._lock:
            passed = time.monotonic() - self._since
            if passed < EVERY and not now:
                return
            counts, examples = self._counts, self._examples
            self.forget()
        for (level, what), count in sorted(counts.items()):
            log.log(level, "%s: %d in %.0f s%s", what, count, passed, _said(examples[level, what]))


def _said(example: str) -> str:
    return f", one of them {example}" if example else ""


journal = Journal()


def note_outcome(region: str, code: str, endpoint: str, text: str) -> None:
    """What came of an endpoint; no code: Alexa took it, or there was nothing to say."""
    if code:
        journal.count(f"{code} in {region}", logging.WARNING, f"endpoint {endpoint}: {text}")
    else:
        journal.count(f"delivered in {region}")
