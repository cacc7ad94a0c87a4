"""Places on the wire: who is not answered for a second stands aside, as many as may, and no place is ever lost."""

import asyncio

import pytest

from skill import line


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(line, "ASIDE_PER_PLACE", 2)


def test_two_stand_aside_and_the_fourth_waits_until_one_is_answered() -> None:
    async def play() -> None:
        places = line.Places(1)
        waiting = [await places.take() for _ in range(3)]
        assert places.may_stand_aside == 0
        fourth = asyncio.create_task(places.take())
        await asyncio.sleep(0.05)
        assert not fourth.done()
        places.leave(waiting.pop(0))
        waiting.append(await fourth)
        for place in waiting:
            places.leave(place)
        assert (places.may_stand_aside, places.free.locked()) == (2, False)

    asyncio.run(play())


def test_whoever_gives_up_waiting_takes_no_place_along() -> None:
    async def play() -> None:
        places = line.Places(1)
        first = await places.take()
        second = asyncio.create_task(places.take())
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        places.leave(first)
        async with asyncio.timeout(1):
            places.leave(await places.take())
        assert (places.may_stand_aside, places.free.locked()) == (2, False)

    asyncio.run(play())


def test_after_a_quiet_time_it_is_looked_at_again() -> None:
    async def play() -> None:
        places = line.Places(1)
        places.leave(await places.take())
        await asyncio.sleep(0.03)
        waiting = [await places.take() for _ in range(2)]
        for place in waiting:
            places.leave(place)
        assert (places.may_stand_aside, places.free.locked()) == (2, False)

    asyncio.run(play())
