"""Our OAuth2 server as Alexa uses it, through its real addresses; and the attacks on it."""

import base64
import hashlib
import threading
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.db import connection, connections
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Grant, RefreshToken

from skill import enablement, oauth
from skill.alexa.errors import AlexaError, ExpiredCredential
from skill.models import Application

SECRET = "a-long-random-secret-of-our-own-making"
REDIRECT = "https://layla.amazon.com/api/skill/link/M1VENDOR"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()

pytestmark = pytest.mark.django_db


@pytest.fixture
def alexa(db: None) -> Application:
    return Application.objects.create(
        name="Alexa",
        client_id="alexa",
        client_secret=SECRET,
        client_type="confidential",
        authorization_grant_type="authorization-code",
        redirect_uris=" ".join(oauth.redirect_addresses("M1VENDOR")),
    )


@pytest.fixture
def browser(alice: Any) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def question(**changes: str) -> dict[str, str]:
    """What Alexa asks."""
    query = {
        "response_type": "code",
        "client_id": "alexa",
        "redirect_uri": REDIRECT,
        "scope": "alexa",
        "state": "opaque",
    } | changes
    return {key: value for key, value in query.items() if value}


def consent(browser: Client, **changes: str) -> Any:
    """The customer sees the page, if there is one, and clicks Allow; the answer."""
    page = browser.get("/o/authorize/", question(**changes))
    return click(browser, **changes) if page.status_code == 200 else page


def click(browser: Client, **changes: str) -> Any:
    query = question(**changes)
    return browser.post("/o/authorize/?" + urlencode(query), query | {"allow": "Authorize"})


def allowed(browser: Client, **changes: str) -> str:
    """The code that her click gives."""
    return code_of(click(browser, **changes))


def code_of(answer: Any) -> str:
    assert answer.status_code == 302, answer.content
    return parse_qs(urlsplit(answer["Location"]).query)["code"][0]


def redeem(code: str, how: str = "form", **changes: str) -> Any:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT} | changes
    return post_token(form, how)


def renew(refresh_token: str, how: str = "form") -> Any:
    return post_token({"grant_type": "refresh_token", "refresh_token": refresh_token}, how)


def post_token(form: dict[str, str], how: str, secret: str = SECRET, client_id: str = "alexa") -> Any:
    headers = {}
    if how == "basic":
        headers = {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}
    else:
        form = form | {"client_id": client_id, "client_secret": secret}
    return Client().post(
        "/o/token/", urlencode(form), content_type="application/x-www-form-urlencoded", headers=headers
    )


def works(token: str) -> bool:
    try:
        oauth.customer(token)
    except AlexaError:
        return False
    return True


@pytest.mark.parametrize("how", ["form", "basic"])
def test_the_whole_way(alexa: Application, browser: Client, alice: Any, how: str) -> None:
    answer = redeem(code_of(consent(browser)), how)
    body = answer.json()
    assert answer.status_code == 200
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 3600
    assert oauth.customer(body["access_token"]) == alice
    renewed = renew(body["refresh_token"], how).json()
    assert oauth.customer(renewed["access_token"]) == alice
    assert renewed["refresh_token"] == body["refresh_token"], "the refresh token must not rotate"
    assert works(body["access_token"]), "an earlier access token lives until it runs out"


def test_all_three_redirect_addresses(alexa: Application, browser: Client) -> None:
    for address in oauth.redirect_addresses("M1VENDOR"):
        answer = click(browser, redirect_uri=address)
        assert answer["Location"].startswith(address + "?"), address
        assert redeem(code_of(answer), redirect_uri=address).status_code == 200, address


def test_state_comes_back_unchanged(alexa: Application, browser: Client) -> None:
    for state in ["x", "a b+c/d=é&%", "s" * 3000]:
        assert parse_qs(urlsplit(consent(browser, state=state)["Location"]).query)["state"] == [state]


def test_tokens_are_hashed_at_rest(alexa: Application, browser: Client) -> None:
    body = redeem(allowed(browser)).json()
    renewed = renew(body["refresh_token"]).json()
    with connection.cursor() as cursor:
        for table in (
            "oauth2_provider_accesstoken",
            "oauth2_provider_refreshtoken",
            "skill_application",
            "skill_redeemedcode",
        ):
            cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
            text = cursor.fetchone()[0]
            for secret in (body["access_token"], body["refresh_token"], renewed["access_token"], SECRET):
                assert secret not in text, table


