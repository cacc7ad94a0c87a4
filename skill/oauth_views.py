"""The three doors of our OAuth server: the page that asks for consent and the token endpoint, with a trace of each attempt, and the
revocation endpoint. What is given and refused stands in oauth.py, what the steps of the trace mean in diagnosis.py."""

import functools
import json
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from allauth.account.adapter import get_adapter
from django.contrib.auth.views import redirect_to_login
from django.db import Error, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.utils.http import MAX_URL_LENGTH
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauth2_provider.forms import AllowForm
from oauth2_provider.views import AuthorizationView, RevokeTokenView, TokenView
from oauthlib.oauth2.rfc6749 import errors

from devices.deadline import deadline
from skill import attempts, diagnosis, linking
from skill.models import Application, LinkingAttempt

log = logging.getLogger(__name__)
ANSWER_SECONDS = 4.0  # Alexa waits 4.5 for tokens (alexa reference 8.1)
LONGEST_ADDRESS = 1000  # characters; quoted in the address of another page they must fit into Django's MAX_URL_LENGTH
GRANT_TYPES = ("authorization_code", "refresh_token")
OF_NO_USE = ("nonce", "claims", "resource")  # words of OpenID Connect and RFC 8707; the library stores them unchecked


class ConsentForm(AllowForm):
    """The library's, without OF_NO_USE."""

    nonce = claims = resource = None


class Authorize(AuthorizationView):
    """GET and POST /o/authorize/. Always asks: a link that somebody sends must never link an account without its owner's click.

    A wrong client or return address is a page with a reference number, for strangers too, and never a redirect.
    """

    form_class = ConsentForm
    attempt: LinkingAttempt | None = None
    here = ""  # the address of this page, to come back to

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.here = request.get_full_path()
        _tidy(request)
        source = request.POST if request.method == "POST" else request.GET
        self.attempt = attempts.opened(source, request.user, get_adapter().get_client_ip(request))
        if len(self.here) > LONGEST_ADDRESS and attempts.keep(self.attempt, self.here.partition("?")[2]):
            self.here = f"{request.path}?attempt={self.attempt.key}"  # type: ignore[union-attr]
        if _holds_nul(request.GET) or _holds_nul(request.POST):
            return self.refuse(errors.InvalidRequestFatalError(description="It holds a NUL character."))
        return super().dispatch(request, *args, **kwargs)

    def handle_no_permission(self) -> HttpResponse:
        """Nobody is asked to sign in for a request that would be refused."""
        try:
            self.validate_authorization_request(self.request)
        except OAuthToolkitError as error:
            return self.error_response(error, application=None)
        if len(self.here) > MAX_URL_LENGTH:  # and it could not be kept: the customer would get lost after signing in
            return self.refuse(
                errors.TemporarilyUnavailableError(description="too many begin to link", status_code=503)
            )
        return redirect_to_login(self.here, self.get_login_url(), self.get_redirect_field_name())

    def form_valid(self, form: ConsentForm) -> HttpResponse:
        """Hidden fields can be tampered with, and the library checks only what is allowed before it sends anybody anywhere."""
        client = Application.objects.filter(client_id=form.cleaned_data["client_id"]).first()
        if client is None:
            return self.refuse(errors.InvalidClientIdError())
        if not client.redirect_uri_allowed(form.cleaned_data["redirect_uri"]):
            return self.refuse(errors.MismatchingRedirectURIError())
        return super().form_valid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """`linked`: the link that allowing replaces."""
        return super().get_context_data(linked=linking.active_grant(self.request.user), **kwargs)

    def redirect(self, redirect_to: str, application: Any) -> HttpResponse:
        """Back to Alexa: with a code, or with the customer's no."""
        answer = {name: values[0] for name, values in parse_qs(urlsplit(redirect_to).query).items()}
        if code := answer.get("code"):
            attempts.allowed(self.attempt, code)
        elif answer.get("error") == "access_denied":
            attempts.failed(self.attempt, "denied")
        return super().redirect(redirect_to, application)

    def refuse(self, error: errors.OAuth2Error) -> HttpResponse:
        """The page that stays where it is."""
        return self.error_response(FatalClientError(error=error), application=None)

    def error_response(self, error: OAuthToolkitError, application: Any, **kwargs: Any) -> HttpResponse:
        said = error.oauthlib_error
        if said.error != "access_denied":
            cause = diagnosis.cause_of_request(said.error, said.description or "")
            attempts.failed(self.attempt, cause, f"{said.error}: {said.description or ''}")
        reference = self.attempt.reference if self.attempt else ""
        return super().error_response(error, application, reference=reference, **kwargs)


def _tidy(request: HttpRequest) -> None:
    """Leave of the query what the library shall see, as it can read it: it fails on a stray percent sign."""
    if key := request.GET.get("attempt"):
        request.META["QUERY_STRING"] = attempts.kept(key)
    asked = QueryDict(request.META["QUERY_STRING"], mutable=True)
    for name in ("approval_prompt", "prompt", *OF_NO_USE):  # the first two: to be asked less, or elsewhere
        asked.pop(name, None)
    request.GET = asked
    request.META["QUERY_STRING"] = asked.urlencode()


def _in_time(post: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A client's request is answered within ANSWER_SECONDS, or a database pool's patience, whatever happens. What the library cannot
    read is invalid_request. Our own trouble is 503, never a refusal: an invalid_grant would cost the customer the link."""

    @functools.wraps(post)
    def answer(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.META["QUERY_STRING"] or _holds_nul(request.POST):
            return _refusal("invalid_request", 400)
        try:
            with deadline(ANSWER_SECONDS):
                return post(self, request, *args, **kwargs)
        except Error:
            log.exception("%s: the database does not answer", request.path)
            return _refusal("temporarily_unavailable", 503)
        except Exception:
            log.exception("%s failed", request.path)
            return _refusal("server_error", 503)

    return answer


class TokenEndpoint(TokenView):
    """POST /o/token/: codes and refresh tokens only; the library's other flows are closed."""

    @_in_time
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        started = time.monotonic()
        if request.POST.get("grant_type") not in GRANT_TYPES:
            return _refusal("unsupported_grant_type", 400)
        with transaction.atomic():  # what is checked (oauth.py locks it) is what is used up
            response = self.authorization_flow_token_response(request, *args, **kwargs)
        _trace(request.POST, response, round((time.monotonic() - started) * 1000))
        return response


class RevokeEndpoint(RevokeTokenView):
    """POST /o/revoke_token/ (RFC 7009): all that the token stands for ends, or nothing."""

    @_in_time
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with transaction.atomic():
            return super().post(request, *args, **kwargs)


def _holds_nul(asked: QueryDict) -> bool:
    """PostgreSQL stores none, and answers with an error of its own."""
    return any("\0" in text for name, texts in asked.lists() for text in (name, *texts))


def _refusal(error: str, status: int) -> HttpResponse:
    return JsonResponse({"error": error}, status=status, headers={"Cache-Control": "no-store"})


def _trace(form: Any, response: HttpResponse, milliseconds: int) -> None:
    """Codes only: renewals are a thousand times as many and tell nothing of linking."""
    if form["grant_type"] != "authorization_code" or not form.get("code"):
        return
    if response.status_code == 200:
        attempts.redeemed(form["code"], milliseconds)
    else:
        attempts.not_redeemed(form, str(json.loads(response.content or b"{}").get("error", response.status_code)))
