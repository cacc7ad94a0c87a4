"""Why a message was taken or refused, check by check; whoever asks leaves no trace in the database."""

import json
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from notifications import forensics
from notifications.models import Message, Notification, Topic
from tests.notifications.conftest import undone
from tests.notifications.signing_amazon import ARN, NOW, Amazon, FarSide, as_body, certificate_for, dash, pem

pytestmark = pytest.mark.django_db
NAMES = ["raw delivery", "form", "headers", "topic", "signature version", "certificate address", "certificate",
         "signature", "freshness"]  # fmt: skip


@pytest.fixture(autouse=True)
def at_ten(certificate_server: FarSide, set_clock: Any) -> None:
    """Amazon's certificate can be had, and it is ten o'clock."""


def verdicts(message: Any) -> dict[str, str]:
    body = message if isinstance(message, bytes) else as_body(message)
    report = forensics.explain(body)
    assert [check.name for check in report.checks] == NAMES
    assert not Message.objects.exists()
    return {check.name: check.verdict for check in report.checks if check.verdict != "passed"}


def test_a_genuine_message_passes_every_check(topic: Topic, amazon: Amazon) -> None:
    report = forensics.explain(as_body(amazon.message(json.dumps(dash()), Subject="DRS")))
    assert {check.verdict for check in report.checks} == {"passed"}
    assert report.verdict == "Amazon signed it, and it is for us."
    assert report.canonical.startswith("Message\n{")
    assert "\nSubject\nDRS\n" in report.canonical
    assert report.parsed
    assert report.parsed["serial_number"] == "CRM20-0001"
    assert report.certificate
    assert report.certificate["subject"] == "CN=sns.amazonaws.com"
    assert "BEGIN CERTIFICATE" in report.certificate["PEM"]


def test_one_byte_more_and_the_rest_is_said_all_the_same(topic: Topic, amazon: Amazon) -> None:
    forged = amazon.message(json.dumps(dash()))
    assert verdicts(forged | {"Message": forged["Message"] + " "}) == {"signature": "failed"}


def test_a_topic_of_somebody_else_is_genuine_all_the_same(amazon: Amazon) -> None:
    report = forensics.explain(as_body(amazon.message(json.dumps(dash()))))
    assert [check.name for check in report.checks if check.verdict == "failed"] == ["topic"]
    assert report.parsed


def test_an_address_that_is_not_amazon_s_is_never_asked(
    topic: Topic, amazon: Amazon, certificate_server: FarSide
) -> None:
    found = verdicts(
        amazon.message(SigningCertURL="https://sns.s3-us-west-2.amazonaws.com/SimpleNotificationService-0.pem")
    )
    assert found == {"certificate address": "failed", "certificate": "not reached", "signature": "not reached"}
    assert certificate_server.asked == []


def test_a_certificate_in_somebody_else_s_name(topic: Topic, amazon: Amazon, certificate_server: FarSide) -> None:
    certificate_server.body = pem(certificate_for(amazon.key, "sns.evil.example"))
    assert verdicts(amazon.message()) == {"certificate": "failed", "signature": "not reached"}


def test_a_certificate_that_cannot_be_had_decides_nothing(
    topic: Topic, amazon: Amazon, certificate_server: FarSide
) -> None:
    certificate_server.status = 503
    assert verdicts(amazon.message()) == {"certificate": "not reached", "signature": "not reached"}
    assert forensics.explain(as_body(amazon.message())).verdict.startswith(
        "Undecided: the certificate could not be had"
    )


def test_what_is_no_message_is_said_to_be_none() -> None:
    for body in (b"", b"nonsense", b"[]", b"\xff", b'{"Type": "Notification"}', b"[" * 5000):
        assert verdicts(body)["form"] == "failed", body[:30]


def test_an_old_message_is_judged_by_its_own_time_and_what_the_door_would_say(topic: Topic, amazon: Amazon) -> None:
    report = forensics.explain(as_body(amazon.message(at=NOW - timedelta(days=3))))
    assert {check.verdict for check in report.checks} == {"passed"}
    assert "more than 75 minutes" in report.at_the_door


