"""The admin's page *What Alexa sees*: one customer's discovery as it would be said now, and a resync with a reason."""

import json
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminTextInputWidget

from skill import alexa_view, linking, outbox
from skill.alexa import discovery


class ResyncForm(forms.Form):
    """Why Alexa is told everything again; it is kept in the link's history."""

    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget, help_text="For example a ticket. It is kept with the link."
    )


def link_to(user_id: int) -> str:
    """A way to the page, from a customer and from a link."""
    address = reverse("admin:skill_alexa_view", args=[user_id])
    return format_html('<a href="{}">What Alexa sees, and how it differs</a>', address)


class ViewPage:
    """For the admin of links: `view` permission to look, `skill.resend_endpoint` to resync."""

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.alexa_view_page)  # type: ignore[attr-defined]
        return [path("of/<int:user_id>/", page, name="skill_alexa_view"), *super().get_urls()]  # type: ignore[misc]

    def alexa_view_page(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """GET looks; POST with a reason resyncs."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        user = get_object_or_404(get_user_model(), pk=user_id)
        form = ResyncForm(request.POST or None)
        if request.method == "POST" and not _may_resync(request):
            raise PermissionDenied
        if form.is_valid():
            self._resync(request, user, form.cleaned_data["reason"])
            return redirect("admin:skill_alexa_view", user_id)
        return TemplateResponse(request, "admin/skill/alexa_view.html", self._context(request, user, form))

    def _context(self, request: HttpRequest, user: Any, form: ResyncForm) -> dict[str, Any]:
        view = alexa_view.look(user)
        return {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": f"What Alexa sees of {user}",
            "customer": user,
            "view": view,
            "told": len(view.answer["event"]["payload"]["endpoints"]),
            "limit": discovery.LARGE_ANSWER_BYTES,
            "most": discovery.MAX_ENDPOINTS,
            "answer": json.dumps(view.answer, indent=2, ensure_ascii=False),
            "form": form if _may_resync(request) and linking.active_grant(user) else None,
        }

    def _resync(self, request: HttpRequest, user: Any, reason: str) -> None:
        grant = linking.active_grant(user)
        count = outbox.resync(grant) if grant else 0
        if grant and count:
            self.log_change(request, grant, f"Resync: {reason}")  # type: ignore[attr-defined]
            messages.success(request, f"{count} devices are told to Alexa again.")
        else:
            messages.warning(request, "Nothing to tell: no active link, or no device.")


def _may_resync(request: HttpRequest) -> bool:
    return request.user.has_perm("skill.resend_endpoint")  # type: ignore[union-attr]
