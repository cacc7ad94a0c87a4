"""A description as forms: what staff type, into the value that catalogue knows, and back. No database but the marketplaces.

Names and products are typed as lines, so that a list from a spreadsheet can be pasted. Forms take what has the right shape, however
unfinished; whether it makes sense is lint's matter.
"""

from collections.abc import Iterable
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator
from django.db.models import Model
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from devices import catalogue
from devices.capabilities import CHOOSABLE
from devices.catalogue import Description, Product, Sale, SlotDescription
from devices.models import DeviceModel, Marketplace, ModelMarketplace, Slot

COLUMN_ORDER = "marketplace; ASIN; quantity; unit; on or off; title"
ACTIVE = {"": True, "on": True, "off": False}
TEXTS = [field.name for field in fields(Description) if field.type is str and field.name not in ("model_id", "picture")]
SLOT_PLAIN = [field.name for field in fields(SlotDescription) if field.name not in ("names", "products")]


def column(model: type[Model], name: str) -> forms.Field:
    """The form field of a column, in this admin's dress, optional: a draft may be half finished."""
    field = model._meta.get_field(name)
    made = field.formfield(required=False)
    dress = {forms.DecimalField: UnfoldAdminDecimalFieldWidget, forms.IntegerField: UnfoldAdminIntegerFieldWidget}
    if isinstance(made, forms.ChoiceField):
        made.widget = UnfoldAdminSelectWidget()
        made.choices = field.get_choices(include_blank=field.blank)
    else:
        made.widget = dress.get(type(made), UnfoldAdminTextInputWidget)()
        made.widget.attrs.update(made.widget_attrs(made.widget))
    made.validators += [
        check for check in field.validators if isinstance(check, MaxValueValidator)
    ]  # no draft holds more
    return made


