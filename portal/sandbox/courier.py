"""AWS Lambda: runs skill/lambda_function.py as a process of its own, as Amazon would, with Alexa's eight seconds.

The file is found by its path and never imported here. The child is an isolated Python without site-packages (-I -S), so
that the courier can only work with the standard library, and with nothing of our environment but what is named below.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass

from .settings import AWS_REGIONS, Settings
from .state import Json

DEADLINE = 8.0

# What it prints is its log, as in Lambda: only the answer may reach our end of standard output.
_BOOTSTRAP = """
import contextlib, importlib.util, json, sys, time, uuid
path, deadline = sys.argv[1], time.monotonic() + float(sys.argv[2])
class Context:
    function_name = "dash-replenishment-courier"
    aws_request_id = str(uuid.uuid4())
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:" + function_name
    def get_remaining_time_in_millis(self):
        return max(0, int((deadline - time.monotonic()) * 1000))
event, out = json.load(sys.stdin), sys.stdout
with contextlib.redirect_stdout(sys.stderr):
    spec = importlib.util.spec_from_file_location("lambda_function", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    answer = module.lambda_handler(event, Context())
json.dump(answer, out)
"""


@dataclass(frozen=True)
class Carried:
    """What came back: the answer, or words why there is none."""

    answer: object
    words: str
    milliseconds: int


async def carry(directive: Json, settings: Settings) -> Carried:
    """One invocation. Never raises on what the Lambda does; a Lambda past the deadline is killed."""
    started = time.monotonic()
    answer, words = await _invoke(directive, settings)
    return Carried(answer, words, round((time.monotonic() - started) * 1000))


async def _invoke(directive: Json, settings: Settings) -> tuple[object, str]:
    if not settings.lambda_file.is_file():
        return None, f"There is no Lambda at {settings.lambda_file.name}."
    process = await _start(settings)
    try:
        given = json.dumps(directive).encode()
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate(given)
    except TimeoutError:
        return None, f"The skill did not answer within {DEADLINE:g} seconds."
    finally:
        await _end(process)
    return _read(process.returncode, out, err)


async def _start(settings: Settings) -> asyncio.subprocess.Process:
    command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, str(settings.lambda_file), str(DEADLINE)]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment(settings)
    )


def _environment(settings: Settings) -> dict[str, str]:
    ours = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH") if key in os.environ}
    return ours | {
        "DIRECTIVE_URL": f"{settings.portal_url}/skill/directive",
        "COURIER_SECRET": settings.courier_secret,
        "SKILL_REGION": settings.region,
        "AWS_REGION": AWS_REGIONS[settings.region],
        "AWS_LAMBDA_FUNCTION_NAME": "dash-replenishment-courier",
    }


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def _read(code: int | None, out: bytes, err: bytes) -> tuple[object, str]:
    if code:
        last = err.decode("utf-8", "replace").strip().splitlines() or [f"exit code {code}"]
        return None, f"The Lambda failed: {last[-1][:300]}"
    try:
        return json.loads(out), ""
    except (ValueError, RecursionError):
        return None, "The Lambda answered with something that is not JSON."
