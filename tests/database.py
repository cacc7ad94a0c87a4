"""One embedded PostgreSQL for the whole run; a plugin named in pyproject.toml, because settings are read before any conftest."""

import os
import tempfile
from pathlib import Path

import pytest

WORKER = "PYTEST_XDIST_WORKER" in os.environ

os.environ["EMBEDDED"] = "1"
for name in [name for name in os.environ if name.startswith("PG")]:
    del os.environ[name]  # the tests never touch a server that somebody else configured
if not WORKER:
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="portal-tests-")


def pytest_configure(config: pytest.Config) -> None:
    """The controlling process starts the server; xdist's workers inherit its address."""
    if WORKER:
        return
    from portal import embedded

    folder = Path(os.environ["DATA_DIR"])
    (folder / "static").mkdir()
    embedded.start(folder, fast=True)
    config.add_cleanup(lambda: _remove(folder))


def _remove(folder: Path) -> None:
    import shutil

    from portal import embedded

    embedded.remove(folder)
    shutil.rmtree(folder, ignore_errors=True)
