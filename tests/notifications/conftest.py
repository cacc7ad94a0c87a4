"""The door of the tests: Amazon with a certificate on a local server, a clock, a topic, and a way to post."""

import functools
import json
import logging
import os
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.test import Client

from notifications import certificates, doorbell, inbox
from tests.notifications.signing_amazon import ARN, NOW, Amazon, FarSide, as_body, as_headers, far_side, pem

Post = Callable[..., HttpResponse]


def shared_dir() -> Path:
    """Where Amazon's genuine messages are; they are not ours to publish, so they are no part of this repository."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("SHARED_DIR") or getattr(django_settings, "SHARED_DIR", "") or beside)


def genuine_cases() -> list[Any]:
    """Every case of the manifest as a parameter, or one that is skipped and says why."""
    manifest = shared_dir() / "samples" / "sns" / "genuine" / "manifest.json"
    if not manifest.exists():
        reason = f"Amazon's genuine messages are not here: {manifest} (SHARED_DIR says where to look)"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(case, id=case["id"]) for case in json.loads(manifest.read_text())["cases"]]


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of Amazon's genuine messages and certificates."""
    folder = shared_dir() / "samples" / "sns"
    if not folder.exists():
        pytest.skip(f"Amazon's genuine messages are not here: {folder} (SHARED_DIR says where to look)")
    return folder


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


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """AWS's SNS and SQS, played by moto on a free port. What it looks up anew for every request is looked up once."""
    from moto.core import responses
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication as Dispatcher
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    spelt, played = (
        functools.cache(responses.camelcase_to_underscores),
        functools.cache(Dispatcher.get_backend_for_host),
    )
    with (
        mock.patch.object(responses, "camelcase_to_underscores", spelt),
        mock.patch.object(Dispatcher, "get_backend_for_host", played),
    ):
        server.start()
        yield "http://{}:{}".format(*server.get_host_and_port())
        server.stop()


@pytest.fixture
def aws_far_side(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty AWS account, and boto3 told by its own variables where it is."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", moto_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", moto_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto_server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    urllib.request.urlopen(urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")).close()
    return moto_server


@pytest.fixture
def hotel(settings: Any, tmp_path: Path) -> Iterator[Any]:
    """Smart Properties, played by the sandbox, with one Echo that is not set up yet."""
    from notifications import asp_api
    from tests.notifications.hotel import point_at, sandbox

    with sandbox(tmp_path) as made:
        point_at(settings, made)
        made.begin_anew()
        yield made
    asp_api.forget_token()


@pytest.fixture
def work() -> Callable[[], int]:
    """What the worker does when it is rung for."""
    from notifications import tasks

    return tasks.process
