"""Certificates over the wire: had once, remembered only when good, never waited for too long."""

import gzip
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from notifications import certificates, forensics, regions, sns
from tests.notifications.signing_amazon import FILE, NOW, URL, Amazon, FarSide, as_body, certificate_for, far_side, pem


def url(number: int) -> str:
    return f"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{number:032x}.pem"


def test_a_certificate_is_asked_for_once(certificate_server: FarSide, amazon: Amazon) -> None:
    assert [certificates.fetch(URL) for _ in range(3)] == [amazon.certificate] * 3
    assert certificate_server.asked == ["/" + FILE]


@pytest.mark.parametrize(("status", "error"), [(503, sns.CertificateUnavailable), (403, sns.Forbidden)])
def test_a_failure_is_not_remembered(
    status: int, error: type[Exception], certificate_server: FarSide, amazon: Amazon
) -> None:
    certificate_server.status = status
    with pytest.raises(error):
        certificates.fetch(URL)
    certificate_server.status = 200
    assert certificates.fetch(URL) == amazon.certificate


def test_a_page_that_is_no_certificate_is_not_remembered(certificate_server: FarSide, amazon: Amazon) -> None:
    certificate_server.body = b"<Error>" + pem(amazon.certificate) + b"</Error>"
    with pytest.raises(sns.Forbidden):
        certificates.fetch(URL)
    certificate_server.body = pem(amazon.certificate)
    assert certificates.fetch(URL) == amazon.certificate


def test_a_certificate_of_a_version_that_there_is_not(
    certificate_server: FarSide, amazon: Amazon, topic: Any, door: Any
) -> None:
    der = amazon.certificate.public_bytes(serialization.Encoding.DER).replace(
        b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1
    )
    certificate_server.body = ssl.DER_cert_to_PEM_cert(der).encode()
    message = amazon.message()
    assert door(message).status_code == 403
    report = forensics.as_text(forensics.explain(as_body(message)))
    assert "unreadable" in report


def test_many_who_ask_at_once_share_one_request(certificate_server: FarSide, amazon: Amazon) -> None:
    certificate_server.before = lambda: time.sleep(0.3)
    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(certificates.fetch, [URL] * 10)) == [amazon.certificate] * 10
    assert certificate_server.asked == ["/" + FILE]


def test_fifty_names_that_nobody_knows_hold_no_more_than_the_few_that_are_asked_for(
    certificate_server: FarSide, amazon: Amazon
) -> None:
    """A stranger's message names whatever file it likes, and each would wait for its answer in a thread of the door's."""
    answer, refused = threading.Event(), threading.Semaphore(0)
    certificate_server.before = lambda: answer.wait(20)

    def ask(number: int) -> object:
        try:
            return certificates.fetch(url(number))
        except sns.CertificateUnavailable as problem:
            refused.release()
            return str(problem)

    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(ask, number) for number in range(50)]
        assert all(refused.acquire(timeout=20) for _ in range(50 - certificates.FLIGHTS)), (
            "at once, whatever Amazon does"
        )
        answer.set()
    found = [future.result() for future in asked]
    assert found.count("too many are asked for at once") == 50 - certificates.FLIGHTS
    assert found.count(amazon.certificate) == certificates.FLIGHTS == len(certificate_server.asked)
    assert certificates.fetch(url(99)) == amazon.certificate


def test_the_memory_is_small(certificate_server: FarSide) -> None:
    for number in range(certificates.KEPT + 5):
        certificates.fetch(url(number))
    certificates.fetch(url(certificates.KEPT + 4))
    assert len(certificate_server.asked) == certificates.KEPT + 5
    certificates.fetch(url(0))
    assert len(certificate_server.asked) == certificates.KEPT + 6


def test_an_expired_certificate_is_not_kept(certificate_server: FarSide, amazon: Amazon) -> None:
    certificate_server.body = pem(certificate_for(amazon.key, start=NOW - timedelta(days=4000), days=1))
    certificates.fetch(URL)
    certificates.fetch(URL)
    assert len(certificate_server.asked) == 2


