"""Who pretends to be Amazon, or to be somebody else's Amazon, is refused; nothing is stored and nothing is fetched
from an address that is not allowed. (Amazon's SNS guide, section 8.)"""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from notifications import certificates
from notifications.models import Message, Topic
from tests.notifications.attacks import HOST, TOPICS
from tests.notifications.signing_amazon import FILE, NOW, URL, Amazon, certificate_for, pem

pytestmark = pytest.mark.django_db


def test_a_topic_of_a_region_that_we_do_not_know_has_no_host_to_ask(
    door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    arn = "arn:aws:sns:s3-us-west-2:123456789012:dash-orders"
    Topic.objects.create(arn=arn)
    url = f"https://sns.s3-us-west-2.amazonaws.com/{FILE}"
    assert door(amazon.message(TopicArn=arn, SigningCertURL=url)).status_code == 403
    assert certificate_server.asked == []


def test_nothing_is_asked_for_a_stranger_s_topic(
    door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    assert door(amazon.message(TopicArn=TOPICS[0])).status_code == 403
    assert certificate_server.asked == []


def _served(amazon: Amazon) -> dict[str, bytes]:
    good, other = pem(amazon.certificate), rsa.generate_private_key(65537, 2048)
    return {
        "nothing": b"",
        "text before": b"<Error>" + good,
        "text after": good + b"</Error>",
        "a line before": b"\n" + good,
        "two certificates": good + good,
        "a comment inside": good.replace(b"\nM", b"\n# x\nM", 1),
        "binary": amazon.certificate.public_bytes(serialization.Encoding.DER),
        "a web page": b"<!doctype html><title>403</title>",
        "broken Base64": good.replace(b"MII", b"MI!", 1),
        "Base64 of something else": b"-----BEGIN CERTIFICATE-----\nSGVsbG8=\n-----END CERTIFICATE-----\n",
        "more than 16 KiB": good.replace(b"-----END", b"A" * 64 + b"\n-----END") * 200,
        "somebody else's key": pem(certificate_for(other)),
        "somebody else's name": pem(certificate_for(amazon.key, "evil.example")),
        "a longer name": pem(certificate_for(amazon.key, "sns.amazonaws.com.evil.example")),
        "a wildcard": pem(certificate_for(amazon.key, "*.amazonaws.com")),
        "the API's name": pem(certificate_for(amazon.key, HOST)),
        "an opt-in region's name": pem(certificate_for(amazon.key, "sns-signing.eu-south-2.amazonaws.com")),
        "expired": pem(certificate_for(amazon.key, start=NOW - timedelta(days=400), days=399)),
        "not yet valid": pem(certificate_for(amazon.key, start=NOW + timedelta(seconds=1))),
        "an elliptic curve": pem(certificate_for(ec.generate_private_key(ec.SECP256R1()))),
    }


def test_a_wrong_certificate_at_the_right_address(
    door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    served, message = _served(amazon), amazon.message()
    for name, certificate_server.body in served.items():
        certificates.forget()
        assert door(message).status_code == 403, name
    assert certificate_server.asked == ["/" + FILE] * len(served)
    assert not Message.objects.exists()


def test_a_weak_key(door: Any, topic: Any, certificate_server: Any) -> None:
    weak = Amazon(bits=1024)
    certificate_server.body = pem(weak.certificate)
    assert door(weak.message()).status_code == 403


def test_an_old_certificate_has_its_name_in_the_subject_only(
    door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    certificate_server.body = pem(certificate_for(amazon.key, alternative=False))
    assert door(amazon.message()).status_code == 200


def test_a_common_name_does_not_count_beside_alternative_names(
    door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder(subject, subject, amazon.key.public_key(), 7, NOW, NOW + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("evil.example")]), critical=False)
    certificate_server.body = pem(builder.sign(amazon.key, hashes.SHA256()))
    assert door(amazon.message()).status_code == 403


def test_any_other_answer_than_a_certificate_is_final_and_a_redirect_is_not_followed(
    door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    certificate_server.headers = {"Location": f"{certificate_server.url}/elsewhere.pem"}
    message, statuses = amazon.message(), (301, 302, 303, 307, 308, 201, 400, 403, 410)
    for certificate_server.status in statuses:
        assert door(message).status_code == 403, certificate_server.status
    assert certificate_server.asked == ["/" + FILE] * len(statuses)


def test_the_right_address_is_let_in(door: Any, topic: Any, amazon: Amazon) -> None:
    """The counterpart of all of the above: without it they would prove nothing."""
    assert door(amazon.message(SigningCertURL=URL)).status_code == 200
    assert Message.objects.count() == 1
