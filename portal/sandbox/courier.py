"""AWS Lambda: runs skill/lambda_function.py in processes of its own, as Amazon would, with Alexa's eight seconds.

As there, an execution environment stays warm: it loads the module once and is then handed one invocation at a time; several at once
are several environments. One that ran out of time or broke down is thrown away, and so are those whose code or variables are no
longer the deployed ones. They end with the sandbox, however that ends: their standard input does.

The file is found by its path and never imported here. The child is an isolated Python without site-packages (-I -S), so
that the courier can only work with the standard library, and with nothing of our environment but what is named below.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

from .settings import AWS_REGIONS, Settings
from .state import Json

DEADLINE = 8.0
_MOST_BYTES = 6 * 1024 * 1024  # of an answer, as in Lambda
_KEPT = 3  # environments that wait for the next invocation

# What it prints is its log, as in Lambda: nothing but the answers has our pipe. One that hangs goes even when nobody is left to end it.
_BOOTSTRAP = """
import json, os, signal, sys, time, types
signal.signal(signal.SIGINT, signal.SIG_IGN)
events, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)
handler = None
class Context:
    function_name = "dash-replenishment-courier"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:" + function_name
    def __init__(self, request, deadline):
        self.aws_request_id, self._deadline = request, deadline
    def get_remaining_time_in_millis(self):
        return max(0, int((self._deadline - time.time()) * 1000))
def load(path):
    module = sys.modules["lambda_function"] = types.ModuleType("lambda_function")
    module.__file__ = path
    with open(path, "rb") as file:
        exec(compile(file.read(), path, "exec"), module.__dict__)
    return module.lambda_handler
def invoke(event, *about):
    global handler
    try:
        handler = handler or load(sys.argv[1])
        answer = handler(event, Context(*about))
    except Exception as error:
        return json.dumps([None, f"The Lambda failed: {type(error).__name__}: {error}"[:300]])
    try:
        return json.dumps([answer, ""], allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps([None, "The Lambda answered with something that is not JSON."])
for line in events:
    asked = json.loads(line)
    signal.setitimer(signal.ITIMER_REAL, max(0, asked[2] - time.time()) + 1)
    print(invoke(*asked), file=answers, flush=True)
    signal.setitimer(signal.ITIMER_REAL, 0)
"""


@dataclass(frozen=True)
class Carried:
    """What came back: the answer, or words why there is none."""

    answer: object
    words: str
    milliseconds: int


class BrokenError(Exception):
    """The environment gave no answer and cannot be used again; the text is for a person."""


@dataclass(frozen=True)
class Environment:
    """A process, and the code and the variables that it was started with."""

    process: asyncio.subprocess.Process
    deployed: tuple[bytes, dict[str, str]]

    async def end(self) -> None:
        """It is gone when this returns."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


class Courier:
    """The function in AWS with its warm environments."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._idle: list[Environment] = []

    async def carry(self, event: Json) -> Carried:
        """One invocation. Never raises on what the Lambda does; a Lambda past the deadline is killed. Never tried a second time."""
        started = time.monotonic()
        answer, words = await self._invoke(event)
        return Carried(answer, words, round((time.monotonic() - started) * 1000))

    async def end(self) -> None:
        """No environment is left."""
        while self._idle:
            await self._idle.pop().end()

    async def _invoke(self, event: Json) -> tuple[object, str]:
        if not self._settings.lambda_file.is_file():
            return None, f"There is no Lambda at {self._settings.lambda_file.name}."
        try:
            async with self._environment() as environment, asyncio.timeout(DEADLINE):
                return await _ask(environment.process, event)
        except TimeoutError:
            return None, f"The skill did not answer within {DEADLINE:g} seconds."
        except BrokenError as error:
            return None, str(error)

    @contextlib.asynccontextmanager
    async def _environment(self) -> AsyncIterator[Environment]:
        """One for this invocation alone, kept warm unless something goes wrong meanwhile."""
        environment = await self._warm_or_new()
        try:
            yield environment
        except BaseException:
            await environment.end()
            raise
        self._idle.append(environment)
        while len(self._idle) > _KEPT:
            await self._idle.pop(0).end()

    async def _warm_or_new(self) -> Environment:
        deployed = self._settings.lambda_file.read_bytes(), _variables(self._settings)
        while self._idle:
            environment = self._idle.pop()
            if environment.deployed == deployed and environment.process.returncode is None:
                return environment
            await environment.end()
        return Environment(await _start(self._settings, deployed[1]), deployed)


async def _start(settings: Settings, variables: dict[str, str]) -> asyncio.subprocess.Process:
    command = [sys.executable, "-I", "-S", "-u", "-c", _BOOTSTRAP, str(settings.lambda_file)]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=variables, limit=_MOST_BYTES)


def _variables(settings: Settings) -> dict[str, str]:
    ours = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH") if key in os.environ}
    return ours | {
        "DIRECTIVE_URL": f"{settings.portal_url}/skill/directive",
        "COURIER_SECRET": settings.courier_secret,
        "SKILL_REGION": settings.region,
        "AWS_REGION": AWS_REGIONS[settings.region],
        "AWS_LAMBDA_FUNCTION_NAME": "dash-replenishment-courier",
    }


async def _ask(process: asyncio.subprocess.Process, event: Json) -> tuple[object, str]:
    """The answer, or words why there is none; BrokenError if this process can give no other either."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):  # it is gone; that is told below
        process.stdin.write(json.dumps([event, str(uuid.uuid4()), time.time() + DEADLINE]).encode() + b"\n")
        await process.stdin.drain()
    try:
        if line := await process.stdout.readline():
            answer, words = json.loads(line)
            return answer, words
    except (TypeError, ValueError, RecursionError) as error:
        raise BrokenError("The Lambda answered with something that is too long, too deep or not JSON.") from error
    raise BrokenError(f"The Lambda failed: exit code {await process.wait()}")