def test_an_access_token_that_expired_says_so_and_a_refresh_token_does_not_expire_by_age(
    alexa: Application, browser: Client
) -> None:
    body = redeem(allowed(browser)).json()
    AccessToken.objects.update(expires=timezone.now())
    with pytest.raises(ExpiredCredential):
        oauth.customer(body["access_token"])
    long_ago = timezone.now() - timedelta(days=4000)
    RefreshToken.objects.update(created=long_ago)
    AccessToken.objects.update(created=long_ago, expires=long_ago)
    oauth.forget_expired()
    assert works(renew(body["refresh_token"]).json()["access_token"])


@pytest.mark.django_db(transaction=True)
def test_renewals_at_once_all_work(alexa: Application, browser: Client) -> None:
    refresh_token = redeem(allowed(browser)).json()["refresh_token"]
    answers: list[Any] = []
    ready = threading.Barrier(4)

    def alexas_machine() -> None:
        ready.wait()
        answers.append(renew(refresh_token))
        connections.close_all()

    machines = [threading.Thread(target=alexas_machine) for _ in range(4)]
    [machine.start() for machine in machines]
    [machine.join() for machine in machines]
    assert [answer.status_code for answer in answers] == [200] * 4
    tokens = {answer.json()["access_token"] for answer in answers}
    assert len(tokens) == 4
    assert all(works(token) for token in tokens)


def test_a_deactivated_customer_is_out_at_once(alexa: Application, browser: Client, alice: Any) -> None:
    code = allowed(browser)
    body = redeem(allowed(browser)).json()
    alice.is_active = False
    alice.save()
    assert not works(body["access_token"])
    assert renew(body["refresh_token"]).json()["error"] == "invalid_grant"
    assert redeem(code).json()["error"] == "invalid_grant"


class TestPkce:
    def test_s256_is_checked(self, alexa: Application, browser: Client) -> None:
        code = allowed(browser, code_challenge=CHALLENGE, code_challenge_method="S256")
        assert redeem(code, code_verifier="w" * 64).json()["error"] == "invalid_grant"
        assert redeem(code).status_code == 400
        assert redeem(code, code_verifier=VERIFIER).status_code == 200

    def test_plain_is_refused_before_the_customer_is_asked(self, alexa: Application, browser: Client) -> None:
        for method in ["plain", "", "S512"]:
            answer = consent(browser, code_challenge=VERIFIER, code_challenge_method=method)
            assert answer.status_code == 302, method
            assert "error=invalid_request" in answer["Location"], method
        assert not Grant.objects.exists()

    def test_a_verifier_without_a_challenge_is_refused(self, alexa: Application, browser: Client) -> None:
        assert redeem(allowed(browser), code_verifier=VERIFIER).json()["error"] == "invalid_grant"

    def test_a_client_that_must_use_it(self, alexa: Application, browser: Client) -> None:
        alexa.pkce_required = True
        alexa.save()
        assert "error=invalid_request" in consent(browser)["Location"]
        code = allowed(browser, code_challenge=CHALLENGE, code_challenge_method="S256")
        assert redeem(code, code_verifier=VERIFIER).status_code == 200


