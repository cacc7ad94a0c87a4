"""The wire to Amazon's signing certificates, and the small memory of those that we have seen.

Whether a certificate is good for a message is decided in `sns.py`; here it is only had. Where there is a sandbox
(`settings.SNS_CERTIFICATE_MIRROR`) the same file name is asked of it first, and of Amazon's host if the sandbox has none
of that name: the rules for the address in the message stay what they are.
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from cryptography.x509 import Certificate
from django.conf import settings

from notifications import sns

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

LONGEST_WAIT = 5.0  # seconds; SNS itself waits 15 for us
LARGEST_BODY = 16 * 1024
LIFETIME = 24 * 3600.0  # seconds
KEPT = 16
FLIGHTS = 4  # requests at once

_lock = Lock()
_known: OrderedDict[str, tuple[float, Certificate]] = OrderedDict()
_flights: dict[str, Future[Certificate]] = {}
_pool = ThreadPoolExecutor(max_workers=FLIGHTS, thread_name_prefix="sns-certificate")


def fetch(url: str) -> Certificate:
    """The certificate at `url`, from memory or over the wire; many callers share one request.

    At most 5 s, and not at all while as many others are asked for as may be: strangers, who can name any file, are to
    hold no more of us than that. Raises sns.CertificateUnavailable where asking again may help, else sns.Forbidden; neither is
    remembered. Call it with no transaction open. Source: Amazon's SNS guide, section 6.
    """
    known = _remembered(url)
    if known:
        return known
    flight = _flight(url)
    try:
        return flight.result(timeout=LONGEST_WAIT)
    except (TimeoutError, CancelledError) as problem:
        if flight.cancel():  # it has not even begun
            _land(url)
        raise sns.CertificateUnavailable("no answer in time") from problem


def forget() -> None:
    """Forget every certificate."""
    with _lock:
        _known.clear()


def _remembered(address: str) -> Certificate | None:
    with _lock:
        until, certificate = _known.get(address, (0.0, None))
        if time.monotonic() >= until:
            _known.pop(address, None)
            return None
        return certificate


def _flight(address: str) -> Future[Certificate]:
    with _lock:
        if address not in _flights:
            if len(_flights) >= FLIGHTS:
                raise sns.CertificateUnavailable("too many are asked for at once")
            _flights[address] = _pool.submit(_fly, address)
        return _flights[address]


def _fly(address: str) -> Certificate:
    try:
        certificate = sns.read_certificate(asyncio.run(_body(address)))
        _remember(address, certificate)
        log.info("SNS certificate fetched: %s", address)
        return certificate
    finally:
        _land(address)


def _land(address: str) -> None:
    with _lock:
        _flights.pop(address, None)


def _remember(address: str, certificate: Certificate) -> None:
    left = (certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds()
    if left <= 0:
        return
    with _lock:
        _known[address] = time.monotonic() + min(LIFETIME, left), certificate
        while len(_known) > KEPT:
            _known.popitem(last=False)


class _NotThere(sns.Forbidden):
    """HTTP 404: of no use, but somebody else may have it."""


async def _body(address: str) -> bytes:
    if mirror := settings.SNS_CERTIFICATE_MIRROR:
        with contextlib.suppress(_NotThere):
            return await _download(f"{mirror.rstrip('/')}/{address.rsplit('/', 1)[1]}")
    return await _download(address)


async def _download(address: str) -> bytes:
    """The body of a plain 200: no redirects, no proxies, no cookies, no compression."""
    import aiohttp  # takes a tenth of a second, and most processes never ask

    wait = aiohttp.ClientTimeout(total=LONGEST_WAIT, sock_connect=3, sock_read=3)
    try:
        async with (
            aiohttp.ClientSession(timeout=wait, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session,
            session.get(address, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response,
        ):
            _refuse_other_than_200(response.status)
            return await _capped(response)
    except (aiohttp.ClientError, TimeoutError, OSError) as problem:
        raise sns.CertificateUnavailable(type(problem).__name__) from problem


def _refuse_other_than_200(status: int) -> None:
    if status == 429 or status >= 500:
        raise sns.CertificateUnavailable(f"HTTP {status}")
    if status != 200:
        raise (_NotThere if status == 404 else sns.Forbidden)("certificate", f"HTTP {status}")


async def _capped(response: "aiohttp.ClientResponse") -> bytes:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise sns.Forbidden("certificate", "too large")
    return body
