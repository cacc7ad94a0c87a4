"""Amazon's own messages, and changed ones: each has the answer and the effect that its manifest says."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from notifications import inbox, regions, sns, topics
from notifications.models import Message, Notification, Order, Topic
from tests.notifications.conftest import genuine_cases

CASES = genuine_cases()
EFFECTS = {
    # effect: (state, subscription of the topic) after processing, for the messages that are stored
    "stored": {(Message.State.QUARANTINED, "pending")},
    "confirm": {(Message.State.QUARANTINED, "pending")},  # asked for, but the token is years old
    "unsubscribed": {(Message.State.DONE, "unsubscribed")},
    "any": {(Message.State.QUARANTINED, "pending")},
}


def arrange(case: dict[str, Any], samples: Path, certificate_server: Any, set_clock: Any) -> bytes:
    set_clock(datetime.fromisoformat(case["now"]))
    certificate_server.body = (samples / case["certificate_served"]).read_bytes()
    return (samples / case["file"]).read_bytes()


@pytest.mark.parametrize("case", CASES)
def test_a_genuine_message_at_the_door(
    case: Any, samples: Path, db: None, door: Any, certificate_server: Any, set_clock: Any, work: Any
) -> None:
    topic = Topic.objects.create(arn=case["allowed_topic"], subscription="pending")
    body = arrange(case, samples, certificate_server, set_clock)
    answer, expect = door(body), case["expect"]

    assert answer.status_code // 100 == {"2xx": 2, "4xx": 4, "2xx-or-4xx": 2, "any": 2}[expect["http"]]
    work()
    topic.refresh_from_db()
    if answer.status_code != 200:
        assert not Message.objects.exists()
    elif expect["effect"] == "none":
        assert Message.objects.get().state == Message.State.HELD
    else:
        assert (Message.objects.get().state, topic.subscription) in EFFECTS[expect["effect"]]
    assert not Notification.objects.exists()
    assert not Order.objects.exists()
    only_the_certificate_was_fetched(case, body, certificate_server)


def only_the_certificate_was_fetched(case: Any, body: bytes, certificate_server: Any) -> None:
    address = json.loads(body).get("SigningCertURL", "/")
    assert set(certificate_server.asked) <= {"/" + address.rsplit("/", 1)[1]}
    if case["id"].startswith(("x-certurl", "x-foreign", "x-shift", "l-")):
        assert certificate_server.asked == []


SHAPELY = [case for case in CASES if not (case.values[0] or {"id": ""})["id"].startswith(("x-shift", "l-"))]


@pytest.mark.parametrize("case", SHAPELY)
def test_the_signature_alone(case: Any, samples: Path) -> None:
    """The manifest's word on the pure cryptography, with every other rule out of the way."""
    envelope = sns.parse((samples / case["file"]).read_bytes())
    certificate = sns.read_certificate((samples / case["certificate_served"]).read_bytes())
    if case["expect"]["signature"] == "valid":
        sns.check_signature(envelope, certificate)
    else:
        with pytest.raises(sns.Forbidden, match="signature"):
            sns.check_signature(envelope, certificate)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.values[0] and case.values[0]["expect"]["http"] == "2xx"] or CASES
)
def test_with_todays_clock_every_one_is_refused(
    case: Any, samples: Path, db: None, door: Any, certificate_server: Any, set_clock: Any
) -> None:
    Topic.objects.create(arn=case["allowed_topic"])
    body = arrange(case, samples, certificate_server, set_clock)
    set_clock(datetime.fromisoformat("2026-11-21T00:00:00+00:00"))
    assert door(body).status_code == 403
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.values[0] and case.values[0]["expect"]["effect"] == "confirm"] or CASES
)
def test_a_confirmation_that_nobody_asked_for_waits_for_a_person(
    case: Any, samples: Path, db: None, door: Any, certificate_server: Any, set_clock: Any, work: Any
) -> None:
    Topic.objects.create(arn=case["allowed_topic"])
    body = arrange(case, samples, certificate_server, set_clock)
    assert door(body).status_code == 200
    work()
    message = Message.objects.get()
    assert (message.state, message.reason) == (Message.State.HELD, topics.NOBODY_ASKED)
    document = json.loads(body)
    assert document["Token"] not in message.body
    assert document["Token"].encode() not in bytes(message.sealed)
    assert message.unseal() == {name: document[name] for name in ("Token", "SubscribeURL")}
    assert inbox.MASK in message.body
    only_the_certificate_was_fetched(case, body, certificate_server)


def test_every_genuine_certificate_carries_the_name_of_its_region(samples: Path) -> None:
    for file in (samples / "certs").iterdir():
        certificate = sns.read_certificate(file.read_bytes())
        sns.check_certificate(certificate, "arn:aws:sns:us-west-2:131990247566:any", certificate.not_valid_before_utc)
        with pytest.raises(sns.Forbidden):
            sns.check_certificate(
                certificate, "arn:aws:sns:eu-south-2:131990247566:any", certificate.not_valid_before_utc
            )
    assert regions.signing_name("arn:aws:sns:eu-south-2:131990247566:any") == "sns-signing.eu-south-2.amazonaws.com"