def test_nothing_is_kept_longer_than_a_day(certificate_server: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates.fetch(URL)
    later = time.monotonic() + 24 * 3600
    monkeypatch.setattr(certificates.time, "monotonic", lambda: later)
    certificates.fetch(URL)
    assert len(certificate_server.asked) == 2


def test_a_server_that_does_not_answer_is_given_up(
    certificate_server: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "LONGEST_WAIT", 0.3)
    given_up = threading.Event()
    certificate_server.before = lambda: given_up.wait(20)
    begin = time.monotonic()
    with pytest.raises(sns.CertificateUnavailable):
        certificates.fetch(url(76))  # still on its way when the next test asks for another
    assert time.monotonic() - begin < 10
    given_up.set()


def test_a_body_without_end_is_cut(certificate_server: FarSide) -> None:
    certificate_server.body = b"A" * 10_000_000
    with pytest.raises(sns.Forbidden, match="too large"):
        certificates.fetch(URL)


def test_compression_is_not_undone(certificate_server: FarSide, amazon: Amazon) -> None:
    """A small answer cannot become a large one."""

    certificate_server.headers = {"Content-Encoding": "gzip"}
    certificate_server.body = gzip.compress(pem(amazon.certificate))
    with pytest.raises(sns.Forbidden):
        certificates.fetch(URL)


def test_an_answer_that_is_no_http(settings: Any) -> None:

    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.SNS_CERTIFICATE_MIRROR = f"http://127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            other, _ = server.accept()
            other.recv(1000)
            other.sendall(b"SSH-2.0-nonsense\r\n\r\n")
            other.close()

        Thread(target=answer, daemon=True).start()
        with pytest.raises(sns.CertificateUnavailable):
            certificates.fetch(url(77))


def test_in_production_amazon_s_own_address_is_asked(
    settings: Any, certificate_server: FarSide, amazon: Amazon
) -> None:
    settings.SNS_CERTIFICATE_MIRROR = ""
    assert certificates.fetch(f"{certificate_server.url}/aws/{FILE}") == amazon.certificate
    assert certificate_server.asked == [f"/aws/{FILE}"]


def test_what_the_sandbox_does_not_have_is_asked_of_amazon(certificate_server: FarSide, amazon: Amazon) -> None:
    """`make run` with a topic of Amazon's beside the sandbox's."""
    certificate_server.status = 404
    with far_side() as aws:
        aws.body = pem(amazon.certificate)
        assert certificates.fetch(f"{aws.url}/{FILE}") == amazon.certificate
        assert (certificate_server.asked, aws.asked) == ([f"/{FILE}"], [f"/{FILE}"])
        aws.status = 404
        with pytest.raises(sns.Forbidden):
            certificates.fetch(f"{aws.url}/other.pem")


def test_host_and_signing_name_of_a_topic() -> None:
    for arn, host, name in (
        ("arn:aws:sns:us-east-1:123456789012:t", "sns.us-east-1.amazonaws.com", "sns.amazonaws.com"),
        (
            "arn:aws:sns:eu-south-1:123456789012:t",
            "sns.eu-south-1.amazonaws.com",
            "sns-signing.eu-south-1.amazonaws.com",
        ),
        (
            "arn:aws-cn:sns:cn-north-1:123456789012:t",
            "sns.cn-north-1.amazonaws.com.cn",
            "sns-cn-north-1.amazonaws.com.cn",
        ),
        (
            "arn:aws-us-gov:sns:us-gov-east-1:123456789012:t",
            "sns.us-gov-east-1.amazonaws.com",
            "sns-us-gov-west-1.amazonaws.com",
        ),
        (
            "arn:aws-eusc:sns:eusc-de-east-1:123456789012:t",
            "sns.eusc-de-east-1.amazonaws.eu",
            "sns-signing.eusc-de-east-1.amazonaws.eu",
        ),
        (
            "arn:aws-iso:sns:us-iso-east-1:123456789012:t",
            "sns.us-iso-east-1.c2s.ic.gov",
            "sns-us-iso-east-1.c2s.ic.gov",
        ),
        ("arn:aws:sns:cn-north-1:123456789012:t", None, None),
        ("arn:aws-cn:sns:us-east-1:123456789012:t", None, None),
        ("arn:aws:sns:s3-us-west-2:123456789012:t", None, None),
        ("arn:aws:sqs:us-east-1:123456789012:t", None, None),
    ):
        assert (regions.api_host(arn), regions.signing_name(arn)) == (host, name), arn
