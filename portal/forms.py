"""What a customer may type into the portal's own pages, and how it is read.

Not here: the forms of django-allauth (sign in, sign up, passwords) and every rule of the registry; a form only tidies
text, `devices.registry` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from django import forms
from django.contrib.auth import get_user_model

from devices.models import Device

User = get_user_model()


class AddDeviceForm(forms.Form):
    """Serial number and claim code, as printed on the label; spaces do not matter."""

    serial_number = forms.CharField(
        label="Serial number",
        max_length=64,
        help_text="On the label under the device, next to “S/N”.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"}),
    )
    claim_code = forms.CharField(
        label="Claim code",
        max_length=64,
        help_text="On the card in the box, or on the label under the serial number.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"}),
    )

    @classmethod
    def from_label(cls, said: Mapping[str, str]) -> Self:
        """The form as the link in the label's QR code fills it in; empty without one."""
        printed = {"serial_number": said.get("serial", ""), "claim_code": said.get("code", "")}
        return cls(initial={name: text[:64] for name, text in printed.items() if text.isprintable() and text})

    def clean_serial_number(self) -> str:
        return "".join(self.cleaned_data["serial_number"].split())


class RenameForm(forms.Form):
    """The name a customer gives a device; Alexa hears the same one."""

    name = forms.CharField(
        label="Name",
        max_length=Device._meta.get_field("name").max_length,
        help_text="What you call it, and what Alexa will call it. For example “Kitchen coffee machine”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class AccountForm(forms.ModelForm):
    """How we address the customer. The e-mail has its own page, because a change must be confirmed."""

    class Meta:
        model = User
        fields = ["name"]
        labels = {"name": "Your name"}
        help_texts = {"name": "How we greet you. You may leave it empty."}
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "name"})}


class DeleteAccountForm(forms.Form):
    """The password once more: an open browser must not be enough to delete an account."""

    password = forms.CharField(
        label="Your password", widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}), max_length=256
    )

    def __init__(self, user: Any, *args: Any, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)

    def clean_password(self) -> None:
        if not self.user.check_password(self.cleaned_data["password"]):
            raise forms.ValidationError("This is not your password.")
