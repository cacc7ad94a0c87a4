"""A description as the columns that the other rooms read: rows that nobody has saved yet. Pure."""

from devices.catalogue.description import Description, Product, SlotDescription
from devices.models import DeviceModel, Slot, SlotProduct

MODEL_COLUMNS = (
    "model_id", "name", "manufacturer", "description", "display_category", "drs_state", "warranty_months", "offline_after",
)  # fmt: skip
SLOT_COLUMNS = (
    "slot_id", "instance", "sensor", "measurement", "unit", "capacity", "raw_zero", "raw_factor",
    "test_replenishment_id", "live_replenishment_id",
)  # fmt: skip
PRODUCT_COLUMNS = ("marketplace", "asin", "title", "quantity", "unit", "active")


def model_row(description: Description) -> DeviceModel:
    """The columns of a model, not saved."""
    return DeviceModel(
        **{name: getattr(description, name) for name in MODEL_COLUMNS}, capabilities=list(description.capabilities)
    )


def slot_row(description: Description, slot: SlotDescription) -> Slot:
    """The columns of a slot, not saved, with the replenishment ID that Alexa is told."""
    name, locale = slot.main_name
    return Slot(
        **{column: getattr(slot, column) for column in SLOT_COLUMNS},
        name=name,
        locale=locale,
        names={language: list(texts) for language, texts in slot.names},
        replenishment_id=description.replenishment_id(slot),
    )


def product_row(product: Product) -> SlotProduct:
    """The columns of a product, not saved."""
    return SlotProduct(**{column: getattr(product, column) for column in PRODUCT_COLUMNS})
