"""AWS Lambda as the sandbox plays it: processes of its own that stay warm, with their own environment and eight seconds."""

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from portal.sandbox import courier
from tests.sandbox.far_side import run, settings

DIRECTIVE = {"directive": {"header": {"name": "Discover"}}}
SPOILT = ["b'5\\n'", "b'<html>\\n'", "b'[' * 100_000 + b'\\n'", "b'x' * 7_000_000"]
COUNTING = """
import os, pathlib, time
count = 0
def lambda_handler(event, context):
    global count
    count += 1
    exec(event.get("do", ""))
    return {"pid": os.getpid(), "count": count}
"""


def play(tmp_path, scene, source: str = COUNTING):
    """Plays an async scene with a function of this source in AWS."""

    async def played():
        function = courier.Courier(known)
        try:
            return await scene(function)
        finally:
            await function.end()

    known = settings(tmp_path)
    known.lambda_file.write_text(source)
    return asyncio.run(played())


def carry(tmp_path, source: str) -> courier.Carried:
    """One invocation of a Lambda with this source."""
    return play(tmp_path, lambda function: function.carry(DIRECTIVE), source)


async def count(function: courier.Courier, do: str = "") -> tuple[int, int]:
    """Which process it was, and for which time it was invoked; meanwhile it does something."""
    carried = await function.carry({"do": do})
    assert carried.words == ""
    return carried.answer["pid"], carried.answer["count"]


