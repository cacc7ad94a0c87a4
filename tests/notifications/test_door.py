"""The door as HTTP: which answer makes SNS try again and which makes it give up for ever."""

import base64
import io
import socket
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from django.test import Client

from notifications import certificates
from notifications.models import Message, Topic
from tests.notifications.signing_amazon import ARN, FILE, Amazon, as_body, as_headers, pem

MEGABYTE = 1024 * 1024


@pytest.mark.django_db
def test_a_message_is_stored_and_rung_for(
    door: Any, topic: Any, amazon: Amazon, rings: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    message = amazon.message("Hello, Alice", Subject="DRS Notification")
    with django_capture_on_commit_callbacks(execute=True):
        answer = door(message)
    assert (answer.status_code, answer.content) == (200, b"ok")
    stored = Message.objects.get()
    assert (stored.topic, stored.message_id, stored.kind) == (topic, message["MessageId"], "Notification")
    assert (stored.subject, stored.text, stored.state) == ("DRS Notification", "Hello, Alice", Message.State.WAITING)
    assert stored.verdicts["signature"] == "valid, version 2"
    assert stored.verdicts["freshness"] == "fresh"
    assert "secret-link" not in stored.body
    assert stored.sealed is None
    wait_for(lambda: rings == ["notifications.process"])


@pytest.mark.django_db
def test_a_repetition_is_answered_200_and_stored_once(door: Any, topic: Any, amazon: Amazon) -> None:
    message = amazon.message()
    assert [door(message).status_code for _ in range(3)] == [200, 200, 200]
    assert Message.objects.count() == 1


@pytest.mark.django_db
def test_the_same_id_in_another_topic_is_another_message(door: Any, topic: Any, amazon: Amazon) -> None:
    other = ARN.replace("dash-orders", "dash-more")
    Topic.objects.create(arn=other)
    first = amazon.message()
    assert door(first).status_code == 200
    assert door(amazon.message(TopicArn=other, MessageId=first["MessageId"])).status_code == 200
    assert Message.objects.count() == 2


@pytest.mark.django_db
def test_only_post() -> None:
    for method in ("get", "head", "put", "patch", "delete", "options"):
        for address in ("/sns/", "/sns"):
            answer = getattr(Client(), method)(address)
            assert (answer.status_code, answer["Allow"]) == (405, "POST"), (address, method)


@pytest.mark.django_db
def test_the_slash_makes_no_difference_and_no_redirect(
    certificate_server: Any, set_clock: Any, topic: Any, amazon: Amazon
) -> None:
    for address in ("/sns", "/sns/"):
        message = amazon.message()
        answer = Client().post(address, as_body(message), content_type="text/plain", headers=as_headers(message))
        assert answer.status_code == 200
    assert Message.objects.count() == 2


@pytest.mark.django_db
def test_no_csrf_token_is_asked_for(certificate_server: Any, set_clock: Any, topic: Any, amazon: Amazon) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post("/sns/", as_body(amazon.message()), content_type="text/plain").status_code == 200


@pytest.mark.django_db
def test_a_body_of_ten_megabytes(door: Any, topic: Any) -> None:
    for size, status in ((MEGABYTE, 400), (MEGABYTE + 1, 413), (10 * MEGABYTE, 413)):
        assert door(b" " * size).status_code == status, size
        assert not Message.objects.exists(), size


class Endless(io.RawIOBase):
    """A body in chunks, without a length, that never ends; it counts what was taken."""

    def __init__(self) -> None:
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        size = min(size, 64 * 1024)
        self.taken += size
        return b" " * size


@pytest.mark.django_db
def test_a_body_without_a_length_is_read_up_to_the_limit_and_no_further(topic: Any) -> None:
    body = Endless()
    answer = Client().generic(
        "POST", "/sns/", b"", content_type="text/plain",
        **{"wsgi.input": body, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""},
    )  # fmt: skip
    assert answer.status_code == 413
    assert body.taken == MEGABYTE + 1


@pytest.mark.django_db
def test_a_message_in_chunks_is_understood(certificate_server: Any, set_clock: Any, topic: Any, amazon: Amazon) -> None:
    chunks = {"wsgi.input": io.BytesIO(as_body(amazon.message())), "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = Client().generic("POST", "/sns/", b"", content_type="text/plain", CONTENT_LENGTH="", **chunks)
    assert answer.status_code == 200
    assert Message.objects.count() == 1


@pytest.mark.django_db
def test_an_odd_length(topic: Any) -> None:
    for length in ("-1", "x", "", "99999999999999999999", "1e9"):
        answer = Client().generic("POST", "/sns/", b"hello", content_type="text/plain", CONTENT_LENGTH=length)
        assert answer.status_code in (400, 413), length


class Broken(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise OSError("the connection was reset")


@pytest.mark.django_db
def test_a_sender_that_hangs_up(topic: Any) -> None:
    answer = Client().generic(
        "POST", "/sns/", b"", content_type="text/plain", **{"wsgi.input": Broken(), "CONTENT_LENGTH": "100"}
    )
    assert answer.status_code == 400


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.django_db
def test_basic_authentication_where_it_is_configured(door: Any, topic: Any, amazon: Amazon, settings: Any) -> None:
    settings.SNS_BASIC_AUTH = ["amazon:old secret", "amazon:new secret"]
    message = amazon.message()
    challenge = door(message)
    assert (challenge.status_code, challenge["WWW-Authenticate"]) == (401, 'Basic realm="sns"')
    assert not Message.objects.exists()
    for secret in ("old secret", "new secret"):
        assert door(message, as_headers(message) | basic(f"amazon:{secret}")).status_code == 200


@pytest.mark.django_db
def test_wrong_credentials_are_no_reason_to_ask_again(door: Any, topic: Any, amazon: Amazon, settings: Any) -> None:
    settings.SNS_BASIC_AUTH = ["amazon:secret"]
    message = amazon.message()
    for sent in (
        "",
        "Basic",
        "Basic !",
        "Bearer x",
        "Basic " + base64.b64encode(b"amazon:wrong").decode(),
        "Basic " + base64.b64encode(b"amazon").decode(),
    ):
        answer = door(message, as_headers(message) | {"authorization": sent})
        assert answer.status_code == 403, sent
        assert "WWW-Authenticate" not in answer, sent


@pytest.mark.django_db
def test_without_basic_authentication_nobody_is_challenged(door: Any, topic: Any, amazon: Amazon) -> None:
    message = amazon.message()
    assert door(message, as_headers(message) | basic("who:ever")).status_code == 200
    assert "WWW-Authenticate" not in door(b"forged")


@pytest.mark.django_db
def test_a_certificate_out_of_reach_makes_sns_try_again(
    door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    for status in (429, 500, 502, 503, 504):
        certificates.forget()
        certificate_server.status = status
        message = amazon.message()
        assert door(message).status_code == 503, status
        assert not Message.objects.filter(message_id=message["MessageId"]).exists(), status
        certificate_server.status = 200
        assert door(message).status_code == 200, status


@pytest.mark.django_db
def test_no_certificate_server_at_all(door: Any, topic: Any, amazon: Amazon, settings: Any) -> None:
    settings.SNS_CERTIFICATE_MIRROR = f"http://127.0.0.1:{dead_port()}"
    assert door(amazon.message()).status_code == 503


@pytest.mark.django_db
def test_the_door_never_says_why(door: Any, topic: Any, amazon: Amazon) -> None:
    foreign = amazon.message(TopicArn=ARN + "x")
    assert [door(body).content for body in (foreign, amazon.message() | {"Message": "forged"}, b"{}")] == [
        b"",
        b"",
        b"",
    ]


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        Event().wait(0.01)
    pytest.fail("It did not happen within two seconds.")


def dead_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.django_db
def test_a_second_message_needs_no_certificate_from_the_wire(
    door: Any, topic: Any, amazon: Amazon, certificate_server: Any
) -> None:
    for _ in range(3):
        assert door(amazon.message()).status_code == 200
    assert certificate_server.asked == ["/" + FILE]
    assert certificate_server.body == pem(amazon.certificate)
