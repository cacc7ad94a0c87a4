"""What staff types about units: a name, a reason, a factory's list."""

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget

from devices import registry
from devices.models import Device
from devices.uploads import LARGEST_UPLOAD


class DeviceForm(forms.ModelForm):
    """Says about a name what the verb would say."""

    class Meta:
        model = Device
        fields = ["serial_number", "device_model", "name"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "name" in self.fields:
            self.fields["name"].required = self.instance.pk is not None
            self.fields["name"].help_text = "What the owner calls it; empty: the model's name."

    def clean_name(self) -> str:
        name = self.cleaned_data["name"]
        try:
            return registry.tidy_name(name) if name else ""
        except registry.NameRefused as refusal:
            self.add_error("name", str(refusal))
            return name


class ReasonForm(forms.Form):
    """Why somebody of the staff does what cannot be undone; it is kept in the unit's history."""

    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget, help_text="For example a ticket. It is kept with the unit."
    )


class ImportForm(forms.Form):
    """A factory's list."""

    list = forms.FileField(
        label="List (CSV)",
        widget=UnfoldAdminFileFieldWidget,
        help_text="Columns: serial, model, key, claim_code, and if wanted mac, firmware. Key and claim code may say “generate”.",
    )

    def clean_list(self) -> UploadedFile:
        chosen: UploadedFile = self.cleaned_data["list"]
        if (chosen.size or 0) > LARGEST_UPLOAD:
            raise forms.ValidationError("This list is too large for an upload; use manage.py import_devices.")
        return chosen
