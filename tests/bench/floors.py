"""What delivery is measured against: a bare aiohttp loop, and the plain daily script. Each runs in a process of its own, as a
worker does: `python -m tests.bench.floors bare URL FILE REQUESTS` or `… naive URL DEVICES`; prints requests per second, and the
microseconds of processor time for each."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

CONNECTIONS = 128


async def bare_loop(url: str, body: bytes, requests: int) -> float:
    """Requests per second of aiohttp alone over as many kept connections as a worker has, on the same kind of event loop."""
    left = iter(range(requests))

    async def one(http: aiohttp.ClientSession) -> None:
        for _ in left:
            async with http.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as http:
        started = time.perf_counter()
        await asyncio.gather(*(one(http) for _ in range(CONNECTIONS)))
        return requests / (time.perf_counter() - started)


def naive_loop(url: str, devices: int) -> float:
    """One device at a time, its rows and its token read one by one, a fresh connection each: how a plain daily script does it."""
    import django

    django.setup()
    from skill import endpoints
    from skill.models import AlexaGrant, Endpoint

    started = time.perf_counter()
    for pk in list(Endpoint.objects.order_by("pk").values_list("pk", flat=True)[:devices]):
        endpoint = Endpoint.objects.get(pk=pk)
        grant = AlexaGrant.objects.get(pk=endpoint.grant_id)
        said = endpoints.state(grant.user_id, endpoint.endpoint_id)
        asyncio.run(_send(url, grant.access_token, endpoint.endpoint_id, said))
        Endpoint.objects.filter(pk=pk).update(last_code="")
    return devices / (time.perf_counter() - started)


async def _send(url: str, token: str, endpoint_id: str, said: list[Any]) -> None:
    from skill.alexa import messages

    level, connectivity = said
    report = messages.change_report("0" * 36, token, endpoint_id, "PERIODIC_POLL", [level], [connectivity])
    async with aiohttp.ClientSession() as http, http.post(url, json=report) as answer:
        assert answer.status == 202


def main() -> None:
    requests = int(sys.argv[-1])
    before = time.process_time()
    if sys.argv[1] == "bare":
        import uvloop

        rate = uvloop.run(bare_loop(sys.argv[2], Path(sys.argv[3]).read_bytes(), requests))
    else:
        rate = naive_loop(sys.argv[2], requests)
    print(rate, 1e6 * (time.process_time() - before) / requests)


if __name__ == "__main__":
    main()
