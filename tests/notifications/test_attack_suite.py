"""The attacks together, counted, with everybody watched whom the portal could ask: the wire, names looked up, addresses opened."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from notifications import inbox
from notifications.models import Message, Topic
from tests.notifications.signing_amazon import ARN, URL, Amazon, as_headers
from tests.notifications.test_attacks import ADDRESSES
from tests.notifications.test_forgeries import NOTIFICATION, SHAPES, TAMPERED, mangled, spoilt

AT_LEAST = 150
EVIL = "http://169.254.169.254/latest/meta-data/"


def attacks(amazon: Amazon) -> Iterator[tuple[str, Any, dict[str, str] | None]]:
    """(name, message or bytes, headers; None for those that fit)."""
    for address in ADDRESSES:
        yield f"certificate at {address[:60]!r}", amazon.message(SigningCertURL=address), None
    for field in NOTIFICATION:
        for kind, message in spoilt(amazon.message(), field).items():
            yield f"{field} is {kind}", message, {}
    for field, value in SHAPES:
        kind = {"Type": value} if field == "Type" else {}
        yield f"{field} of a wrong shape", amazon.message(**({} if kind else {field: value})) | kind, {}
    for version in ("1", "2"):
        for field, value in TAMPERED.items():
            changed = {"1": "2", "2": "1"}[version] if field == "SignatureVersion" else value
            yield (
                f"{field} changed, version {version}",
                amazon.message(SignatureVersion=version) | {field: changed},
                None,
            )
    yield from ((f"the body is {name}", body, {}) for name, body in mangled(amazon).items())
    for field in ("Token", "SubscribeURL"):
        yield f"a confirmation's {field}", amazon.confirmation() | {field: EVIL}, None
    for header in ("message-type", "message-id", "topic-arn"):
        message = amazon.message()
        yield f"the header {header} differs", message, as_headers(message) | {f"x-amz-sns-{header}": "other"}
    yield "a stranger's topic", amazon.message(TopicArn=ARN + "2"), None
    yield "raw delivery", b"hello", {"x-amz-sns-rawdelivery": "true"}
    yield "a body of more than 1 MiB", b'{"a": "' + b"x" * (1024 * 1024) + b'"}', {}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, amazon: Amazon) -> list[str]:
    """Every certificate that is asked for, and every name or address that this process begins to talk to."""
    found: list[str] = []
    monkeypatch.setattr(inbox.certificates, "fetch", lambda url: found.append(url) or amazon.certificate)
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            found.append(f"socket {address}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: found.append(f"name {host}") or [])
    return found


@pytest.mark.django_db
def test_every_attack_is_refused_and_nobody_else_is_asked(
    door: Any, topic: Any, amazon: Amazon, asked: list[str]
) -> None:
    Topic.objects.create(arn=TAMPERED["TopicArn"])
    answers = {}
    for name, message, headers in attacks(amazon):
        answers[f"{len(answers)}: {name}"] = door(message, headers).status_code
    wrong = {name: status for name, status in answers.items() if status not in (400, 403, 413)}
    assert wrong == {}
    assert len(answers) >= AT_LEAST, f"{len(answers)} attacks were tried"
    print(f"{len(answers)} attacks were refused")
    assert set(asked) <= {URL}
    assert not Message.objects.exists()
    assert door(amazon.message()).status_code == 200, "without this one they would prove nothing"


@pytest.mark.django_db
def test_genuine_but_dangerous_messages_are_contained(
    door: Any, topic: Any, amazon: Amazon, asked: list[str], work: Any
) -> None:
    """Amazon signed them: they are kept, their links are masked, and nobody opens one."""
    for kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        assert door(amazon.sign(amazon.confirmation(kind) | {"SubscribeURL": EVIL})).status_code == 200
    assert (
        door(amazon.message("x", UnsubscribeURL=EVIL, MessageAttributes={"version": {"Value": EVIL}})).status_code
        == 200
    )
    assert work() == 3
    assert {message.state for message in Message.objects.all()} == {"held", "done", "quarantined"}
    assert set(asked) <= {URL}
    stored = "".join(message.body or "" for message in Message.objects.filter(kind__endswith="Confirmation"))
    assert EVIL not in stored
    assert "secret-token" not in stored
