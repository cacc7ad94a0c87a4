"""Which Chromium the tests look with: its headless shell, the same engine without a desktop around it, costs a third of the whole."""

import shutil

import pytest

EXECUTABLE = shutil.which("chromium-headless-shell") or shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-gpu",
    "--no-first-run",
    "--disable-component-update",
]
needed = pytest.mark.skipif(EXECUTABLE is None, reason="there is no Chromium on this machine")
