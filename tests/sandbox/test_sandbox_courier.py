"""AWS Lambda as the sandbox plays it: a process of its own, with its own environment and eight seconds."""

import asyncio
from dataclasses import replace

from portal.sandbox import courier
from tests.sandbox.far_side import run, settings

DIRECTIVE = {"directive": {"header": {"name": "Discover"}}}


def carry(tmp_path, source: str) -> courier.Carried:
    """One invocation of a Lambda with this source."""
    known = settings(tmp_path)
    known.lambda_file.write_text(source)
    return asyncio.run(courier.carry(DIRECTIVE, known))


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


def test_a_lambda_that_says_something_else_than_json(tmp_path):
    carried = carry(tmp_path, "import os\ndef lambda_handler(event, context):\n    os.write(1, b'<html>')\n")
    assert carried.words == "The Lambda answered with something that is not JSON."


def test_a_slow_lambda_is_killed_at_the_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(courier, "DEADLINE", 0.3)
    source = "import time\ndef lambda_handler(event, context):\n    time.sleep(30)\n"
    carried = carry(tmp_path, source)
    assert carried.words == "The skill did not answer within 0.3 seconds."
    assert carried.milliseconds < 5000


def test_a_missing_lambda_is_told_in_words(tmp_path):
    known = replace(settings(tmp_path), lambda_file=tmp_path / "nowhere.py")
    assert asyncio.run(courier.carry(DIRECTIVE, known)).words == "There is no Lambda at nowhere.py."
