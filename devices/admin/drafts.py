"""From a draft to what is live, for staff: edit, lint and difference, publish with a reason; the readiness checklist; pictures.

Each page is one step of catalogue's verbs. Who may change models edits drafts and ticks the checklist; publishing has a permission
of its own. What was published stands in the log of the model with the reason that was typed.
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.cache import cache_control
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from devices import catalogue
from devices.admin.draft_forms import DraftForms
from devices.catalogue import Description
from devices.models import DeviceModel, HandCheck, Picture, Revision
from devices.readiness import BY_HAND, checklist


class ReasonForm(forms.Form):
    """What a person types before a draft becomes live."""

    seen = forms.CharField(widget=forms.HiddenInput)
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Why it is published; it stays in the log.",
    )


class CheckForm(forms.Form):
    """What a person saw who ticks a line; empty takes the tick away."""

    item = forms.ChoiceField(choices=[(name, title) for name, (title, _) in BY_HAND.items()], widget=forms.HiddenInput)
    note = forms.CharField(max_length=500, required=False, widget=UnfoldAdminTextInputWidget)


class DraftPages:
    """The pages of a model besides its form; mixed into its ModelAdmin."""

    admin_site: Any
    model: Any

    def draft_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("picture/<str:digest>", wrap(self.picture_view), name="devices_model_picture"),
            path("<int:pk>/draft/", wrap(self.draft_view), name="devices_model_draft"),
            path("<int:pk>/publish/", wrap(self.publish_view), name="devices_model_publish"),
            path("<int:pk>/readiness/", wrap(self.readiness_view), name="devices_model_readiness"),
        ]

    def may_edit(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.change_devicemodel")

    def may_publish(self, request: HttpRequest) -> bool:
        return request.user.has_perm("devices.publish_devicemodel")

    def _page(self, request: HttpRequest, name: str, model: DeviceModel, title: str, **more: Any) -> HttpResponse:
        context = self.admin_site.each_context(request) | {"opts": model._meta, "model": model, "title": title, **more}
        context |= {"may_edit": self.may_edit(request), "may_publish": self.may_publish(request)}
        return TemplateResponse(request, f"admin/devices/devicemodel/{name}.html", context)

    def draft_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Edit the draft; below it what lint says and what would change. Opening the page makes no draft, saving does."""
        if not self.may_edit(request):
            raise PermissionDenied
        model = get_object_or_404(DeviceModel, pk=pk)
        if "discard" in request.POST:
            return self._discard(request, model)
        said = _said(model)
        data, files = (request.POST, request.FILES) if request.method == "POST" else (None, None)
        draft_forms = DraftForms(said, data, files)
        if data and draft_forms.is_valid() and self._save(request, model, draft_forms):
            return HttpResponseRedirect(_address("publish" if "_publish" in data else "draft", model))
        if data and not draft_forms.is_valid():
            messages.error(request, "Nothing was saved: correct what is marked red below, and save again.")
        findings, changes = catalogue.review(model, said)
        return self._page(
            request, "draft", model, f"Draft of {model}", forms=draft_forms, findings=findings, changes=changes,
            seen=said.digest() if data is None else data.get("seen", ""), has_draft=_draft(model) is not None,
        )  # fmt: skip

    def _save(self, request: HttpRequest, model: DeviceModel, draft_forms: DraftForms) -> bool:
        try:
            with transaction.atomic():  # a draft that cannot be saved is not opened either
                draft = catalogue.open_draft(model, request.user)
                catalogue.save_draft(draft, draft_forms.description(), request.POST.get("seen", ""), request.user)
        except catalogue.DraftChanged as error:
            messages.error(request, f"{error} Nothing was saved; open the draft again in another tab and compare.")
            return False
        messages.success(request, "The draft is saved. What is live has not changed.")
        return True

    def _discard(self, request: HttpRequest, model: DeviceModel) -> HttpResponse:
        draft = _draft(model)
        try:
            if draft is not None:
                catalogue.discard(draft, request.user)
                _log(request, model, f"Threw draft {draft.pk} away.")
            messages.success(request, "The draft was thrown away.")
        except catalogue.DraftChanged as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(reverse("admin:devices_devicemodel_change", args=[model.pk]))

    def publish_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What would change, whom it touches, what lint says; and, for those who may, the reason and the button."""
        if not (self.may_edit(request) or self.may_publish(request)):
            raise PermissionDenied
        model = get_object_or_404(DeviceModel, pk=pk)
        draft = _draft(model)
        if draft is None:
            messages.info(request, "There is no draft: what you see is live.")
            return HttpResponseRedirect(reverse("admin:devices_devicemodel_change", args=[pk]))
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid() and self._publish(request, draft, form):
            return HttpResponseRedirect(reverse("admin:devices_devicemodel_change", args=[pk]))
        return self._confirmation(request, model, Description.from_json(draft.snapshot), form)

    def _confirmation(
        self, request: HttpRequest, model: DeviceModel, description: Description, form: ReasonForm
    ) -> HttpResponse:
        findings, changes = catalogue.review(model, description)
        errors = [finding for finding in findings if finding.severity == "error"]
        return self._page(
            request, "publish", model, f"Publish {model}", form=form, findings=findings, changes=changes, errors=errors,
            seen=catalogue.fingerprint(model, description), touched=catalogue.touched(model, changes),
        )  # fmt: skip

    def _publish(self, request: HttpRequest, draft: Revision, form: ReasonForm) -> bool:
        if not self.may_publish(request):
            raise PermissionDenied
        try:
            done = catalogue.publish(draft, form.cleaned_data["reason"], request.user, form.cleaned_data["seen"])
        except catalogue.PublishRefused as refusal:
            messages.error(request, str(refusal))
            return False
        _log(request, draft.device_model, f"Published: {done.revision.reason}")
        messages.success(request, _outcome(done))
        return True

    def readiness_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The checklist; who may change models ticks what only a person can see."""
        model = get_object_or_404(DeviceModel, pk=pk)
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        if request.method == "POST":
            self._check(request, model)
            return HttpResponseRedirect(_address("readiness", model))
        lines = checklist(model, timezone.now())
        done = sum(line.status == "done" for line in lines)
        return self._page(request, "readiness", model, f"Readiness of {model}", lines=lines, done=done, by_hand=BY_HAND)

    def _check(self, request: HttpRequest, model: DeviceModel) -> None:
        form = CheckForm(request.POST)
        if not self.may_edit(request):
            raise PermissionDenied
        if not form.is_valid():
            messages.error(request, "Choose a line of the list and write at most 500 characters.")
            return
        item, note = form.cleaned_data["item"], form.cleaned_data["note"]
        if note:
            facts = {"note": note, "checked_by": request.user}
            HandCheck.objects.update_or_create(device_model=model, item=item, defaults=facts)
        else:
            HandCheck.objects.filter(device_model=model, item=item).delete()
        _log(request, model, f"Checked {item}: {note}" if note else f"Took back the check of {item}.")

    def picture_view(self, request: HttpRequest, digest: str) -> HttpResponse:
        """A picture as it was sent, whatever it holds: never as a page."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        return _picture(request, digest)


@cache_control(private=True, max_age=86400, immutable=True)
def _picture(request: HttpRequest, digest: str) -> HttpResponse:
    picture = get_object_or_404(Picture, pk=digest)
    headers = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
    return HttpResponse(bytes(picture.content), content_type=picture.media_type, headers=headers)


def _draft(model: DeviceModel) -> Revision | None:
    return model.revisions.filter(state=Revision.State.DRAFT).first()


def _said(model: DeviceModel) -> Description:
    draft = _draft(model)
    return Description.from_json(draft.snapshot) if draft else catalogue.live(model)


def _address(page: str, model: DeviceModel) -> str:
    return reverse(f"admin:devices_model_{page}", args=[model.pk])


def _log(request: HttpRequest, model: DeviceModel, text: str) -> None:
    LogEntry.objects.log_actions(request.user.pk, [model], CHANGE, text, single_object=True)


def _outcome(done: catalogue.Published) -> str:
    if not done.devices:
        return "Published. Nothing that Alexa knows has changed, so no device is told."
    rest = " The rest follows within a minute or two." if done.revision.told_up_to is not None else ""
    return f"Published. It touches {done.reach}.{rest}"