class TestAttacks:
    def test_a_code_used_twice_revokes_what_it_gave(self, alexa: Application, browser: Client) -> None:
        code = allowed(browser)
        body = redeem(code).json()
        renewed = renew(body["refresh_token"]).json()
        assert redeem(code).json()["error"] == "invalid_grant"
        assert not works(body["access_token"])
        assert not works(renewed["access_token"])
        assert renew(body["refresh_token"]).json()["error"] == "invalid_grant"

    @pytest.mark.django_db(transaction=True)
    def test_a_code_used_by_two_at_once_serves_at_most_one(self, alexa: Application, browser: Client) -> None:
        code = allowed(browser)
        answers: list[Any] = []
        ready = threading.Barrier(2)

        def redeem_it() -> None:
            ready.wait()
            answers.append(redeem(code))
            connections.close_all()

        both = [threading.Thread(target=redeem_it) for _ in range(2)]
        [one.start() for one in both]
        [one.join() for one in both]
        assert sorted(answer.status_code for answer in answers) == [200, 400], [answer.content for answer in answers]

    def test_codes_and_tokens_are_only_for_the_client_and_the_address_that_they_were_given_to(
        self, alexa: Application, browser: Client
    ) -> None:
        """And what is refused is not used up."""
        Application.objects.create(
            client_id="mallory",
            client_secret=SECRET,
            client_type="confidential",
            authorization_grant_type="authorization-code",
            redirect_uris=REDIRECT,
        )
        form = {"grant_type": "authorization_code", "code": allowed(browser), "redirect_uri": REDIRECT}
        assert post_token(form, "form", client_id="mallory").json()["error"] == "invalid_grant"
        for how in ("form", "basic"):
            answer = post_token(form, how, secret="guess")
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), how
        assert redeem(form["code"], redirect_uri=oauth.redirect_addresses("M1VENDOR")[0]).status_code == 400
        token = redeem(form["code"]).json()["refresh_token"]
        form = {"grant_type": "refresh_token", "refresh_token": token}
        assert post_token(form, "form", client_id="mallory").json()["error"] == "invalid_grant"
        assert works(renew(token).json()["access_token"])

    def test_a_wrong_address_or_client_is_shown_and_not_followed(self, alexa: Application, browser: Client) -> None:
        addresses = [
            "https://evil.example/cb",
            REDIRECT + "/../x",
            REDIRECT + "?x=1",
            "http://layla.amazon.com/api/skill/link/M1VENDOR",
            "javascript:alert(1)",
            REDIRECT + "X",
        ]
        for changes in [{"client_id": "nobody"}, *({"redirect_uri": address} for address in addresses)]:
            answer = consent(browser, **changes)
            assert (answer.status_code, "Location" in answer) == (400, False), changes

    def test_consent_cannot_be_forged(self, alexa: Application, alice: Any) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(alice)
        answer = browser.post(
            "/o/authorize/",
            {"client_id": "alexa", "allow": "Authorize", "redirect_uri": REDIRECT, "response_type": "code"},
        )
        assert answer.status_code == 403
        assert not Grant.objects.exists()

    def test_a_link_cannot_consent_in_her_place(self, alexa: Application, browser: Client) -> None:
        """Somebody's link with the state of his own Alexa, opened by a customer who is linked already."""
        redeem(allowed(browser))
        for trick in [{"approval_prompt": "auto"}, {"prompt": "none"}, {"prompt": "login"}]:
            assert browser.get("/o/authorize/", question(state="his") | trick).status_code == 200, trick
        assert not Grant.objects.exists()

    def test_sign_in_leads_nowhere_else(self, alexa: Application, alice: Any) -> None:
        for target in ("https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)"):
            form = {"login": alice.email, "password": "correct horse battery", "next": target}
            assert Client().post("/accounts/login/", form)["Location"] == "/"

    def test_a_refresh_token_of_a_link_that_ended(self, alexa: Application, browser: Client, alice: Any) -> None:
        """Replayed for ever: refused for ever, and nothing of it lives."""
        body = redeem(allowed(browser)).json()
        renewed = renew(body["refresh_token"]).json()["access_token"]
        oauth.revoke_all(alice)
        for _ in range(2):
            assert renew(body["refresh_token"]).json()["error"] == "invalid_grant"
        assert not works(body["access_token"])
        assert not works(renewed)

    def test_consent_cannot_be_framed(self, alexa: Application, browser: Client) -> None:
        page = browser.get(
            "/o/authorize/", {"response_type": "code", "client_id": "alexa", "redirect_uri": REDIRECT, "scope": "alexa"}
        )
        assert page["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in page["Content-Security-Policy"]

    def test_other_grants_are_closed(self, alexa: Application, alice: Any) -> None:
        device = "urn:ietf:params:oauth:grant-type:device_code"
        for grant_type in ["password", "client_credentials", "implicit", "", device]:
            form = {"username": alice.email, "password": "correct horse battery", "scope": "alexa"}
            assert 400 <= post_token(form | {"grant_type": grant_type}, "form").status_code < 500, grant_type
        assert not AccessToken.objects.exists()

    def test_the_implicit_answer_is_closed(self, alexa: Application, browser: Client) -> None:
        assert "access_token" not in consent(browser, response_type="token").get("Location", "")

    def test_denied(self, alexa: Application, browser: Client) -> None:
        query = {
            "response_type": "code",
            "client_id": "alexa",
            "redirect_uri": REDIRECT,
            "scope": "alexa",
            "state": "s",
        }
        answer = browser.post("/o/authorize/?" + urlencode(query), query)
        assert answer["Location"].startswith(REDIRECT)
        assert "error=access_denied" in answer["Location"]
        assert "state=s" in answer["Location"]

    def test_a_stranger_is_asked_to_sign_in_and_comes_back(self, alexa: Application) -> None:
        query = urlencode(
            {
                "response_type": "code",
                "client_id": "alexa",
                "redirect_uri": REDIRECT,
                "scope": "alexa",
                "state": "s" * 2000,
            }
        )
        answer = Client().get("/o/authorize/?" + query)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/?next=")

    @pytest.mark.parametrize("which", ["refresh_token", "access_token", "renewed"])
    def test_revoking_ends_everything(self, alexa: Application, browser: Client, which: str) -> None:
        body = redeem(allowed(browser)).json()
        body["renewed"] = renew(body["refresh_token"]).json()["access_token"]
        form = {"token": body[which], "client_id": "alexa", "client_secret": SECRET}
        assert Client().post("/o/revoke_token/", form).status_code == 200
        assert not works(body["access_token"])
        assert not works(body["renewed"])
        assert renew(body["refresh_token"]).json()["error"] == "invalid_grant"


class TestLinkingAgain:
    def test_the_last_link_replaces_what_we_gave_before(self, alexa: Application, browser: Client) -> None:
        first = redeem(allowed(browser)).json()
        renewed = renew(first["refresh_token"]).json()["access_token"]
        second = redeem(allowed(browser)).json()
        assert works(first["access_token"]), "until AcceptGrant says that the second link is made"
        oauth.supersede(renew(second["refresh_token"]).json()["access_token"])
        assert works(second["access_token"])
        assert not works(first["access_token"])
        assert not works(renewed)
        assert renew(first["refresh_token"]).json()["error"] == "invalid_grant"
        assert renew(second["refresh_token"]).status_code == 200

    def test_a_late_accept_grant_of_the_first_takes_nothing_from_the_second(
        self, alexa: Application, browser: Client, bob: Any
    ) -> None:
        first = redeem(allowed(browser)).json()
        second = redeem(allowed(browser)).json()
        his = Client()
        his.force_login(bob)
        bobs = redeem(allowed(his)).json()
        oauth.supersede(first["access_token"])
        oauth.supersede("guess")
        assert all(works(body["access_token"]) for body in (first, second, bobs))

    def test_unlinking_ends_what_was_given_before_it_and_not_what_came_after(
        self, alexa: Application, browser: Client, alice: Any
    ) -> None:
        first = redeem(allowed(browser)).json()
        then = timezone.now()
        second = redeem(allowed(browser)).json()
        oauth.revoke_all(alice, before=then)
        assert not works(first["access_token"])
        assert works(second["access_token"])


def test_create_alexa_client_prints_what_the_console_wants(db: None, capsys: Any) -> None:
    from django.core.management import call_command

    call_command("create_alexa_client", "--vendor-id", "M1VENDOR", "--client-id", "alexa-na")
    printed = capsys.readouterr().out
    client = Application.objects.get(client_id="alexa-na")
    for line in ["/o/authorize/", "/o/token/", "/alexa/return/", "alexa-na", *oauth.redirect_addresses("M1VENDOR")]:
        assert line in printed
    secret = next(line.split()[-1] for line in printed.splitlines() if "Your secret" in line)
    assert len(secret) == 128
    assert secret not in client.client_secret


def test_a_client_that_exists_gets_the_addresses_that_it_lacks_and_keeps_its_secret(db: None, capsys: Any) -> None:
    from django.core.management import call_command

    def run(*options: str) -> tuple[str, Application]:
        call_command("create_alexa_client", "--vendor-id", "M1VENDOR", *options)
        return capsys.readouterr().out, Application.objects.get(client_id="alexa")

    def kept(client: Application) -> tuple[str, str, bool]:
        return client.client_secret, client.redirect_uris, client.pkce_required

    _, made = run("--pkce")
    old = " ".join([*oauth.redirect_addresses("M1VENDOR"), "https://app.nordkap.example/back"])
    Application.objects.update(redirect_uris=old)
    printed, mended = run()
    assert "the one that is there" in printed
    assert set(mended.redirect_uris.split()) == {*old.split(), enablement.return_address()}
    assert (mended.client_secret, mended.pkce_required) == (made.client_secret, True)
    assert kept(run()[1]) == kept(mended), "twice changes nothing"
    printed, renewed = run("--new-secret", "--no-pkce")
    assert "is shown this once" in printed
    assert renewed.client_secret != mended.client_secret
    assert (renewed.redirect_uris, renewed.pkce_required) == (mended.redirect_uris, False)


def test_two_clients_for_one_return_address_are_warned_of(db: None, capsys: Any) -> None:
    from django.core.management import call_command

    call_command("create_alexa_client", "--vendor-id", "M1VENDOR", "--client-id", "alexa-live")
    assert "goes by" not in capsys.readouterr().err
    call_command("create_alexa_client", "--vendor-id", "M1VENDOR", "--client-id", "alexa-trial")
    said = capsys.readouterr().err
    assert "alexa-live has your return address, too" in said
    assert "goes by alexa-trial" in said