def test_secrets_are_masked_even_in_the_canonical_string(topic: Topic, amazon: Amazon) -> None:
    text = forensics.as_text(forensics.explain(as_body(amazon.confirmation())))
    assert "secret-token" not in text
    assert "(masked)" in text


def test_a_message_that_is_stored_here_is_named(topic: Topic, amazon: Amazon, door: Any, work: Any) -> None:
    message = amazon.message(json.dumps(dash()))
    door(message)
    work()
    report = forensics.explain(as_body(message))
    assert report.stored == Message.objects.get()
    assert (Message.objects.count(), Notification.objects.count()) == (1, 1)


def test_what_cannot_be_parsed_says_why(topic: Topic, amazon: Amazon) -> None:
    assert forensics.explain(as_body(amazon.message("hello"))).trouble == "The text inside is not JSON."


def test_amazon_s_own_messages_are_explained(
    cases: Any, samples: Path, certificate_server: FarSide, set_clock: Any
) -> None:
    for case in cases:
        set_clock(datetime.fromisoformat(case["now"]))
        certificate_server.body = (samples / case["certificate_served"]).read_bytes()
        with undone():
            Topic.objects.create(arn=case["allowed_topic"])
            found = verdicts((samples / case["file"]).read_bytes())
        if case["expect"]["http"] == "2xx":
            assert found == {}, case["id"]
        elif case["expect"]["signature"] != "valid":
            assert found, case["id"]


def explained(file: Path) -> str:
    said = StringIO()
    call_command("sns_explain", str(file), stdout=said)
    return said.getvalue()


def test_the_command_explains_a_file(topic: Topic, amazon: Amazon, tmp_path: Path) -> None:
    file = tmp_path / "message.json"
    file.write_bytes(as_body(amazon.message(json.dumps(dash()))) + b"\n")
    text = explained(file)
    for words in ("Amazon signed it, and it is for us.", "passed  signature: valid, version 2", "CRM20-0001"):
        assert words in text
    assert not Message.objects.exists()
    with pytest.raises(CommandError, match="cannot be read"):
        explained(tmp_path / "nothing.json")


@pytest.fixture
def desk(django_user_model: Any) -> Client:
    sam = django_user_model.objects.create_user("sam@example.com", "support all the way", is_staff=True)
    sam.user_permissions.set(Permission.objects.filter(codename="view_message"))
    client = Client()
    client.force_login(sam)
    return client


def test_support_pastes_a_message_in(desk: Client, topic: Topic, amazon: Amazon) -> None:
    address = reverse("admin:notifications_message_explain")
    assert "Paste the whole JSON" in desk.get(address).content.decode()
    text = desk.post(address, {"text": as_body(amazon.message("<script>")).decode()}).content.decode()
    for words in ("Amazon signed it", "certificate address", "Canonical string", "BEGIN CERTIFICATE"):
        assert words in text
    assert "<script>\n" not in text
    assert not Message.objects.exists()
    assert "This field is required" in desk.post(address, {"text": ""}).content.decode()


def test_who_may_not_see_messages_may_not_ask(alice: Any, django_user_model: Any) -> None:
    ted = django_user_model.objects.create_user("ted@example.com", "support all the way", is_staff=True)
    for person in (alice, ted):
        client = Client()
        client.force_login(person)
        assert client.get(reverse("admin:notifications_message_explain")).status_code in (302, 403)


def test_the_page_of_a_stored_message_shows_checks_and_what_was_signed(
    desk: Client, topic: Topic, amazon: Amazon, door: Any, work: Any
) -> None:
    door(amazon.message(json.dumps(dash())))
    work()
    message = Message.objects.get()
    text = desk.get(reverse("admin:notifications_message_change", args=[message.pk])).content.decode()
    for words in (*NAMES, "valid, version 2", f"TopicArn\n{ARN}", "amzn1.dash.v2.o.coffee-1", ": placed"):
        assert words in text
    assert (
        "Explain a message from elsewhere"
        in desk.get(reverse("admin:notifications_message_changelist")).content.decode()
    )
