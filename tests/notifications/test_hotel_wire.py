"""What Smart Properties answers, as it really comes over the wire: in pieces, cut short, too long, page by page."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from notifications import asp_api
from notifications.asp_api import AspError
from tests.notifications.signing_amazon import FarSide, far_side

LONG = {"results": [{"id": f"c-{number}", "deliveryChannels": []} for number in range(5000)]}


@pytest.fixture
def amazon_api(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarSide]:
    """Amazon's API on a server that answers as told; our token is good for an hour."""
    with far_side() as side:
        settings.ASP_API_URL = settings.ASP_EVENTS_URL = side.url
        settings.LWA_TOKEN_URL = f"{side.url}/auth/o2/token"
        settings.ASP_CLIENT_ID = settings.ASP_CLIENT_SECRET = settings.ASP_REFRESH_TOKEN = "hotel"
        monkeypatch.setattr(asp_api, "_token", (float("inf"), "Atza|hotel"))
        yield side


def test_an_answer_of_many_pieces_is_read_whole(amazon_api: FarSide) -> None:
    amazon_api.body = json.dumps(LONG).encode()
    assert len(asp_api.listed("subscriptionConfigurations")) == 5000


@pytest.mark.parametrize(
    ("body", "words"), [(b'{"results": [', "not JSON"), (b"<html>", "not JSON"), (b" " * 1_100_000, "longer than")]
)
def test_a_success_that_cannot_be_read_is_asked_for_again(body: bytes, words: str, amazon_api: FarSide) -> None:
    amazon_api.body = body
    for ask in (lambda: asp_api.listed("subscriptions"), lambda: asp_api.endpoint("amzn1.alexa.endpoint.ECHO")):
        with pytest.raises(AspError, match=words) as refused:
            ask()
        assert refused.value.retry


def test_a_refusal_may_be_plain_text(amazon_api: FarSide) -> None:
    amazon_api.status, amazon_api.body = 400, b"Bad body."
    with pytest.raises(AspError, match="400: Bad body") as refused:
        asp_api.listed("subscriptions")
    assert not refused.value.retry


def test_an_unreadable_token_is_asked_for_again(amazon_api: FarSide) -> None:
    asp_api.forget_token()
    amazon_api.body = b'{"access_token": "Atza|'
    with pytest.raises(AspError) as refused:
        asp_api.user_id()
    assert refused.value.retry
