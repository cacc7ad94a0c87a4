"""The README says what the code does: the settings by name and order, the processes by command, the files it names."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from pathlib import Path

from django.core.management import get_commands, load_command_class

from portal import supervisor

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    """What stands between the comment that names it and the next heading or comment."""
    return README.split(f"<!-- {name}:", 1)[1].split("<!--", 1)[0]


def table() -> list[str]:
    return re.findall(r"^\| `([A-Z_]+)` \|", section("settings"), re.MULTILINE)


def variables() -> list[str]:
    """Every environment variable that settings.py reads, in the order of the file."""
    tree = ast.parse((ROOT / "portal" / "settings.py").read_text(encoding="utf-8"))
    found = [(node.lineno, node.col_offset, name) for node in ast.walk(tree) if (name := _variable(node))]
    return list(dict.fromkeys(name for _, _, name in sorted(found)))


def _variable(node: ast.AST) -> str:
    """`_env.text("NAME", …)`, `os.environ.get("NAME")`, or the data folder, which is read where it is needed first."""
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DATA_DIR":
        return "DATA_DIR"
    if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
        return ""
    asks = ast.unparse(node.func)
    is_question = asks == "os.environ.get" or re.fullmatch(r"_env\.[a-z]+", asks) is not None
    return str(node.args[0].value) if is_question else ""


def test_the_table_has_every_setting_once_and_no_other() -> None:
    assert len(table()) == len(set(table()))
    assert set(table()) == set(variables())


def test_the_table_has_the_order_of_the_file() -> None:
    """libpq's names stand together in the table; the file reads them in two places."""
    others = [name for name in variables() if not name.startswith("PG")]
    assert [name for name in table() if not name.startswith("PG")] == others


def test_what_the_table_calls_needed_is_what_production_asks_for() -> None:
    needed = set(re.findall(r"^\| `([A-Z_]+)` \| \*\*needed\*\*", section("settings"), re.MULTILINE))
    tree = ast.parse((ROOT / "portal" / "settings.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _variable(node)]
    assert {_variable(call) for call in calls if any(word.arg == "why" for word in call.keywords)} == needed


def test_the_processes_are_those_of_make_run() -> None:
    told = dict(re.findall(r"^# (\w+)\n(.+)$", section("processes"), re.MULTILINE))
    real = supervisor.commands({"PORTAL_PORT": 8000, "SANDBOX_PORT": 8100, "MACHINE_PORT": 8101})
    python = shlex.quote(sys.executable)
    assert told == {
        name: command.replace(python, "python") for name, command in real.items() if name not in ("sandbox", "machine")
    }


def test_every_file_and_command_it_names_is_there() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`((?:portal|skill|notifications|devices|tests)/[\w./]*)`", README):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"`make (\w+)", README):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_what_it_says_of_a_command_the_command_knows() -> None:
    """Each `manage.py name --option …` that it tells."""
    told = re.findall(r"manage\.py (\w+)([^`\n#]*)", README)
    assert len(told) > 20
    for name, rest in told:
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        unknown = set(re.findall(r"--[a-z-]+", rest)) - set(parser._option_string_actions)
        assert not unknown, (name, unknown)


def test_the_pictures_are_small() -> None:
    pictures = list((ROOT / "tests" / "browser" / "screenshots").glob("*.png"))
    assert {picture.name for picture in pictures} == {"sandbox.png", "device.png"}
    assert all(picture.stat().st_size < 250_000 for picture in pictures)
