"""Authlib, a real OAuth client library, links, renews in parallel, loses an answer, and goes on."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from django.db import connections

from skill import oauth
from tests.skill.oauth_customer import REDIRECT, SECRET, allow, make_alexa

pytestmark = pytest.mark.django_db(transaction=True)


class LosesAnswers(requests.adapters.HTTPAdapter):
    """The request arrives; its answer does not."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        assert super().send(*args, **kwargs).status_code == 200
        raise requests.ConnectionError("the answer is lost")


@pytest.mark.parametrize("manner", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("challenge", ["S256", None], ids=["PKCE", "no PKCE"])
def test_link_renew_lose_and_go_on(live_server: Any, alice: Any, manner: str, challenge: str | None) -> None:
    from authlib.common.security import generate_token  # here, because most test processes never come here
    from authlib.integrations.requests_client import OAuth2Session

    make_alexa()
    verifier = {"code_verifier": generate_token(64)} if challenge else {}
    alexa = OAuth2Session(
        "alexa",
        SECRET,
        scope="alexa",
        redirect_uri=REDIRECT,
        token_endpoint_auth_method=manner,
        code_challenge_method=challenge,
    )
    address, state = alexa.create_authorization_url(f"{live_server}/o/authorize/", **verifier)
    back = allow(alice, address)
    token_url = f"{live_server}/o/token/"
    tokens = alexa.fetch_token(token_url, authorization_response=back, state=state, **verifier)
    assert oauth.customer(tokens["access_token"]) == alice

    def renew(_: int) -> str:
        with OAuth2Session("alexa", SECRET, token_endpoint_auth_method=manner) as machine:
            return str(machine.refresh_token(token_url, refresh_token=tokens["refresh_token"])["access_token"])

    with ThreadPoolExecutor(4) as machines:
        renewed = list(machines.map(renew, range(4)))
    assert len(set(renewed)) == 4
    assert all(oauth.customer(token) == alice for token in renewed)

    alexa.mount("http://", LosesAnswers())
    with pytest.raises(requests.ConnectionError):
        alexa.refresh_token(token_url, refresh_token=tokens["refresh_token"])
    assert oauth.customer(renew(0)) == alice
    connections.close_all()
