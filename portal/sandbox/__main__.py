"""Starts the sandbox: python -m portal.sandbox. What is missing or taken is one sentence and exit code 2."""

from __future__ import annotations

import os
import sys

from aiohttp import web

from .app import build
from .settings import Settings, SettingsError, from_environment


def main() -> int:
    """Runs until SIGINT or SIGTERM. 0 after an orderly end, 2 when it cannot start."""
    try:
        settings = from_environment(os.environ)
        _serve(settings)
    except SettingsError as error:
        return _cannot(str(error))
    except OSError as error:
        return _cannot(_sentence(error))
    return 0


def _serve(settings: Settings) -> None:
    def greet(_: str) -> None:  # called when the port is open
        print(f"The sandbox plays Amazon on {settings.sandbox_url}", flush=True)

    # This machine only: the sandbox signs whatever it is asked to and has no login.
    app = build(settings)
    web.run_app(app, host="127.0.0.1", port=settings.port, print=greet, access_log=None, shutdown_timeout=1)


def _sentence(error: OSError) -> str:
    port = os.environ.get("SANDBOX_PORT") or "8100"
    if error.errno in (48, 98):
        return f"Port {port} of 127.0.0.1 is taken; stop what uses it or set SANDBOX_PORT to another."
    return f"The sandbox cannot start: {error.strerror or error} ({error.filename or 'port ' + port})."


def _cannot(words: str) -> int:
    print(words, file=sys.stderr, flush=True)
    return 2


if __name__ == "__main__":
    sys.exit(main())
