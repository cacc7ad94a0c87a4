"""What was there before drafts is migrated, not lost: IDs, names, and that a model has come as far as having them."""

from importlib import import_module

import pytest
from django.apps import apps

from devices.models import DeviceModel, Marketplace, Slot

migration = import_module("devices.migrations.0003_products")


@pytest.fixture
def before(db: None) -> None:
    """As the rows stand when the columns have just been added."""
    crema = DeviceModel.objects.create(model_id="CREMA-20", name="Crema", manufacturer="N", description="N")
    other = DeviceModel.objects.create(model_id="NEW-1", name="New", manufacturer="N", description="N")
    for model, slot, replenishment_id in (
        (crema, "beans", "arn:one"), (crema, "left", "arn:twin"), (crema, "right", "arn:twin"), (other, "salt", ""),
    ):  # fmt: skip
        names = {"name": "Kaffeebohnen", "locale": "de-DE", "names": {}}
        model.slots.create(slot_id=slot, instance=slot, replenishment_id=replenishment_id, **names)


def test_ids_that_alexa_was_told_stay_and_become_live_ones(before: None) -> None:
    migration.keep_what_alexa_was_told(apps, None)
    kept = {slot.slot_id: (slot.replenishment_id, slot.live_replenishment_id) for slot in Slot.objects.all()}
    twins = {"left": ("arn:twin", ""), "right": ("arn:twin", "")}
    assert kept == {"beans": ("arn:one", "arn:one"), "salt": ("", ""), **twins}
    assert dict(DeviceModel.objects.values_list("model_id", "drs_state")) == {"CREMA-20": "testing", "NEW-1": "draft"}


def test_names_get_their_language(before: None) -> None:
    migration.call_slots_by_their_language(apps, None)
    assert {str(slot.names) for slot in Slot.objects.all()} == {"{'de-DE': ['Kaffeebohnen']}"}


def test_the_shops_that_amazon_names_are_open(db: None) -> None:
    migration.open_shops(apps, None)
    migration.open_shops(apps, None)
    assert set(Marketplace.objects.values_list("code", flat=True)) >= {"US", "UK", "DE", "FR", "IT", "ES", "JP"}