class ModelForm(forms.Form):
    """The model itself."""

    name = column(DeviceModel, "name")
    manufacturer = column(DeviceModel, "manufacturer")
    description = column(DeviceModel, "description")
    display_category = column(DeviceModel, "display_category")
    drs_state = column(DeviceModel, "drs_state")
    capabilities = forms.MultipleChoiceField(
        required=False,
        choices=[(key, entry.label) for key, entry in CHOOSABLE.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Besides the slots, and that it says whether it is reachable.",
    )
    offline_after = column(DeviceModel, "offline_after")
    warranty_months = column(DeviceModel, "warranty_months")
    picture = forms.FileField(
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="BMP, JPEG, PNG or GIF on a white or transparent ground, at most 1 MB.",
    )
    remove_picture = forms.BooleanField(required=False, widget=UnfoldBooleanWidget)

    def clean_picture(self) -> str:
        """The digest of the picture that was sent; empty where none was."""
        sent = self.cleaned_data["picture"]
        if not sent:
            return ""
        try:
            return catalogue.keep_picture(sent.read(catalogue.LARGEST_PICTURE + 1)).pk
        except catalogue.PictureRefused as refusal:
            raise forms.ValidationError(str(refusal)) from refusal


class SaleForm(forms.Form):
    """One marketplace."""

    marketplace = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    friendly_name = column(ModelMarketplace, "friendly_name")

    def __init__(self, *args: Any, shops: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        said = [(code, code) for code in [self.initial.get("marketplace")] if code]
        self.fields["marketplace"].choices = dict([("", "Choose"), *said, *shops]).items()


class LinesField(forms.CharField):
    """Lines of text, each with a meaning of its own; what is wrong is said with the number of its line."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 5})
        super().__init__(required=False, max_length=100_000, widget=widget, **kwargs)

    def read(self, line: str) -> Any:
        raise NotImplementedError

    def clean(self, value: Any) -> tuple[Any, ...]:
        found, wrong = [], []
        for number, line in enumerate(super().clean(value).splitlines(), start=1):
            try:
                found += [self.read(line)] if line.strip() else []
            except ValueError as error:
                wrong.append(f"Line {number}: {error}")
        if wrong:
            raise forms.ValidationError(wrong)
        return tuple(found)


class NamesField(LinesField):
    """A language a line: ``de-DE: Kaffeebohnen; Bohnen``."""

    def read(self, line: str) -> tuple[str, tuple[str, ...]]:
        locale, colon, texts = line.partition(":")
        names = tuple(text.strip() for text in texts.split(";") if text.strip())
        if not colon or not names:
            raise ValueError("write a language, a colon and its names, e.g. de-DE: Kaffeebohnen; Bohnen")
        return locale.strip(), names

    @staticmethod
    def shown(names: Iterable[tuple[str, tuple[str, ...]]]) -> str:
        return "\n".join(f"{locale}: {'; '.join(texts)}" for locale, texts in names)


class ProductsField(LinesField):
    """A product a line, its columns parted by semicolons or, from a spreadsheet, by tabs; a title may hold semicolons."""

    def read(self, line: str) -> Product:
        cells = [cell.strip() for cell in line.split("\t" if "\t" in line else ";", 5)]
        marketplace, asin, quantity, unit, state, title = [*cells, *[""] * (6 - len(cells))]
        if not marketplace or not asin or state not in ACTIVE:
            raise ValueError(f"write {COLUMN_ORDER}")
        return Product(marketplace, asin, title, _quantity(quantity), unit, ACTIVE[state])

    @staticmethod
    def shown(products: Iterable[Product]) -> str:
        return "\n".join(
            "; ".join((p.marketplace, p.asin, _plain(p.quantity), p.unit, "on" if p.active else "off", _cell(p.title)))
            for p in products
        )


def _quantity(text: str) -> Decimal | None:
    try:
        number = Decimal(text) if text else None
    except InvalidOperation as error:
        raise ValueError(f"{text} is no quantity; write a number, e.g. 0.5") from error
    if number is not None and not (number.is_finite() and abs(number.adjusted()) < 12):
        raise ValueError(f"{text} is no quantity; write a number, e.g. 0.5")
    return number


def _plain(number: Decimal | None) -> str:
    return "" if number is None else f"{number.normalize():f}"


def _cell(title: str) -> str:
    return " ".join(title.split())


class SlotForm(forms.Form):
    """One consumable."""

    slot_id = column(Slot, "slot_id")
    instance = column(Slot, "instance")
    names = NamesField(
        help_text="A language a line, the main one first, synonyms after the name: de-DE: Kaffeebohnen; Bohnen"
    )
    sensor = column(Slot, "sensor")
    measurement = column(Slot, "measurement")
    unit = column(Slot, "unit")
    capacity = column(Slot, "capacity")
    raw_zero = column(Slot, "raw_zero")
    raw_factor = column(Slot, "raw_factor")
    test_replenishment_id = column(Slot, "test_replenishment_id")
    live_replenishment_id = column(Slot, "live_replenishment_id")
    products = ProductsField(help_text=f"A product a line: {COLUMN_ORDER}. Or paste these columns from a spreadsheet.")

    def clean(self) -> dict[str, Any]:
        if self.has_changed() and not self.cleaned_data.get("slot_id"):
            self.add_error("slot_id", "Say what the device calls it.")
        return self.cleaned_data


SlotForms = forms.formset_factory(SlotForm, extra=1, can_delete=True, max_num=100, absolute_max=100)
SaleForms = forms.formset_factory(SaleForm, extra=2, can_delete=True, max_num=100, absolute_max=100)


class DraftForms:
    """All forms of one draft together, over what the draft says now."""

    def __init__(self, said: Description, data: Any = None, files: Any = None) -> None:
        self.said = said
        self.model = ModelForm(data, files, initial=_model_initial(said))
        shops, sales = [(shop.code, str(shop)) for shop in Marketplace.objects.all()], map(_shallow, said.marketplaces)
        self.sales = SaleForms(data, prefix="sales", initial=list(sales), form_kwargs={"shops": shops})
        self.slots = SlotForms(data, prefix="slots", initial=[_slot_initial(slot) for slot in said.slots])
        for form in (*self.sales.forms, *self.slots.forms):
            if "DELETE" in form.fields:
                form.fields["DELETE"].widget = UnfoldBooleanWidget()
                form.fields["DELETE"].label = "Take out"

    def is_valid(self) -> bool:
        return all([self.model.is_valid(), self.sales.is_valid(), self.slots.is_valid()])

    def description(self) -> Description:
        """What was typed. After is_valid only."""
        model = self.model.cleaned_data
        kept = "" if model["remove_picture"] else self.said.picture
        span = model["offline_after"] or timedelta()
        document = {name: model[name] for name in TEXTS} | {
            "model_id": self.said.model_id,
            "capabilities": model["capabilities"],
            "offline_after_seconds": max(int(span.total_seconds()), 0),
            "warranty_months": model["warranty_months"] or 0,
            "picture": model["picture"] or kept,
        }
        sales = tuple(Sale(sale["marketplace"], sale["friendly_name"]) for sale in _kept(self.sales))
        slots = tuple(map(_slot, _kept(self.slots)))
        return Description.from_json(Description(**document, marketplaces=sales, slots=slots).to_json())


def _kept(formset: Any) -> list[dict[str, Any]]:
    return [data for data in formset.cleaned_data if data and not data.get("DELETE")]


def _slot(data: dict[str, Any]) -> SlotDescription:
    plain = {name: data[name] for name in SLOT_PLAIN}
    plain["raw_zero"] = Decimal(0) if plain["raw_zero"] is None else plain["raw_zero"]
    plain["raw_factor"] = Decimal(1) if plain["raw_factor"] is None else plain["raw_factor"]
    return SlotDescription(**plain, names=data["names"], products=data["products"])


def _shallow(item: Any) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}


def _model_initial(said: Description) -> dict[str, Any]:
    return {**_shallow(said), "offline_after": said.offline_after, "picture": None}


def _slot_initial(slot: SlotDescription) -> dict[str, Any]:
    lines = {"names": NamesField.shown(slot.names), "products": ProductsField.shown(slot.products)}
    numbers = {name: getattr(slot, name) for name in ("capacity", "raw_zero", "raw_factor")}
    shown = {name: None if value is None else Decimal(_plain(value)) for name, value in numbers.items()}
    return {**_shallow(slot), **lines, **shown}
