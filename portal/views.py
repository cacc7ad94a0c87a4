"""The customer's pages: home, my devices, one device, adding one, orders, account; and the pages for when it fails.

Views only ask and answer: what a page shows is put together in `portal.pages`, what changes anything is a verb of
`devices.registry`. Only its owner sees a device; for anyone else it does not exist (404, never 403).
"""

from __future__ import annotations

import logging
import re

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from devices import registry
from devices.attempts import allow
from devices.models import SERIAL_PATTERN, Device
from portal import leaving, pages
from portal.alexa_link import link_card
from portal.forms import AccountForm, AddDeviceForm, DeleteAccountForm, RenameForm
from skill import linking

log = logging.getLogger(__name__)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Signed out: what this is. Signed in: what runs low, what was ordered, whether Alexa is linked."""
    if not request.user.is_authenticated:
        return render(request, "portal/welcome.html")
    return render(request, "portal/home.html", pages.home(request.user, timezone.now()))


@require_safe
@login_required
def devices(request: HttpRequest) -> HttpResponse:
    """All of the customer's devices with their levels."""
    return render(request, "portal/devices.html", pages.devices(request.user))


@require_safe
@login_required
def device(request: HttpRequest, serial: str) -> HttpResponse:
    """One device: levels, history, orders, Alexa."""
    return _device_page(request, _owned(request, serial))


@require_POST
@login_required
def rename_device(request: HttpRequest, serial: str) -> HttpResponse:
    """Give the device another name; the page again with the reason when the name is refused."""
    found = _owned(request, serial)
    form = RenameForm(request.POST)
    if not form.is_valid():
        return _device_page(request, found, form, status=400)
    try:
        renamed = registry.rename(found, form.cleaned_data["name"])
    except registry.NameRefused as refusal:
        form.add_error("name", str(refusal))
        return _device_page(request, _owned(request, serial), form, status=400)
    messages.success(request, f"This device is now called “{renamed.name}”.")
    return redirect("device", serial=serial)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def release_device(request: HttpRequest, serial: str) -> HttpResponse:
    """GET asks whether the customer is sure; POST removes the device from the account."""
    found = _owned(request, serial)
    if request.method != "POST":
        return render(request, "portal/release_device.html", {"device": found})
    name = found.name
    registry.release(found)
    messages.success(request, f"“{name}” is no longer in your account.")
    return redirect("devices")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def add_device(request: HttpRequest) -> HttpResponse:
    """Claim a device. A refusal says the same thing whatever its cause, so that it tells nothing to strangers.

    The QR code on the label leads here with ``serial`` and ``code``: it fills the form in, and the customer presses Add.
    """
    form = AddDeviceForm(request.POST) if request.method == "POST" else AddDeviceForm.from_label(request.GET)
    if request.method == "POST" and form.is_valid():
        typed, address = form.cleaned_data, get_adapter().get_client_ip(request)
        try:
            claimed = registry.claim(request.user, typed["serial_number"], typed["claim_code"], address=address)
        except registry.ClaimRefused as refusal:
            return _claim_refused(request, form, refusal)
        messages.success(request, f"“{claimed.name}” is now in your account.")
        return redirect("device", serial=claimed.serial_number)
    context = {"form": form, "from_label": bool(form.initial)}
    return render(request, "portal/add_device.html", context, status=400 if form.errors else 200)


@require_safe
@login_required
def orders(request: HttpRequest) -> HttpResponse:
    """Every order that Amazon placed for the customer's devices, newest first."""
    return render(request, "portal/orders.html", pages.orders(request.user, timezone.now(), request.GET.get("page")))


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Name, e-mail, password, Alexa, sign out."""
    form = AccountForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your name is saved.")
        return redirect("account")
    context = {"form": form, **pages.account(request.user)}
    return render(request, "portal/account.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def unlink_alexa(request: HttpRequest) -> HttpResponse:
    """GET asks whether the customer is sure; POST ends the link. Twice is harmless."""
    linked = link_card(request.user).is_on
    if request.method == "POST":
        linking.unlink(request.user)
        words = "Alexa is unlinked and is being told to forget your devices." if linked else "Alexa is not linked."
        messages.success(request, words)
    elif linked:
        return render(request, "portal/unlink_alexa.html")
    return redirect("account")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def delete_account(request: HttpRequest) -> HttpResponse:
    """GET asks whether the customer is sure; POST with the password switches the account off at once and deletes it in minutes."""
    form = DeleteAccountForm(request.user, request.POST or None)
    if request.method == "POST" and not allow([f"customer:{request.user.pk}"]):
        messages.error(request, "Too many attempts. Please wait an hour and try again.")
        return redirect("delete_account")
    if not form.is_valid():
        return render(request, "portal/delete_account.html", {"form": form}, status=400 if form.errors else 200)
    leaving.leave(request.user)
    logout(request)
    messages.success(request, "Your account is switched off, and deleted as soon as Alexa has forgotten your devices.")
    return redirect("home")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400. Django's own gives the template no request; for 403, 404 and a refused form its own views do."""
    return render(request, "400.html", status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: no context processors, because the session's database may be what failed."""
    page = render_to_string("500.html", {"site_name": settings.SITE_NAME, "support_email": settings.SUPPORT_EMAIL})
    return HttpResponse(page, status=500)


def _owned(request: HttpRequest, serial: str) -> Device:
    if not re.fullmatch(SERIAL_PATTERN, serial):
        raise Http404  # also keeps a NUL byte from the database
    return get_object_or_404(pages.owned_devices(request.user), serial_number=serial)


def _device_page(
    request: HttpRequest, found: Device, form: RenameForm | None = None, status: int = 200
) -> HttpResponse:
    context = pages.device(found, timezone.now())
    context["rename_form"] = form or RenameForm(initial={"name": found.name})
    return render(request, "portal/device.html", context, status=status)


def _claim_refused(request: HttpRequest, form: AddDeviceForm, refusal: registry.ClaimRefused) -> HttpResponse:
    """The page says only that it failed and gives a reference; under it support finds the cause in the admin."""
    reference = refusal.reference
    throttled = isinstance(refusal, registry.ClaimThrottled)
    log.warning("claim refused, reference %s, customer %s: %s", reference, request.user.pk, type(refusal).__name__)
    context = {"form": form, "reference": reference, "throttled": throttled}
    return render(request, "portal/add_device.html", context, status=429 if throttled else 400)
