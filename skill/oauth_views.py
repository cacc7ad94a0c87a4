"""The two doors of our OAuth server, with a trace of each attempt: the page that asks for consent, and the token endpoint. What is
given and refused stands in oauth.py, what the steps of the trace mean in diagnosis.py."""

import json
import logging
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from allauth.account.adapter import get_adapter
from django.contrib.auth.views import redirect_to_login
from django.db import Error, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.utils.http import MAX_URL_LENGTH
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauth2_provider.views import AuthorizationView, TokenView
from oauthlib.oauth2.rfc6749.errors import TemporarilyUnavailableError

from devices.deadline import deadline
from skill import attempts, diagnosis, linking
from skill.models import LinkingAttempt

log = logging.getLogger(__name__)
ANSWER_SECONDS = 4.0  # Alexa waits 4.5 for tokens (alexa reference 8.1)
LONGEST_ADDRESS = 1000  # characters; quoted in the address of another page they must fit into Django's MAX_URL_LENGTH
GRANT_TYPES = ("authorization_code", "refresh_token")


class Authorize(AuthorizationView):
    """GET and POST /o/authorize/. Always asks: a link that somebody sends must never link an account without its owner's click.

    A wrong client or return address is a page with a reference number, for strangers too, and never a redirect.
    """

    attempt: LinkingAttempt | None = None
    here = ""  # the address of this page, to come back to

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.here = request.get_full_path()
        if key := request.GET.get("attempt"):
            request.META["QUERY_STRING"] = attempts.kept(key)
        asked = QueryDict(request.META["QUERY_STRING"], mutable=True)
        for name in ("approval_prompt", "prompt"):  # the library's ways to be asked less, or elsewhere
            asked.pop(name, None)
        request.GET = asked
        source = request.POST if request.method == "POST" else request.GET
        self.attempt = attempts.opened(source, request.user, get_adapter().get_client_ip(request))
        if len(self.here) > LONGEST_ADDRESS and attempts.keep(self.attempt, self.here.partition("?")[2]):
            self.here = f"{request.path}?attempt={self.attempt.key}"  # type: ignore[union-attr]
        return super().dispatch(request, *args, **kwargs)

    def handle_no_permission(self) -> HttpResponse:
        """Nobody is asked to sign in for a request that would be refused."""
        try:
            self.validate_authorization_request(self.request)
        except OAuthToolkitError as error:
            return self.error_response(error, application=None)
        if len(self.here) > MAX_URL_LENGTH:  # and it could not be kept: the customer would get lost after signing in
            crowded = TemporarilyUnavailableError(description="too many begin to link", status_code=503)
            return self.error_response(FatalClientError(error=crowded), application=None)
        return redirect_to_login(self.here, self.get_login_url(), self.get_redirect_field_name())

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

    def error_response(self, error: OAuthToolkitError, application: Any, **kwargs: Any) -> HttpResponse:
        said = error.oauthlib_error
        if said.error != "access_denied":
            cause = diagnosis.cause_of_request(said.error, said.description or "")
            attempts.failed(self.attempt, cause, f"{said.error}: {said.description or ''}")
        reference = self.attempt.reference if self.attempt else ""
        return super().error_response(error, application, reference=reference, **kwargs)


class TokenEndpoint(TokenView):
    """POST /o/token/: codes and refresh tokens only; the library's other flows are closed.

    Answers within ANSWER_SECONDS, or a database pool's patience, whatever happens. Our own trouble is 503, never a refusal: an
    invalid_grant would cost the customer the link.
    """

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        started = time.monotonic()
        if any("\0" in text for pair in request.POST.items() for text in pair):
            return _refusal("invalid_request", 400)
        if request.POST.get("grant_type") not in GRANT_TYPES:
            return _refusal("unsupported_grant_type", 400)
        try:
            with deadline(ANSWER_SECONDS):
                with transaction.atomic():  # what is checked (oauth.py locks it) is what is used up
                    response = self.authorization_flow_token_response(request, *args, **kwargs)
                _trace(request.POST, response, round((time.monotonic() - started) * 1000))
            return response
        except Error:
            log.exception("token endpoint: the database does not answer")
            return _refusal("temporarily_unavailable", 503)
        except Exception:
            log.exception("token endpoint failed")
            return _refusal("server_error", 503)


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
