"""Messages that are not quite what Amazon sent, beside those of `attacks.py`: what tells them apart, and what makes no difference.
(Amazon's SNS guide, sections 2 to 4 and 8.)"""

from typing import Any

import pytest

from notifications.models import Message, Topic
from tests.notifications.signing_amazon import Amazon, as_headers

pytestmark = pytest.mark.django_db


def test_a_subject_pushed_into_the_message_id(door: Any, topic: Any, amazon: Amazon) -> None:
    """The signed bytes are the same, the ID would be another: this is how one message could count twice."""
    message = amazon.message(Subject="My subject")
    shifted = message | {"MessageId": message["MessageId"] + "\nSubject\nMy subject"}
    del shifted["Subject"]
    assert door(message).status_code == 200
    assert door(shifted, {}).status_code == 400
    assert Message.objects.count() == 1


def test_sha_1_for_a_topic_that_signs_with_sha_256(door: Any, topic: Any, amazon: Amazon) -> None:
    Topic.objects.update(signature_version="2")
    assert door(amazon.message(SignatureVersion="1")).status_code == 403
    assert door(amazon.message(SignatureVersion="2")).status_code == 200


def test_the_content_type_is_nobody_s_business(door: Any, topic: Any, amazon: Amazon) -> None:
    for kind in ("application/json", "text/plain; charset=UTF-8", "application/octet-stream", "x"):
        message = amazon.message()
        assert door(message, as_headers(message) | {"content-type": kind}).status_code == 200, kind


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
