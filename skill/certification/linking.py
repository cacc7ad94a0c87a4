"""Account linking: our pages and our OAuth server, as Alexa meets them (Alexa reference 8.1 to 8.3)."""

import requests

from skill.certification import Check, NotHere, Run, expect
from skill.certification.alexa import SECONDS, Json, error_of, short

TOKEN_SECONDS, SHORTEST_TOKEN = 4.5, 360


def https(run: Run) -> str:
    url = run.alexa.who.url
    if url.startswith(("http://127.0.0.1", "http://localhost")):
        raise NotHere(f"{url} is this machine")
    expect(url.startswith("https://") and url.count(":") == 1, f"{url} is not https on port 443")
    return url


def entrance(run: Run) -> str:
    """The first page that a customer sees is made for a phone and needs neither pop-up nor script."""
    answer = run.alexa.open(run.alexa.question()[0])
    expect(answer.is_redirect, f"HTTP {answer.status_code} instead of the way to the sign-in page")
    page = requests.get(requests.compat.urljoin(answer.url, answer.headers["Location"]), timeout=SECONDS)  # type: ignore[attr-defined]
    expect(page.status_code == 200, f"the sign-in page answers HTTP {page.status_code}")
    expect('name="viewport"' in page.text, "the sign-in page has no viewport for phones")
    odd = [sign for sign in ('target="_blank"', "window.open", "alert(", "onclick=") if sign in page.text]
    expect(not odd, f"the sign-in page has {', '.join(odd)}")
    return f"HTTP 200, viewport set, {len(page.content)} bytes, no pop-up"


def strangers(run: Run) -> str:
    for what, changes in {
        "redirect_uri": {"redirect_uri": "https://evil.example/"},
        "client_id": {"client_id": "stranger"},
    }.items():
        answer = run.alexa.open(run.alexa.question(**changes)[0])
        expect(not answer.is_redirect, f"a wrong {what} is redirected to {answer.headers.get('Location', '')[:80]}")
        expect(answer.status_code == 400, f"a wrong {what} is answered with HTTP {answer.status_code}")
    return "HTTP 400 without a redirect for a wrong address and a wrong client"


def linking(run: Run) -> str:
    """Sign in, consent, and back with the code and the state as it was."""
    asked, verifier = run.alexa.question()
    back = run.alexa.consent(asked)
    expect(back.get("state") == asked["state"], "state did not come back unchanged")
    expect(back.get("code"), f"no code came back: {back.get('error', '')}")
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": asked["redirect_uri"]}
    timed = run.alexa.token(**form, code_verifier=verifier)
    expect(timed.answer.status_code == 200, f"the code is answered with HTTP {timed.answer.status_code}")
    run.alexa.tokens = timed.answer.json()
    _tokens(run.alexa.tokens, timed.seconds)
    return f"state of {len(asked['state'])} characters unchanged, tokens with PKCE in {timed.seconds:.2f} s"


def _tokens(tokens: Json, seconds: float) -> None:
    expect(seconds < TOKEN_SECONDS, f"tokens came after {seconds:.1f} s; Alexa waits {TOKEN_SECONDS} s")
    missing = [key for key in ("access_token", "token_type", "expires_in", "refresh_token") if not tokens.get(key)]
    expect(not missing, f"the token answer lacks {', '.join(missing)}")
    expect(tokens["token_type"].lower() == "bearer", f"token_type is {tokens['token_type']}")
    expect(tokens["expires_in"] >= SHORTEST_TOKEN, f"expires_in is {tokens['expires_in']}")


def renewing(run: Run) -> str:
    """With HTTP Basic and with the credentials in the body; the token before keeps working."""
    if not run.alexa.tokens:
        raise NotHere("linking gave no tokens")
    before = run.alexa.tokens["access_token"]
    for basic in (True, False):
        form = {"grant_type": "refresh_token", "refresh_token": run.alexa.tokens["refresh_token"]}
        timed = run.alexa.token(basic=basic, **form)
        expect(timed.answer.status_code == 200, f"a renewal is answered with HTTP {timed.answer.status_code}")
        run.alexa.tokens |= timed.answer.json()
        expect(timed.seconds < TOKEN_SECONDS, f"renewed after {timed.seconds:.1f} s")
    answer = run.alexa.ask(run.alexa.directive("Alexa.Discovery", "Discover", token=before))
    expect(answer["event"]["header"]["name"] == "Discover.Response", "after a renewal the token before is refused")
    return "by HTTP Basic and in the body; a lost answer cuts nobody off"


def refusals(run: Run) -> str:
    wrong = {
        "a made-up refresh token": (
            run.alexa.token(grant_type="refresh_token", refresh_token="made-up"), 400, "invalid_grant",  # noqa: S106
        ),
        "a made-up code": (
            run.alexa.token(grant_type="authorization_code", code="made-up", redirect_uri=run.alexa.who.redirect_uri),
            400,
            "invalid_grant",
        ),
        "a wrong secret": (
            run.alexa.token(secret="wrong", grant_type="refresh_token", refresh_token="x"), 401, "invalid_client",  # noqa: S106
        ),
    }  # fmt: skip
    for what, (timed, status, error) in wrong.items():
        body = timed.answer.json() if timed.answer.content.startswith(b"{") else {}
        said = f"{what}: HTTP {timed.answer.status_code} {body.get('error')}, expected {status} {error}"
        expect((timed.answer.status_code, body.get("error")) == (status, error), said)
    return "invalid_grant (400) and invalid_client (401) where they belong"


def reuse(run: Run) -> str:
    """A second use of a code is refused and ends what the first gave (RFC 6749, 4.1.2)."""
    asked, verifier = run.alexa.question()
    form = {"grant_type": "authorization_code", "redirect_uri": asked["redirect_uri"], "code_verifier": verifier}
    form["code"] = run.alexa.consent(asked).get("code", "")
    first = run.alexa.token(**form).answer
    expect(first.status_code == 200, f"a second linking is answered with HTTP {first.status_code}")
    again = run.alexa.token(**form).answer
    expect(again.status_code == 400, f"a code that was used is answered with HTTP {again.status_code}")
    told = run.alexa.ask(run.alexa.directive("Alexa.Discovery", "Discover", token=first.json()["access_token"]))
    expect(
        error_of(told) == "INVALID_AUTHORIZATION_CREDENTIAL", f"a token of a code used twice is answered {short(told)}"
    )
    return "the second use is refused, and the tokens of the first have ended"


_CLIENT = "Compare client ID, secret and redirect addresses: manage.py create_alexa_client."
_LOG = "Look for `directive failed` in the portal's log."
CHECKS = (
    Check(
        "The portal is reached by https on port 443",
        "8.1",
        "Put a proxy with a certificate that Amazon accepts in front; set PUBLIC_URL.",
        https,
    ),
    Check(
        "The sign-in page is made for a phone, without pop-ups or script",
        "8.1",
        "Take out of templates/account what is named.",
        entrance,
    ),
    Check("Wrong clients and addresses are refused, never redirected", "8.2", _CLIENT, strangers),
    Check("A customer links: sign-in, consent, unchanged state, tokens", "8.2, 8.3", _CLIENT, linking),
    Check("Renewal works, both ways to authenticate", "8.3", _CLIENT, renewing),
    Check("The token endpoint refuses in OAuth's words", "8.3", _CLIENT, refusals),
    Check("A code works once", "8.3", _LOG, reuse),
)
