"""The door of the tests: Amazon with a certificate on a local server, a clock, a topic, and a way to post."""

import copy
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from notifications import asp_api, certificates, doorbell, inbox
from tests.notifications.at_aws import setup
from tests.notifications.hotel import Hotel, point_at, sandbox
from tests.notifications.signing_amazon import ARN, NOW, Amazon, FarSide, as_body, as_headers, far_side, pem

Post = Callable[..., HttpResponse]


def shared_dir() -> Path:
    """Where Amazon's genuine messages are; they are not ours to publish, so they are no part of this repository."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("SHARED_DIR") or getattr(django_settings, "SHARED_DIR", "") or beside)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of Amazon's genuine messages and certificates."""
    folder = shared_dir() / "samples" / "sns"
    if not folder.exists():
        pytest.skip(f"Amazon's genuine messages are not here: {folder} (SHARED_DIR says where to look)")
    return folder


@pytest.fixture(scope="session")
def cases(samples: Path) -> list[dict[str, Any]]:
    """Every genuine message, and changed ones, with what is to come of it."""
    found: list[dict[str, Any]] = json.loads((samples / "genuine" / "manifest.json").read_text())["cases"]
    return found


@contextmanager
def undone() -> Iterator[None]:
    """What the block writes goes with it, and what was learnt of topics and certificates is forgotten, as between two tests."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    inbox.forget()
    certificates.forget()


@contextmanager
def refused(case: object, error: type[Exception], match: str | None = None) -> Iterator[Any]:
    """pytest.raises for one of many cases: it says which one was not refused, or in other words."""
    try:
        with pytest.raises(error, match=match) as problem:
            yield problem
    except (pytest.fail.Exception, AssertionError) as problem:
        pytest.fail(f"{case!r}: {problem}")


@pytest.fixture(scope="session")
def amazon() -> Amazon:
    return Amazon()


@pytest.fixture(scope="session")
def listening() -> Iterator[FarSide]:
    """One web server for all tests of this process."""
    with far_side() as side:
        yield side


@pytest.fixture
def certificate_server(listening: FarSide, settings: Any, amazon: Amazon) -> Iterator[FarSide]:
    """Where the portal looks for certificates in these tests; it serves Amazon's, and was asked for nothing yet."""
    certificates.forget()
    vars(listening).update(vars(FarSide(url=listening.url, body=pem(amazon.certificate))))
    settings.SNS_CERTIFICATE_MIRROR = listening.url
    yield listening
    certificates.forget()


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    def set_to(now: datetime) -> None:
        monkeypatch.setattr(inbox, "clock", lambda: now)

    set_to(NOW)
    return set_to


@pytest.fixture(autouse=True)
def topics_anew() -> None:
    """What another test's topic was is forgotten."""
    inbox.forget()


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The broker's side of the doorbell: what was sent, at once."""
    sent: list[str] = []
    monkeypatch.setattr(doorbell.current_app, "send_task", lambda name, **options: sent.append(name))
    monkeypatch.setattr(doorbell, "PAUSE", 0)
    return sent


@pytest.fixture
def topic(db: None) -> Any:
    from notifications.models import Topic

    return Topic.objects.create(arn=ARN)


@pytest.fixture
def door(certificate_server: FarSide, set_clock: Any) -> Post:
    """Posts to /sns/ as SNS does. A message is a dictionary or raw bytes; headers default to those that fit."""
    client = Client()

    def post(message: Any, headers: dict[str, str] | None = None, **extra: Any) -> HttpResponse:
        body = message if isinstance(message, bytes) else as_body(message)
        if headers is None:
            headers = as_headers(message) if isinstance(message, dict) else {}
        kind = headers.get("content-type", "text/plain")
        return client.post("/sns/", body, content_type=kind, headers=headers, **extra)

    return post


@pytest.fixture(scope="module")
def moto() -> Iterator[Any]:
    """AWS's SNS and SQS, played by moto: boto3's requests come to it instead of going out."""
    from moto import mock_aws

    with mock_aws() as played:
        yield played


@pytest.fixture
def empty_account(moto: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is at AWS yet."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    moto.reset()


@pytest.fixture
def aws(empty_account: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty account; AWS tells a topic's signature version, which moto keeps and does not tell."""
    from moto.sns.models import sns_backends
    from moto.sns.responses import SNSResponse

    settings.PUBLIC_URL = "https://crema.example"
    whole = SNSResponse.get_topic_attributes

    def telling(self: Any) -> Any:
        answer = whole(self)
        topic = sns_backends["123456789012"]["us-east-1"].topics[self._get_param("TopicArn")]
        answer.result["Attributes"]["SignatureVersion"] = getattr(topic, "signature_version", "1")
        return answer

    monkeypatch.setattr(SNSResponse, "get_topic_attributes", telling)
    return boto3.client("sns")


AS_LEFT: dict[str, Any] = {}


@pytest.fixture
def ready(aws: Any) -> Any:
    """A topic that `sns_setup --apply` has set up: the first time by itself, then account and row as that left them."""
    from moto.sns.models import sns_backends
    from moto.sqs.models import sqs_backends

    from notifications.models import Topic

    sns, sqs = (backends["123456789012"]["us-east-1"] for backends in (sns_backends, sqs_backends))
    if not AS_LEFT:
        setup("--apply")
        account = (sns.topics, sns.subscriptions, sqs.queues)
        # Each copy has topics, subscriptions and queues of its own; the backend that they lead back to, and locks, stay what they are.
        shared = {id(one): one for one in (sns, *(queue._messages_lock for queue in sqs.queues.values()))}
        AS_LEFT.update(account=copy.deepcopy(account, {**shared}), shared=shared, row=Topic.objects.values().get())
        return Topic.objects.get()
    sns.topics, sns.subscriptions, sqs.queues = copy.deepcopy(AS_LEFT["account"], {**AS_LEFT["shared"]})
    return Topic.objects.create(**AS_LEFT["row"])


@pytest.fixture(scope="session")
def smart_properties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hotel]:
    """Smart Properties, played by one sandbox for all tests of this process."""
    with sandbox(tmp_path_factory.mktemp("hotel")) as made:
        yield made


@pytest.fixture
def hotel(settings: Any, smart_properties: Hotel) -> Iterator[Hotel]:
    """Smart Properties with one Echo that is not set up yet, and nothing else."""
    point_at(settings, smart_properties)
    smart_properties.begin_anew()
    yield smart_properties
    asp_api.forget_token()


@pytest.fixture
def work() -> Callable[[], int]:
    """What the worker does when it is rung for."""
    from notifications import tasks

    return tasks.process
