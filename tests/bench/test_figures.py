"""A missed target is named in the last line, and the bench fails."""

import sys
from typing import Any

import pytest

from tests.bench import __main__ as all_of_them
from tests.bench.figures import MISSED, Figure, Figures


@pytest.mark.parametrize(
    ("value", "floor", "target", "met"),
    [
        (60, 100, ">=0.6", True),
        (59, 100, ">=0.6", False),
        (59, 100, ">=0.6 (ratio)", False),
        (201, None, "<=200", False),
        (200, None, "<=200", True),
        (99, 1, "<100 (value)", True),
        (100, 1000, "<100 (value)", False),
        (1, 1, "-", True),
    ],
)
def test_a_target_is_about_the_ratio_where_there_is_one(
    value: float, floor: float | None, target: str, met: bool
) -> None:
    assert Figure("x", value, floor, target).is_met is met


def test_who_missed_is_named_last(capsys: Any) -> None:
    figures = Figures(None)
    figures.add("memory_mib", 10, None, "<=200")
    figures.end()
    figures.add("reports_per_second", 1, 2, ">=0.6")
    figures.skip(["slow"], "there is no nginx here")
    with pytest.raises(SystemExit):
        figures.end()
    assert capsys.readouterr().out.splitlines()[-1] == MISSED + "reports_per_second"


def test_all_benches_run_and_all_misses_are_named(monkeypatch: Any, tmp_path: Any, capsys: Any) -> None:
    """One misses two targets, one breaks off."""
    found = {"sns": (["a", "b"], [{"name": "a"}]), "skill": (["bench_skill, which broke off"], [])}
    monkeypatch.setattr(all_of_them, "run", lambda bench, words: found.get(bench, ([], [{"name": bench}])))
    monkeypatch.setattr(sys, "argv", ["bench", *found, "import", "--", "--json", str(tmp_path / "all")])
    with pytest.raises(SystemExit) as end:
        all_of_them.main()
    assert end.value.code == MISSED + "a, b, bench_skill, which broke off"
    assert (tmp_path / "all").read_text().count('"name"') == 2


def test_a_bench_that_cannot_begin_is_one_that_broke_off() -> None:
    assert all_of_them.run("of_nothing", []) == (["bench_of_nothing, which broke off"], [])
