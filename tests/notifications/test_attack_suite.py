"""The attacks together, counted, with everybody watched whom the portal could ask: the wire, names looked up, addresses opened."""

import socket
from typing import Any

import pytest

from notifications import inbox
from notifications.models import Message, Topic
from tests.notifications.attacks import EVIL, TAMPERED, attacks
from tests.notifications.signing_amazon import URL, Amazon

AT_LEAST = 150


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
    tried = list(attacks(amazon))
    answers = [(name, door(message, headers).status_code, right) for right, name, message, headers in tried]
    wrong = [(name, status) for name, status, right in answers if status not in right]
    assert wrong == []
    assert len(tried) >= AT_LEAST, f"{len(tried)} attacks were tried"
    print(f"{len(tried)} attacks were refused")
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
