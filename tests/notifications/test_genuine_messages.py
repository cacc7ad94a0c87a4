"""Amazon's own messages, and changed ones: each has the answer and the effect that its manifest says."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from notifications import inbox, regions, sns, topics
from notifications.models import Message, Notification, Order, Topic
from tests.notifications.conftest import undone

EFFECTS = {
    # effect: (state, subscription of the topic) after processing, for the messages that are stored
    "stored": (Message.State.QUARANTINED, "pending"),
    "confirm": (Message.State.QUARANTINED, "pending"),  # asked for, but the token is years old
    "unsubscribed": (Message.State.DONE, "unsubscribed"),
    "any": (Message.State.QUARANTINED, "pending"),
}


def arrange(case: dict[str, Any], samples: Path, certificate_server: Any, set_clock: Any) -> bytes:
    set_clock(datetime.fromisoformat(case["now"]))
    certificate_server.body = (samples / case["certificate_served"]).read_bytes()
    return (samples / case["file"]).read_bytes()


def test_every_message_has_its_answer_and_its_effect_at_the_door(
    cases: Any, samples: Path, db: None, door: Any, certificate_server: Any, set_clock: Any, work: Any
) -> None:
    for case in cases:
        certificate_server.asked.clear()
        with undone():
            topic = Topic.objects.create(arn=case["allowed_topic"], subscription="pending")
            body = arrange(case, samples, certificate_server, set_clock)
            status, name, expect = door(body).status_code, case["id"], case["expect"]
            assert status // 100 == {"2xx": 2, "4xx": 4, "2xx-or-4xx": 2, "any": 2}[expect["http"]], name
            if status == 200:
                work()
                topic.refresh_from_db()
                [found] = [(message.state, topic.subscription) for message in Message.objects.all()]
                expected = EFFECTS.get(expect["effect"], (Message.State.HELD, "pending"))
                assert found == expected, name
                assert not Notification.objects.exists(), name
                assert not Order.objects.exists(), name
            assert Message.objects.exists() == (status == 200), name
        only_the_certificate_was_fetched(case, body, certificate_server)


def only_the_certificate_was_fetched(case: Any, body: bytes, certificate_server: Any) -> None:
    address = json.loads(body).get("SigningCertURL", "/")
    assert set(certificate_server.asked) <= {"/" + address.rsplit("/", 1)[1]}, case["id"]
    if case["id"].startswith(("x-certurl", "x-foreign", "x-shift", "l-")):
        assert certificate_server.asked == [], case["id"]


def test_the_signature_alone(cases: Any, samples: Path) -> None:
    """The manifest's word on the pure cryptography, with every other rule out of the way."""
    for case in cases:
        if case["id"].startswith(("x-shift", "l-")):
            continue  # of the wrong shape
        envelope = sns.parse((samples / case["file"]).read_bytes())
        certificate = sns.read_certificate((samples / case["certificate_served"]).read_bytes())
        refused, valid = refusal(envelope, certificate), case["expect"]["signature"] == "valid"
        assert refused == "" if valid else "signature" in refused, case["id"]


def refusal(envelope: sns.Envelope, certificate: Any) -> str:
    try:
        sns.check_signature(envelope, certificate)
    except sns.Forbidden as problem:
        return str(problem)
    return ""


def test_with_todays_clock_every_one_is_refused(
    cases: Any, samples: Path, db: None, door: Any, certificate_server: Any, set_clock: Any
) -> None:
    for case in cases:
        if case["expect"]["http"] == "2xx":
            with undone():
                Topic.objects.create(arn=case["allowed_topic"])
                body = arrange(case, samples, certificate_server, set_clock)
                set_clock(datetime.fromisoformat("2026-11-21T00:00:00+00:00"))
                assert door(body).status_code == 403, case["id"]
                assert not Message.objects.exists(), case["id"]


def test_a_confirmation_that_nobody_asked_for_waits_for_a_person(
    cases: Any, samples: Path, db: None, door: Any, certificate_server: Any, set_clock: Any, work: Any
) -> None:
    for case in cases:
        if case["expect"]["effect"] == "confirm":
            certificate_server.asked.clear()
            with undone():
                Topic.objects.create(arn=case["allowed_topic"])
                body = arrange(case, samples, certificate_server, set_clock)
                assert door(body).status_code == 200, case["id"]
                work()
                waits_for_a_person(case["id"], Message.objects.get(), json.loads(body))
            only_the_certificate_was_fetched(case, body, certificate_server)


def waits_for_a_person(case: str, message: Message, document: dict[str, str]) -> None:
    """Held, and nobody who reads the row learns its secrets."""
    assert (message.state, message.reason) == (Message.State.HELD, topics.NOBODY_ASKED), case
    assert document["Token"] not in message.body, case
    assert document["Token"].encode() not in bytes(message.sealed), case
    assert message.unseal() == {name: document[name] for name in ("Token", "SubscribeURL")}, case
    assert inbox.MASK in message.body, case


def test_every_genuine_certificate_carries_the_name_of_its_region(samples: Path) -> None:
    for file in (samples / "certs").iterdir():
        certificate = sns.read_certificate(file.read_bytes())
        sns.check_certificate(certificate, "arn:aws:sns:us-west-2:131990247566:any", certificate.not_valid_before_utc)
        with pytest.raises(sns.Forbidden):
            sns.check_certificate(
                certificate, "arn:aws:sns:eu-south-2:131990247566:any", certificate.not_valid_before_utc
            )
    assert regions.signing_name("arn:aws:sns:eu-south-2:131990247566:any") == "sns-signing.eu-south-2.amazonaws.com"
