"""Celery's command line for a process under libfaketime with DONT_FAKE_MONOTONIC, which refuses what Python's `time.sleep` asks for:
to sleep until a moment of the monotonic clock. Sleeping for a span of time it allows."""

import select
import sys
import time


def sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = sleep

from celery.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
