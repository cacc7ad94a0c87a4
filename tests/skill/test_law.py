"""What no layer contract can say: these files know the standard library, themselves, and nothing else that could ever be installed."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PURE = [
    *sorted((ROOT / "skill" / "alexa").glob("*.py")),
    ROOT / "skill" / "lambda_function.py",
    ROOT / "skill" / "duty.py",
]
FORMATS = [ROOT / "notifications" / f"{name}.py" for name in ("sns", "drs", "asp", "regions", "strict_json")]
FOLDS = [ROOT / "notifications" / f"{name}.py" for name in ("folds", "timeline", "wanted")]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.stem)
def test_the_standard_library_only(path: Path) -> None:
    strange = {name for name in imported(path) if name.split(".")[0] not in sys.stdlib_module_names}
    assert all(name.startswith("skill.alexa") for name in strange), strange
    assert not (strange and path.name == "lambda_function.py"), strange


@pytest.mark.parametrize("path", FORMATS, ids=lambda path: path.stem)
def test_amazons_formats_know_cryptography_besides(path: Path) -> None:
    strange = {name for name in imported(path) if name.split(".")[0] not in sys.stdlib_module_names}
    siblings = ("cryptography.", "notifications.regions", "notifications.strict_json")
    assert all(name.startswith(siblings) for name in strange), strange


@pytest.mark.parametrize("path", FOLDS, ids=lambda path: path.stem)
def test_what_follows_from_them_knows_them_only(path: Path) -> None:
    strange = {name for name in imported(path) if name.split(".")[0] not in sys.stdlib_module_names}
    assert all(name.startswith(("notifications.drs.", "notifications.folds.")) for name in strange), strange
