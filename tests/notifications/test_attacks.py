"""Who pretends to be Amazon, or to be somebody else's Amazon, is refused; nothing is stored and nothing is fetched
from an address that is not allowed. (Amazon's SNS guide, section 8.)"""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from notifications.models import Message, Topic
from tests.notifications.signing_amazon import ARN, FILE, NOW, URL, Amazon, as_body, as_headers, certificate_for, pem

pytestmark = pytest.mark.django_db
HEX = "0123456789abcdef0123456789abcdef"
HOST = "sns.us-east-1.amazonaws.com"

ADDRESSES = [
    "",
    "https://",
    f"http://{HOST}/{FILE}",
    f"HTTPS://{HOST}/{FILE}",
    f"ftp://{HOST}/{FILE}",
    f"file:///{FILE}",
    f"//{HOST}/{FILE}",
    f"https:/{HOST}/{FILE}",
    f"https://evil.example/{FILE}",
    f"https://{HOST}.evil.example/{FILE}",
    f"https://evil-{HOST}/{FILE}",
    f"https://x.{HOST}/{FILE}",
    f"https://{HOST}@evil.example/{FILE}",
    f"https://user:password@{HOST}/{FILE}",
    f"https://@{HOST}/{FILE}",
    f"https://{HOST}:443/{FILE}",
    f"https://{HOST}:8443/{FILE}",
    f"https://{HOST}:/{FILE}",
    f"https://{HOST}./{FILE}",
    f"https://{HOST.upper()}/{FILE}",
    f"https://{HOST}\\@evil.example/{FILE}",
    f"https://evil.example\\.{HOST}/{FILE}",
    f"https://{HOST}%2eevil.example/{FILE}",
    f"https://{HOST}%00.evil.example/{FILE}",
    f"https://sns.us-east-1.amazonaws.com.cn/{FILE}",
    f"https://sns.us-east-2.amazonaws.com/{FILE}",
    f"https://sns.eu-west-1.amazonaws.com/{FILE}",
    f"https://sns.s3-us-west-2.amazonaws.com/{FILE}",
    f"https://sns.s3.amazonaws.com/{FILE}",
    f"https://s3.amazonaws.com/sns/{FILE}",
    f"https://sns.amazonaws.com/{FILE}",
    f"https://sqs.us-east-1.amazonaws.com/{FILE}",
    f"https://ѕns.us-east-1.amazonaws.com/{FILE}",
    f"https://sns。us-east-1.amazonaws.com/{FILE}",
    "https://169.254.169.254/latest/meta-data/",
    f"https://127.0.0.1/{FILE}",
    f"https://[::1]/{FILE}",
    f"https://{HOST}/evil/{FILE}",
    f"https://{HOST}/../{FILE}",
    f"https://{HOST}//{FILE}",
    f"https://{HOST}/./{FILE}",
    f"https://{HOST}/?Action=GetTopicAttributes&x=/{FILE}",
    f"https://{HOST}/{FILE}?x=1",
    f"https://{HOST}/{FILE}#x",
    f"https://{HOST}/{FILE}/",
    f"https://{HOST}/{FILE};x",
    f"https://{HOST}/{FILE}\n",
    f"https://{HOST}/{FILE} ",
    f" https://{HOST}/{FILE}",
    f"https://{HOST}\t/{FILE}",
    f"https://{HOST}/{FILE}.exe",
    f"https://{HOST}/{FILE.upper()}",
    f"https://{HOST}/SimpleNotificationService-{HEX.upper()}.pem",
    f"https://{HOST}/SimpleNotificationService-{HEX[:-1]}.pem",
    f"https://{HOST}/SimpleNotificationService-{HEX}0.pem",
    f"https://{HOST}/SimpleNotificationService-{HEX[:-1]}g.pem",
    f"https://{HOST}/SimpleNotificationService-.pem",
    f"https://{HOST}/SimpleEmailService-{HEX}.pem",
    f"https://{HOST}/SimpleNotificationService-{HEX}.crt",
    f"https://{HOST}/" + "a" * 5000,
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_certificate_from_elsewhere(
    address: str, door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    """The address is not signed: with the right certificate the signature would even hold."""
    assert door(amazon.message(SigningCertURL=address)).status_code == 403
    assert certificate_server.asked == []
    assert not Message.objects.exists()


NOTIFICATION = [
    "Type",
    "MessageId",
    "TopicArn",
    "Message",
    "Timestamp",
    "SignatureVersion",
    "Signature",
    "SigningCertURL",
]
WRONG = {"missing": ..., "null": None, "number": 7, "truth": True, "list": ["x"], "object": {"x": "y"}, "empty": ""}
MISSHAPEN = [(field, kind) for field in NOTIFICATION for kind in WRONG if (field, kind) != ("Message", "empty")]


@pytest.mark.parametrize(("field", "kind"), MISSHAPEN)
def test_a_field_that_is_not_text(
    field: str, kind: str, door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    message, headers = amazon.message(), as_headers(amazon.message())
    headers = {name: value for name, value in headers.items() if name == "content-type"}
    if kind == "missing":
        del message[field]
    else:
        message[field] = WRONG[kind]
    assert door(message, headers).status_code in (400, 403)
    assert not Message.objects.exists()


@pytest.mark.parametrize("field", ["Token", "SubscribeURL"])
@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("message_type", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_a_confirmation_without_its_fields(
    field: str, kind: str, message_type: str, door: Any, topic: Any, amazon: Amazon
) -> None:
    message = amazon.confirmation(message_type)
    if kind == "missing":
        del message[field]
    else:
        message[field] = WRONG[kind]
    assert door(message).status_code == 400
    assert not Message.objects.exists()


UUID = "26858270-545e-5848-82a2-e05566af3dcf"
SHAPES = [
    ("MessageId", f"{UUID}\nSubject\nMy subject"),
    ("MessageId", f"{UUID}\n"),
    ("MessageId", f" {UUID}"),
    ("MessageId", UUID.replace("-", "")),
    ("MessageId", UUID[:-1]),
    ("MessageId", UUID + "0"),
    ("MessageId", UUID.replace("2", "²")),
    ("MessageId", f"{{{UUID}}}"),
    ("Timestamp", "2026-11-21T10:00:00.000"),
    ("Timestamp", "2026-11-21T10:00:00.000Z\n"),
    ("Timestamp", "2026-11-21 10:00:00.000Z"),
    ("Timestamp", "2026-11-21T10:00:00.000+00:00"),
    ("Timestamp", "2026-13-21T10:00:00.000Z"),
    ("Timestamp", "2026-11-31T10:00:00.000Z"),
    ("Timestamp", "2026-11-21T25:00:00.000Z"),
    ("Timestamp", "0000-11-21T10:00:00.000Z"),
    ("Timestamp", "2026-11-21T10:00:00.Z"),
    ("Timestamp", "２０２６-11-21T10:00:00.000Z"),
    ("Timestamp", "1795255200"),
    ("TopicArn", ARN + "\n"),
    ("TopicArn", ARN + "\nType\nNotification"),
    ("TopicArn", "arn:aws:sns:us-east-1:12345:dash-orders"),
    ("TopicArn", "arn:aws:sqs:us-east-1:123456789012:dash-orders"),
    ("TopicArn", "dash-orders"),
    ("TopicArn", "arn:aws:sns:us-east-1:123456789012:dash/orders"),
    ("Subject", "two\nlines"),
    ("Subject", "a return\r"),
    ("Subject", "nothing\x00"),
    ("Subject", "next line\x85"),
    ("Type", "notification"),
    ("Type", "Notification\n"),
    ("Type", "Alert"),
    ("Subject", 7),
    ("Subject", ["a"]),
]


@pytest.mark.parametrize(("field", "value"), SHAPES)
def test_a_field_of_the_wrong_shape_even_if_amazon_signed_it(
    field: str, value: Any, door: Any, topic: Any, amazon: Amazon, monkeypatch: Any
) -> None:
    """Signed anew with the odd value, so that only the shape can be what refuses it."""
    changes = {field: value}
    kind = changes.pop("Type", "Notification")
    message = amazon.message(**changes) | ({"Type": kind} if field == "Type" else {})
    assert door(message, {}).status_code == 400
    assert not Message.objects.exists()


def test_a_subject_pushed_into_the_message_id(door: Any, topic: Any, amazon: Amazon) -> None:
    """The signed bytes are the same, the ID would be another: this is how one message could count twice."""
    message = amazon.message(Subject="My subject")
    shifted = message | {"MessageId": message["MessageId"] + "\nSubject\nMy subject"}
    del shifted["Subject"]
    assert door(message).status_code == 200
    assert door(shifted, {}).status_code == 400
    assert Message.objects.count() == 1


TAMPERED = {
    "Message": "Hello, Mallory",
    "MessageId": "00000000-545e-5848-82a2-e05566af3dcf",
    "Subject": "urgent",
    "Timestamp": "2026-11-21T10:00:01.000Z",
    "TopicArn": "arn:aws:sns:us-east-1:123456789012:other-topic",
    "SignatureVersion": "1",
    "Signature": "QUJD",
}


@pytest.mark.parametrize("field", TAMPERED)
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_signed_field_changed(field: str, version: str, door: Any, topic: Any, amazon: Amazon) -> None:
    Topic.objects.create(arn=TAMPERED["TopicArn"])
    value = {"1": "2", "2": "1"}[version] if field == "SignatureVersion" else TAMPERED[field]
    forged = amazon.message(SignatureVersion=version) | {field: value}
    assert door(forged).status_code == 403
    assert not Message.objects.exists()


@pytest.mark.parametrize("field", ["Token", "SubscribeURL", "Type"])
def test_a_confirmation_changed(field: str, door: Any, topic: Any, amazon: Amazon) -> None:
    value = {"Token": "mine", "SubscribeURL": "http://169.254.169.254/", "Type": "UnsubscribeConfirmation"}[field]
    assert door(amazon.confirmation() | {field: value}).status_code == 403
    assert not Message.objects.exists()


@pytest.mark.parametrize("version", ["0", "3", "1.0", "2.0", "01", " 1", "1\n", "SHA1", "sha256", "²"])
def test_an_unknown_signature_version_is_not_taken_for_an_old_one(
    version: str, door: Any, topic: Any, amazon: Amazon
) -> None:
    message = amazon.message(SignatureVersion="1") | {"SignatureVersion": version}
    assert door(message).status_code == 403
    assert not Message.objects.exists()


def test_sha_1_for_a_topic_that_signs_with_sha_256(door: Any, topic: Any, amazon: Amazon) -> None:
    Topic.objects.update(signature_version="2")
    assert door(amazon.message(SignatureVersion="1")).status_code == 403
    assert door(amazon.message(SignatureVersion="2")).status_code == 200


@pytest.mark.parametrize("signature", ["====", "QUJ", "Q U J D", "QUJD\n", "-_-_", "ÄÖÜ", "QUJD!"])
def test_a_signature_that_is_no_base64(signature: str, door: Any, topic: Any, amazon: Amazon) -> None:
    assert door(amazon.message() | {"Signature": signature}).status_code == 400


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:sns:us-east-1:999999999999:dash-orders",
        "arn:aws:sns:us-east-1:123456789012:dash-orders2",
        "arn:aws:sns:us-east-1:123456789012:Dash-Orders",
        "arn:aws:sns:us-east-2:123456789012:dash-orders",
        "arn:aws-cn:sns:cn-north-1:123456789012:dash-orders",
        "arn:aws:sns:moon-east-1:123456789012:dash-orders",
    ],
)
@pytest.mark.parametrize("kind", ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_a_genuine_message_of_a_stranger_s_topic(
    arn: str, kind: str, door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    message = amazon.message(TopicArn=arn) if kind == "Notification" else amazon.confirmation(kind, TopicArn=arn)
    assert door(message).status_code == 403
    assert certificate_server.asked == []
    assert not Message.objects.exists()


def test_a_topic_of_a_region_that_we_do_not_know_has_no_host_to_ask(
    door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    arn = "arn:aws:sns:s3-us-west-2:123456789012:dash-orders"
    Topic.objects.create(arn=arn)
    url = f"https://sns.s3-us-west-2.amazonaws.com/{FILE}"
    assert door(amazon.message(TopicArn=arn, SigningCertURL=url)).status_code == 403
    assert certificate_server.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-sns-message-type": "SubscriptionConfirmation"},
        {"x-amz-sns-message-type": ""},
        {"x-amz-sns-message-id": UUID},
        {"x-amz-sns-topic-arn": ARN + "x"},
        {"x-amz-sns-topic-arn": ARN.upper()},
        {"x-amz-sns-rawdelivery": "true"},
        {"x-amz-sns-rawdelivery": "false"},
    ],
)
def test_headers_that_say_something_else(headers: dict[str, str], door: Any, topic: Any, amazon: Amazon) -> None:
    message = amazon.message()
    assert door(message, as_headers(message) | headers).status_code == 403
    assert not Message.objects.exists()


@pytest.mark.parametrize("body", [b"", b"hello", b'{"orderInfo": {}}', b"\xff\xfe"])
def test_raw_delivery_is_refused_whatever_it_carries(body: bytes, door: Any, topic: Any) -> None:
    assert door(body, {"x-amz-sns-rawdelivery": "true"}).status_code == 403


def _mangled(amazon: Amazon) -> dict[str, bytes]:
    whole = as_body(amazon.message())
    return {
        "nothing": b"",
        "half": whole[: len(whole) // 2],
        "a second document": whole + whole,
        "a tail": whole + b"x",
        "a byte order mark": b"\xef\xbb\xbf" + whole,
        "UTF-16": whole.decode().encode("utf-16"),
        "Latin-1": whole.replace(b"Alice", b"Al\xefce"),
        "overlong UTF-8": whole.replace(b"Alice", b"\xc0\xafAlice"),
        "a surrogate in bytes": whole.replace(b"Alice", b"\xed\xa0\x80"),
        "half a pair": whole.replace(b"Alice", b"\\ud83d"),
        "a repeated key": whole[:1] + b'"Message": "Hello, Mallory",' + whole[1:],
        "a repeated type": whole[:1] + b'"Type": "SubscriptionConfirmation",' + whole[1:],
        "a repeated key spelt otherwise": whole[:1] + b'"\\u004dessage": "Hello, Mallory",' + whole[1:],
        "NaN": whole[:1] + b'"x": NaN,' + whole[1:],
        "Infinity": whole[:1] + b'"x": -Infinity,' + whole[1:],
        "a number without end": whole[:1] + b'"x": 1e999,' + whole[1:],
        "a number of 10,000 digits": whole[:1] + b'"x": ' + b"9" * 10_000 + b"," + whole[1:],
        "deep lists": whole[:1] + b'"x": ' + b"[" * 100 + b"]" * 100 + b"," + whole[1:],
        "bottomless lists": whole[:1] + b'"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"," + whole[1:],
        "bottomless and open": b"[" * 500_000,
        "bottomless objects": b'{"a":' * 100_000,
        "a newline in a string": whole.replace(b"Hello", b"Hel\nlo"),
        "a list": b"[" + whole + b"]",
        "a string": json.dumps(whole.decode()).encode(),
        "a number": b"7",
        "null": b"null",
        "a form": b"Type=Notification&Message=hello",
        "single quotes": whole.replace(b'"', b"'"),
        "a comment": b"/* */" + whole,
        "a trailing comma": whole.rstrip()[:-1] + b",}",
        "a multipart": b'--x\r\nContent-Disposition: form-data; name="Message"\r\n\r\nhello\r\n--x--\r\n',
        "zeros": b"\x00" * 1000,
    }


MANGLED = [
    "nothing",
    "half",
    "a second document",
    "a tail",
    "a byte order mark",
    "UTF-16",
    "Latin-1",
    "overlong UTF-8",
    "a surrogate in bytes",
    "half a pair",
    "a repeated key",
    "a repeated type",
    "a repeated key spelt otherwise",
    "NaN",
    "Infinity",
    "a number without end",
    "a number of 10,000 digits",
    "deep lists",
    "bottomless lists",
    "bottomless and open",
    "bottomless objects",
    "a newline in a string",
    "a list",
    "a string",
    "a number",
    "null",
    "a form",
    "single quotes",
    "a comment",
    "a trailing comma",
    "a multipart",
    "zeros",
]


@pytest.mark.parametrize("name", MANGLED)
def test_a_body_that_two_readers_could_understand_differently(name: str, door: Any, topic: Any, amazon: Amazon) -> None:
    assert door(_mangled(amazon)[name], {}).status_code == 400
    assert not Message.objects.exists()


@pytest.mark.parametrize("kind", ["application/json", "text/plain; charset=UTF-8", "application/octet-stream", "x"])
def test_the_content_type_is_nobody_s_business(kind: str, door: Any, topic: Any, amazon: Amazon) -> None:
    message = amazon.message()
    assert door(message, as_headers(message) | {"content-type": kind}).status_code == 200


def test_unknown_keys_change_nothing(door: Any, topic: Any, amazon: Amazon) -> None:
    extra = {
        "type": "SubscriptionConfirmation",
        "Token": "secret",
        "SigningCertUrl": "http://evil.example/",
        "x": {"y": [1, None]},
    }
    message = amazon.message() | extra
    assert door(message).status_code == 200
    stored = Message.objects.get()
    assert stored.kind == "Notification"
    assert '"secret"' not in stored.body


def test_the_spelling_of_lambda_records_is_not_the_door_s(
    door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    message = amazon.message()
    message["SigningCertUrl"] = message.pop("SigningCertURL")
    assert door(message).status_code == 400
    assert certificate_server.asked == []


def _served(amazon: Amazon, key: Any) -> dict[str, bytes]:
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
        "an elliptic curve": pem(certificate_for(key)),
    }


WRONG_CERTIFICATES = [
    "nothing",
    "text before",
    "text after",
    "a line before",
    "two certificates",
    "a comment inside",
    "binary",
    "a web page",
    "broken Base64",
    "Base64 of something else",
    "more than 16 KiB",
    "somebody else's key",
    "somebody else's name",
    "a longer name",
    "a wildcard",
    "the API's name",
    "an opt-in region's name",
    "expired",
    "not yet valid",
    "an elliptic curve",
]


@pytest.mark.parametrize("name", WRONG_CERTIFICATES)
def test_a_wrong_certificate_at_the_right_address(
    name: str, door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    certificate_server.body = _served(amazon, ec.generate_private_key(ec.SECP256R1()))[name]
    assert door(amazon.message()).status_code == 403
    assert not Message.objects.exists()


def test_a_weak_key(door: Any, topic: Any, certificate_server: Any) -> None:
    weak = Amazon()
    weak.key = rsa.generate_private_key(65537, 1024)
    certificate_server.body = pem(certificate_for(weak.key))
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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    status: int, door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    certificate_server.status, certificate_server.headers = (
        status,
        {"Location": f"{certificate_server.url}/elsewhere.pem"},
    )
    assert door(amazon.message()).status_code == 403
    assert certificate_server.asked == ["/" + FILE]


@pytest.mark.parametrize("status", [201, 400, 403, 404, 410])
def test_any_other_answer_than_a_certificate_is_final(
    status: int, door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    certificate_server.status = status
    assert door(amazon.message()).status_code == 403


def test_a_message_with_a_nul_in_its_text_is_kept_and_stops_nothing(
    door: Any, topic: Any, amazon: Amazon, work: Any
) -> None:
    assert door(amazon.message('{"notificationInfo": "\x00"}')).status_code == 200
    assert door(amazon.message("{}\x00")).status_code == 200
    assert work() == 2
    assert {message.state for message in Message.objects.all()} == {Message.State.QUARANTINED}


def test_the_right_address_is_let_in(door: Any, topic: Any, amazon: Amazon) -> None:
    """The counterpart of all of the above: without it they would prove nothing."""
    assert door(amazon.message(SigningCertURL=URL)).status_code == 200
    assert Message.objects.count() == 1
