"""manage.py import_devices: the file of secrets, the file of faults, and what is there when it is cut short."""

import csv
import io
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from devices import keys, registry
from devices.factory import Secret
from devices.models import Device
from devices.secrets_file import SecretsFile
from tests.devices.test_factory import HEADER, MADE, OWN, listed


def test_the_command_writes_secrets_for_the_owner_of_the_file_alone(crema: Any, tmp_path: Path) -> None:
    path, out = listed(tmp_path, "\ufeff" + HEADER + OWN + MADE), io.StringIO()
    call_command("import_devices", path, secrets=tmp_path / "keys.csv", stdout=out)
    assert "2 units listed: 2 new, 0 there before." in out.getvalue()
    assert stat.S_IMODE((tmp_path / "keys.csv").stat().st_mode) == 0o600
    [row] = csv.DictReader((tmp_path / "keys.csv").open())
    assert keys.authenticate("CRM20-0102", row["key"]) is not None
    assert row["key"] not in out.getvalue()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["keys.csv", "units.csv"]


def test_the_command_again_leaves_the_keys_and_makes_no_file(crema: Any, tmp_path: Path) -> None:
    path, out = listed(tmp_path, HEADER + MADE), io.StringIO()
    call_command("import_devices", path, stdout=out)
    call_command("import_devices", path, stdout=out)
    assert "1 units listed: 0 new, 1 there before." in out.getvalue()
    assert len([file for file in tmp_path.iterdir() if ".secrets-" in file.name]) == 1


def test_the_command_never_writes_over_keys(crema: Any, tmp_path: Path) -> None:
    path = listed(tmp_path, HEADER + MADE)
    (tmp_path / "keys.csv").write_text("the keys of yesterday")
    with pytest.raises(CommandError, match=r"keys\.csv"):
        call_command("import_devices", path, secrets=tmp_path / "keys.csv")
    assert (tmp_path / "keys.csv").read_text() == "the keys of yesterday"
    assert not Device.objects.exists()


def test_cut_short_right_after_the_commit_the_keys_are_on_the_disk(
    crema: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    def power_cut(_: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(SecretsFile, "keep", power_cut)
    with pytest.raises(KeyboardInterrupt):
        call_command("import_devices", listed(tmp_path, HEADER + MADE), secrets=tmp_path / "keys.csv")
    [row] = csv.DictReader((tmp_path / "keys.csv.part").open())
    assert keys.authenticate("CRM20-0102", row["key"]) is not None
    assert stat.S_IMODE((tmp_path / "keys.csv.part").stat().st_mode) == 0o600


def test_when_nobody_knows_whether_the_commit_happened_the_keys_are_kept(
    crema: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    def broken(*args: Any, on_secrets: Any, **_: Any) -> None:
        on_secrets([Secret("CRM20-0102", "CREMA-20", "a-key", "ABCD2345")])
        raise OperationalError("server closed the connection unexpectedly\n")

    monkeypatch.setattr("devices.management.commands.import_devices.import_units", broken)
    with pytest.raises(CommandError, match=r"keys\.csv\.part are the right ones"):
        call_command("import_devices", listed(tmp_path, HEADER + MADE), secrets=tmp_path / "keys.csv")
    assert "a-key" in (tmp_path / "keys.csv.part").read_text()


def test_a_disk_without_links_keeps_the_keys_under_their_first_name(
    crema: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """As a memory stick is: the units are registered by then, so it is said where their keys are."""

    def no_links(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    with pytest.raises(CommandError, match=r"registered.*keys\.csv\.part, whole.*Operation not permitted"):
        call_command("import_devices", listed(tmp_path, HEADER + MADE), secrets=tmp_path / "keys.csv")
    [row] = csv.DictReader((tmp_path / "keys.csv.part").open())
    assert registry.authenticate(row["serial"], row["key"])


def test_the_command_lists_faults_by_line_in_a_file(crema: Any, tmp_path: Path) -> None:
    path = listed(tmp_path, f"{HEADER}{MADE}A1,NO-SUCH,generate,generate,,\nA2,CREMA-20,x,generate,,\n")
    with pytest.raises(CommandError, match=r"2 faults.*units\.csv\.errors\.csv"):
        call_command("import_devices", path)
    rows = list(csv.DictReader((tmp_path / "units.csv.errors.csv").open()))
    assert [(row["line"], row["field"]) for row in rows] == [("3", "model"), ("4", "key")]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["units.csv", "units.csv.errors.csv"]
    call_command("import_devices", listed(tmp_path, HEADER + MADE), secrets=tmp_path / "keys.csv", stdout=io.StringIO())
    assert not (tmp_path / "units.csv.errors.csv").exists(), "faults of an earlier run mislead"


def test_a_missing_list_is_said_in_one_sentence(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_devices", tmp_path / "nowhere.csv")


def test_the_bar_is_for_terminals(tmp_path: Path) -> None:
    from devices.management.commands.import_devices import ProgressBar

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    path, terminal, pipe = listed(tmp_path, HEADER + OWN), Terminal(), io.StringIO()
    with open(path) as lines:
        lines.read()
        ProgressBar(lines, terminal).show("reading", 1000)
        ProgressBar(lines, pipe).show("reading", 1000)
    assert "100%  reading, 1,000 units" in terminal.getvalue()
    assert pipe.getvalue() == ""
