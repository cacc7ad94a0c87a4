"""Faulty machines for days over HTTP, while the web process is killed twice: nothing lost, nothing twice."""

import time
from collections.abc import Iterator

import pytest

from tests.faults.fleet import Portal, Size, happened, let_it_live, running_portal


@pytest.fixture
def portal() -> Iterator[Portal]:
    with running_portal() as portal:
        yield portal


def test_nothing_is_lost_and_nothing_is_twice(portal: Portal) -> None:
    size = Size.asked_for(units=50, days=3, seconds=12)

    def power_cut() -> None:
        portal.kill()
        time.sleep(0.5)
        portal.start()

    said = let_it_live(portal, size, [], [power_cut, power_cut])
    assert f"{size.units} units" in said
    assert "nothing lost, nothing twice" in said
    counted = happened(said)
    for trouble in ("no answer", "unheard", "aborted", "duplicates", "resets", "already known"):
        assert counted.get(trouble, 0) > 0, f"{trouble} never happened, so it was not tried:\n{said}"
    assert counted["recorded"] > 3 * size.units * size.days
