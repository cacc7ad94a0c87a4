"""Messages that are not quite what Amazon sent: wrong shapes, changed fields, texts that two readers could understand
differently. Each is refused and nothing is stored. (Amazon's SNS guide, sections 2 to 4 and 8.)"""

import json
from typing import Any

import pytest

from notifications.models import Message, Topic
from tests.notifications.signing_amazon import ARN, Amazon, as_body, as_headers

pytestmark = pytest.mark.django_db
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


def spoilt(message: dict[str, Any], field: str) -> dict[str, dict[str, Any]]:
    """The message with this field wrong in every way; an empty Message is none of them."""
    ways = {kind: message | {field: value} for kind, value in WRONG.items() if (field, kind) != ("Message", "empty")}
    del ways["missing"][field]
    return ways


@pytest.mark.parametrize("field", NOTIFICATION)
def test_a_field_that_is_not_text(field: str, door: Any, topic: Any, amazon: Amazon) -> None:
    headers = {"content-type": as_headers(amazon.message())["content-type"]}
    for kind, message in spoilt(amazon.message(), field).items():
        assert door(message, headers).status_code in (400, 403), kind
    assert not Message.objects.exists()


@pytest.mark.parametrize("field", ["Token", "SubscribeURL"])
@pytest.mark.parametrize("message_type", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_a_confirmation_without_its_fields(
    field: str, message_type: str, door: Any, topic: Any, amazon: Amazon
) -> None:
    for kind, message in spoilt(amazon.confirmation(message_type), field).items():
        assert door(message).status_code == 400, kind
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


def test_a_field_of_the_wrong_shape_even_if_amazon_signed_it(door: Any, topic: Any, amazon: Amazon) -> None:
    """Signed anew with the odd value, so that only the shape can be what refuses it."""
    for field, value in SHAPES:
        message = amazon.message() | {"Type": value} if field == "Type" else amazon.message(**{field: value})
        assert door(message, {}).status_code == 400, (field, value)
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


def mangled(amazon: Amazon) -> dict[str, bytes]:
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


def test_a_body_that_two_readers_could_understand_differently(door: Any, topic: Any, amazon: Amazon) -> None:
    for name, body in mangled(amazon).items():
        assert door(body, {}).status_code == 400, name
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


def test_a_message_with_a_nul_in_its_text_is_kept_and_stops_nothing(
    door: Any, topic: Any, amazon: Amazon, work: Any
) -> None:
    assert door(amazon.message('{"notificationInfo": "\x00"}')).status_code == 200
    assert door(amazon.message("{}\x00")).status_code == 200
    assert work() == 2
    assert {message.state for message in Message.objects.all()} == {Message.State.QUARANTINED}
