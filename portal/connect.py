"""The customer's page about Alexa, and linking from it (app-to-app, alexa reference 8.4): to Amazon and back.

Only who began here, in this browser, may come back: `state` is bound to the session and works once. The wire is
`skill.enablement`'s.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import secrets

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from portal.alexa_link import alexa_page
from skill import attempts, diagnosis, enablement, linking
from skill.models import LinkingAttempt

log = logging.getLogger(__name__)
KEPT_AS = "alexa_connect"  # in the session
_PHONE = re.compile(r"Android|iPhone|iPad|iPod", re.IGNORECASE)


@require_safe
@login_required
def alexa(request: HttpRequest) -> HttpResponse:
    """How the link stands and what to do."""
    on_a_phone = bool(_PHONE.search(request.headers.get("User-Agent", "")))
    return render(request, "portal/alexa.html", alexa_page(request.user, on_a_phone=on_a_phone))


@require_POST
@login_required
def begin(request: HttpRequest) -> HttpResponse:
    """To Amazon: the Alexa app, or with `via=web` Amazon's own page. An earlier begin of this browser is forgotten."""
    if not enablement.configured():
        return redirect("alexa")
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    asked = {"client_id": settings.ALEXA_CLIENT_ID, "redirect_uri": enablement.return_address(), "state": state}
    attempt = attempts.begin_here(request.user, asked, get_adapter().get_client_ip(request))
    request.session[KEPT_AS] = {"state": state, "verifier": verifier, "attempt": attempt.pk if attempt else None}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return HttpResponseRedirect(enablement.address(state, challenge, app=request.POST.get("via") != "web"))


@never_cache
@require_safe
@login_required
def returned(request: HttpRequest) -> HttpResponse:
    """Back from Amazon, with a code or with a no. Then to the page about Alexa, so that loading again repeats nothing."""
    try:
        with enablement.place():
            _finish(request)
    except enablement.Busy:  # nothing was used up; the page loads itself again
        page = render(request, "portal/connecting.html", status=503)
        page["Retry-After"] = page["Refresh"] = "3"
        return page
    return redirect("alexa")


def _finish(request: HttpRequest) -> None:
    began = request.session.get(KEPT_AS) or {}
    attempt = LinkingAttempt.objects.filter(pk=began.get("attempt"), user=request.user).first()
    if not (began and constant_time_compare(request.GET.get("state", ""), began["state"])):
        _not_ours(request, attempt)
        return
    del request.session[KEPT_AS]
    request.session.save()  # used up before anything is waited for
    if (code := request.GET.get("code", "")) and code.isprintable():
        _connect(request, attempt, code, began["verifier"])
    else:
        said = f"{request.GET.get('error', 'no code')}: {request.GET.get('error_description', '')}"
        _say_no(request, attempt, "amazon_said_no", said)


def _not_ours(request: HttpRequest, attempt: LinkingAttempt | None) -> None:
    """Somebody's forged link uses nothing up; a page that is loaded again after it worked is no failure."""
    if attempt is None and linking.active_grant(request.user):
        messages.info(request, "You are connected already.")
    else:
        _say_no(request, attempt, "state_unknown", "")


def _connect(request: HttpRequest, attempt: LinkingAttempt | None, code: str, verifier: str) -> None:
    try:
        enablement.connect(request.user, code, verifier, attempt)
    except enablement.NotConnected as error:
        log.warning("not connected user=%s cause=%s: %s", request.user.pk, error.cause, error)
        _say_no(request, attempt, error.cause, str(error))
    else:
        messages.success(request, "Alexa is connected and now asks for your devices.")


def _say_no(request: HttpRequest, attempt: LinkingAttempt | None, cause: str, said: str) -> None:
    attempts.failed(attempt, cause, said)
    reference = f" Reference: {attempt.reference}" if attempt else ""
    messages.error(request, diagnosis.CAUSES[cause].customer + reference)


@require_POST
@login_required
def check(request: HttpRequest) -> HttpResponse:
    """Ask Amazon how the skill stands for this customer, and say it."""
    try:
        with enablement.place():
            standing = enablement.standing(request.user)
    except (enablement.NotConnected, enablement.Busy):
        messages.warning(request, "Amazon did not answer. Please try again in some minutes.")
    else:
        _say_standing(request, standing)
    return redirect("alexa")


def _say_standing(request: HttpRequest, standing: enablement.Standing | None) -> None:
    if standing is None:
        messages.info(request, "Amazon does not let us ask. Look in the Alexa app: More, Skills & Games, Your Skills.")
    elif standing.enabled:
        messages.success(request, f"Amazon says that the skill is enabled ({standing.words}).")
    else:
        messages.warning(request, "Amazon says that the skill is not enabled. Connect to Alexa again.")