def is_there(pid: int) -> bool:
    """Does this process live?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_lambda_runs_as_a_process_with_its_own_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "not for the courier")
    carried = carry(
        tmp_path,
        "import os\n"
        "def lambda_handler(event, context):\n"
        "    print('a log line')\n"
        "    left = context.get_remaining_time_in_millis()\n"
        "    return {'event': event, 'env': dict(os.environ), 'left': left, 'pid': os.getpid()}\n",
    )
    assert carried.words == ""
    assert carried.answer["event"] == DIRECTIVE
    assert carried.answer["env"]["DIRECTIVE_URL"] == "http://127.0.0.1:9/skill/directive"
    assert carried.answer["env"]["COURIER_SECRET"] == "courier-secret-of-a-test"
    assert carried.answer["env"]["SKILL_REGION"] == "NA"
    assert carried.answer["env"]["AWS_REGION"] == "us-east-1"
    assert "DATABASE_PASSWORD" not in carried.answer["env"]
    assert 0 < carried.answer["left"] <= 8000


def test_the_courier_secret_arrives_at_the_portal(tmp_path):
    async def scene(world):
        await world.link()
        assert world.portal.courier[0]["x-courier-secret"] == "courier-secret-of-a-test"
        assert world.portal.courier[0]["x-skill-region"] == "NA"

    run(scene, tmp_path)


def test_the_courier_has_the_standard_library_only(tmp_path):
    carried = carry(tmp_path, "import aiohttp\ndef lambda_handler(event, context):\n    return {}\n")
    assert carried.words == "The Lambda failed: ModuleNotFoundError: No module named 'aiohttp'"


def test_a_lambda_that_fails_says_so(tmp_path):
    carried = carry(tmp_path, "def lambda_handler(event, context):\n    raise RuntimeError('no portal')\n")
    assert (carried.answer, carried.words) == (None, "The Lambda failed: RuntimeError: no portal")


@pytest.mark.parametrize("value", ["{1, 2}", "float('nan')"])
def test_a_lambda_that_says_something_else_than_json(tmp_path, value):
    carried = carry(tmp_path, f"def lambda_handler(event, context):\n    return {value}\n")
    assert carried.words == "The Lambda answered with something that is not JSON."


def test_what_it_writes_or_reads_by_itself_does_not_spoil_the_answer(tmp_path):
    async def scene(function):
        await count(function, "os.write(1, b'<html>'); os.system('echo a line'); assert open(0).read() == ''")
        assert (await count(function))[1] == 2

    play(tmp_path, scene)


def test_who_spoils_the_answer_all_the_same_is_replaced(tmp_path):
    async def scene(function):
        spoilt = [f"for pipe in range(3, 9):\n  try: os.write(pipe, {what})\n  except OSError: pass" for what in SPOILT]
        carried = [await function.carry({"do": do}) for do in spoilt]
        assert {told.words for told in carried} == {
            "The Lambda answered with something that is too long, too deep or not JSON."
        }
        assert (await count(function))[1] == 1

    play(tmp_path, scene)


def test_a_slow_lambda_is_killed_at_the_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(courier, "DEADLINE", 0.3)
    source = "import time\ndef lambda_handler(event, context):\n    time.sleep(30)\n"
    carried = carry(tmp_path, source)
    assert carried.words == "The skill did not answer within 0.3 seconds."
    assert carried.milliseconds < 5000


def test_a_missing_lambda_is_told_in_words(tmp_path):
    function = courier.Courier(replace(settings(tmp_path), lambda_file=tmp_path / "nowhere.py"))
    assert asyncio.run(function.carry(DIRECTIVE)).words == "There is no Lambda at nowhere.py."


def test_it_stays_warm_and_loads_the_module_once(tmp_path):
    async def scene(function):
        pid, first = await count(function)
        assert (await function.carry({"do": "1 / 0"})).words == "The Lambda failed: ZeroDivisionError: division by zero"
        assert (first, await count(function)) == (1, (pid, 3)), "an exception is no crash"
        await function.end()
        assert not is_there(pid)

    play(tmp_path, scene)


def test_after_the_deadline_the_next_one_begins_anew(tmp_path, monkeypatch):
    async def scene(function):
        pid, _ = await count(function)
        monkeypatch.setattr(courier, "DEADLINE", 0.1)
        assert "did not answer" in (await function.carry({"do": "time.sleep(30)"})).words
        assert not is_there(pid)
        monkeypatch.undo()
        assert (await count(function))[1] == 1

    play(tmp_path, scene)


def test_one_that_crashed_is_replaced(tmp_path):
    async def scene(function):
        pid, _ = await count(function)
        assert (await function.carry({"do": "os._exit(3)"})).words == "The Lambda failed: exit code 3"
        other, first = await count(function)
        assert (first, other == pid) == (1, False)
        os.kill(other, signal.SIGKILL)  # while nobody asks it anything
        await function._idle[0].process.wait()
        assert (await count(function))[1] == 1

    play(tmp_path, scene)


def test_two_at_once_are_two_environments_and_not_all_are_kept(tmp_path, monkeypatch):
    async def scene(function):
        monkeypatch.setattr(courier, "_KEPT", 1)
        folder = f"pathlib.Path({str(tmp_path)!r})"
        meet = f"({folder} / f'met-{{os.getpid()}}').touch()\n"
        meet += f"while len(list({folder}.glob('met-*'))) < 2: time.sleep(0.01)"
        pids = [pid for pid, _ in await asyncio.gather(count(function, meet), count(function, meet))]
        assert sum(is_there(pid) for pid in pids) == 1
        pid, times = await count(function)
        assert (pid in pids, times) == (True, 2)

    play(tmp_path, scene)


def test_what_is_deployed_anew_runs_anew(tmp_path, monkeypatch):
    async def scene(function):
        pid, _ = await count(function)
        (tmp_path / "lambda_function.py").write_text(COUNTING.replace("count = 0", "count = 7"))
        assert (await count(function))[1] == 8
        assert not is_there(pid)
        monkeypatch.setenv("TZ", "Europe/Berlin")
        assert (await count(function))[1] == 8

    play(tmp_path, scene)


def test_an_invocation_that_nobody_waits_for_any_more_leaves_nothing_behind(tmp_path):
    async def scene(function):
        pid, _ = await count(function)
        waiting = asyncio.create_task(function.carry({"do": "time.sleep(30)"}))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not is_there(pid)

    play(tmp_path, scene)
