"""All that is sent by who pretends to be Amazon, or to be somebody else's Amazon: wrong shapes, changed fields, texts that two readers
could understand differently, certificates from elsewhere. (Amazon's SNS guide, sections 2 to 4 and 8.)"""

import json
from collections.abc import Iterator
from typing import Any

from tests.notifications.signing_amazon import ARN, FILE, Amazon, as_body, as_headers

EVIL = "http://169.254.169.254/latest/meta-data/"
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
TOPICS = [
    "arn:aws:sns:us-east-1:999999999999:dash-orders",
    "arn:aws:sns:us-east-1:123456789012:dash-orders2",
    "arn:aws:sns:us-east-1:123456789012:Dash-Orders",
    "arn:aws:sns:us-east-2:123456789012:dash-orders",
    "arn:aws-cn:sns:cn-north-1:123456789012:dash-orders",
    "arn:aws:sns:moon-east-1:123456789012:dash-orders",
]
CONFIRMATIONS = ["SubscriptionConfirmation", "UnsubscribeConfirmation"]
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
TAMPERED = {
    "Message": "Hello, Mallory",
    "MessageId": "00000000-545e-5848-82a2-e05566af3dcf",
    "Subject": "urgent",
    "Timestamp": "2026-11-21T10:00:01.000Z",
    "TopicArn": "arn:aws:sns:us-east-1:123456789012:other-topic",
    "SignatureVersion": "1",
    "Signature": "QUJD",
}
CHANGED = {"Token": "mine", "SubscribeURL": EVIL, "Type": "UnsubscribeConfirmation"}
VERSIONS = ["0", "3", "1.0", "2.0", "01", " 1", "1\n", "SHA1", "sha256", "²"]
NO_BASE64 = ["====", "QUJ", "Q U J D", "QUJD\n", "-_-_", "ÄÖÜ", "QUJD!"]
HEADERS = [
    {"x-amz-sns-message-type": "SubscriptionConfirmation"},
    {"x-amz-sns-message-type": ""},
    {"x-amz-sns-message-id": UUID},
    {"x-amz-sns-topic-arn": ARN + "x"},
    {"x-amz-sns-topic-arn": ARN.upper()},
    {"x-amz-sns-rawdelivery": "true"},
    {"x-amz-sns-rawdelivery": "false"},
]


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


# Right answers, name, message or bytes, headers (None: those that fit).
Attack = tuple[set[int], str, Any, dict[str, str] | None]
REFUSED, MALFORMED, TOO_LONG = {403}, {400}, {413}


def attacks(amazon: Amazon) -> Iterator[Attack]:
    yield from _of_the_address(amazon)
    yield from _of_the_shape(amazon)
    yield from _of_the_signature(amazon)
    yield from _of_the_headers(amazon)


def _of_the_address(amazon: Amazon) -> Iterator[Attack]:
    """The address of the certificate is not signed: with the right certificate the signature would even hold."""
    for address in ADDRESSES:
        yield REFUSED, f"certificate at {address[:60]!r}", amazon.message(SigningCertURL=address), None
    for arn in TOPICS:
        yield REFUSED, f"a stranger's topic {arn}", amazon.message(TopicArn=arn), None
        for kind in CONFIRMATIONS:
            yield REFUSED, f"{kind} of a stranger's topic {arn}", amazon.confirmation(kind, TopicArn=arn), None


def _of_the_shape(amazon: Amazon) -> Iterator[Attack]:
    for field in NOTIFICATION:
        for kind, message in spoilt(amazon.message(), field).items():
            yield REFUSED | MALFORMED, f"{field} is {kind}", message, {}
    for confirmation in CONFIRMATIONS:
        for field in ("Token", "SubscribeURL"):
            for kind, message in spoilt(amazon.confirmation(confirmation), field).items():
                yield MALFORMED, f"{field} of a {confirmation} is {kind}", message, None
    for field, value in SHAPES:  # signed anew, so that only the shape can be what refuses it
        kind = {"Type": value} if field == "Type" else {}
        message = amazon.message(**({} if kind else {field: value})) | kind
        yield MALFORMED, f"{field} is {value!r}", message, {}
    yield from ((MALFORMED, f"the body is {name}", body, {}) for name, body in mangled(amazon).items())
    yield TOO_LONG, "a body of more than 1 MiB", b'{"a": "' + b"x" * (1024 * 1024) + b'"}', {}


def _of_the_signature(amazon: Amazon) -> Iterator[Attack]:
    for version, other in (("1", "2"), ("2", "1")):
        genuine = amazon.message(SignatureVersion=version)
        for field, value in (TAMPERED | {"SignatureVersion": other}).items():
            yield REFUSED, f"{field} changed, version {version}", genuine | {field: value}, None
    for field, value in CHANGED.items():
        yield REFUSED, f"a confirmation's {field} changed", amazon.confirmation() | {field: value}, None
    for version in VERSIONS:  # not taken for an old one
        message = amazon.message(SignatureVersion="1") | {"SignatureVersion": version}
        yield REFUSED, f"signature version {version!r}", message, None
    for signature in NO_BASE64:
        yield MALFORMED, f"the signature is {signature!r}", amazon.message() | {"Signature": signature}, None


def _of_the_headers(amazon: Amazon) -> Iterator[Attack]:
    for header in HEADERS:
        message = amazon.message()
        yield REFUSED, f"the header {header}", message, as_headers(message) | header
    for body in (b"", b"hello", b'{"orderInfo": {}}', b"\xff\xfe"):
        yield REFUSED, f"raw delivery of {body!r}", body, {"x-amz-sns-rawdelivery": "true"}
