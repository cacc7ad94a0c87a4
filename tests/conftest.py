"""One embedded PostgreSQL for the whole run, and the people of the tests: Alice, Bob and their machines."""

import os
import tempfile
from pathlib import Path

import pytest

os.environ["EMBEDDED"] = "1"
for name in [name for name in os.environ if name.startswith("PG")]:
    del os.environ[name]  # the tests never touch a server that somebody else configured


def pytest_configure(config: pytest.Config) -> None:
    """The controlling process starts the server; xdist's workers inherit its address."""
    if hasattr(config, "workerinput"):
        return
    from portal import embedded

    folder = tempfile.TemporaryDirectory(prefix="portal-tests-")
    os.environ["DATA_DIR"] = folder.name
    embedded.start(Path(folder.name), fast=True)

    def end() -> None:
        embedded.remove(Path(folder.name))
        folder.cleanup()

    config.add_cleanup(end)


pytest_plugins = ["tests.people"]
