"""Amazon as the tests need it: a key, its certificate on a local web server, and signed messages. The far side only."""

import base64
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ARN = "arn:aws:sns:us-east-1:123456789012:dash-orders"
FILE = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
URL = f"https://sns.us-east-1.amazonaws.com/{FILE}"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SIGNED = {
    "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
    "SubscriptionConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    "UnsubscribeConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
}


def certificate_for(
    key: Any,
    name: str = "sns.amazonaws.com",
    *,
    alternative: bool = True,
    start: datetime | None = None,
    days: int = 365,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = start or NOW - timedelta(days=30)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number(), start, start + timedelta(days=days)
    )
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Amazon:
    """SNS with a key of its own."""

    def __init__(self, bits: int = 2048) -> None:
        self.key = rsa.generate_private_key(65537, bits)
        self.certificate = certificate_for(self.key)

    def sign(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message with its signature renewed, by the version that it names."""
        text = "".join(f"{k}\n{message[k]}\n" for k in SIGNED[message["Type"]] if message.get(k) is not None)
        digest = hashes.SHA1() if message["SignatureVersion"] == "1" else hashes.SHA256()
        return message | {
            "Signature": base64.b64encode(self.key.sign(text.encode(), padding.PKCS1v15(), digest)).decode()
        }

    def message(self, text: str = "Hello, Alice", *, at: datetime = NOW, **changes: Any) -> dict[str, Any]:
        """A signed message; `changes` come before the signature, and None takes a field out."""
        message = {
            "Type": "Notification",
            "MessageId": str(uuid4()),
            "TopicArn": ARN,
            "Message": text,
            "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z",
            "SignatureVersion": "2",
            "SigningCertURL": URL,
            "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=secret-link",
            **changes,
        }
        return self.sign({name: value for name, value in message.items() if value is not None})

    def confirmation(self, kind: str = "SubscriptionConfirmation", **changes: Any) -> dict[str, Any]:
        link = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=secret-token"
        text = "You have chosen to subscribe.\nTo confirm, visit the SubscribeURL."
        fields = {"Type": kind, "Token": "secret-token", "SubscribeURL": link, "UnsubscribeURL": None}
        return self.message(text, **fields, **changes)


def as_body(message: dict[str, Any]) -> bytes:
    return json.dumps(message, indent=2).encode()


def as_headers(message: dict[str, Any]) -> dict[str, str]:
    return {
        "x-amz-sns-message-type": message["Type"],
        "x-amz-sns-message-id": message["MessageId"],
        "x-amz-sns-topic-arn": message["TopicArn"],
        "content-type": "text/plain; charset=UTF-8",
    }


@dataclass
class FarSide:
    """A web server that answers as told and remembers what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)
    before: Callable[[], None] = lambda: None


@contextmanager
def far_side() -> Iterator[FarSide]:
    """Listening on a free port of this machine until the end of the block."""
    side = FarSide()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            side.asked.append(self.path)
            side.before()
            self.send_response(side.status)
            for name, value in side.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(side.body)

        def do_POST(self) -> None:
            side.posted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.do_GET()

        def log_message(self, *args: object) -> None:
            """The tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    side.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield side
    finally:
        server.shutdown()
        server.server_close()


def dash(kind: str = "OrderPlacedNotification", **changes: Any) -> dict[str, Any]:
    """A Dash notification, version 2, about Alice's machine. `changes`: time, id, order, version, items, date,
    serial, customer, slots."""
    order: dict[str, Any] = {"instanceId": changes.get("order", "amzn1.dash.v2.o.coffee-1"), "slotId": "beans"}
    if kind in ("OrderPlacedNotification", "ItemShippedNotification"):
        order |= _products(changes)
    document: dict[str, Any] = {
        "notificationInfo": {
            "notificationType": kind,
            "lwaClientId": "amzn1.application-oa2-client.crema",
            "notificationTime": changes.get("time", "2026-11-21T09:59:58.120Z"),
            "notificationId": changes.get("id", f"amzn1.dash.notification.v1.{uuid4()}"),
            "version": "2015-06-05",
        },
        "deviceInfo": {
            "deviceIdentifier": {"serialNumber": changes.get("serial", "CRM20-0001")},
            "productIdentifier": {"modelId": "CREMA-20"},
        },
        "customerInfo": {"directedCustomerId": changes.get("customer", "amzn1.account.ALICE")},
    }
    if kind == "SubscriptionChangedNotification":
        document["subscriptionInfo"] = {"slotsSubscriptionStatus": changes.get("slots", {"beans": chosen()})}
    if kind.startswith(("Order", "Item")):
        document["orderInfo"] = order
    return document


def chosen(asin: str = "B00BEANS01", subscribed: bool = True) -> dict[str, Any]:
    """A slot's subscription in version 2."""
    products = [{"asin": asin, "quantity": 2.0, "unit": "count"}] if asin else []
    return {"subscribed": subscribed, "productInfoList": products}


def _products(changes: dict[str, Any]) -> dict[str, Any]:
    date = changes.get("date", "2026-11-24T20:00:00Z")
    if changes.get("version") == "1":
        return {
            "productInfo": changes.get("items", [{"quantity": 2.0, "unit": "count"}]),
            "estimatedDeliveryDate": date,
        }
    product = {"asin": "B00BEANS01", "quantity": 2.0, "unit": "count", "estimatedDeliveryDate": date}
    return {"productInfo": changes.get("items", [product])}
