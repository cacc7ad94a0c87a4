"""A draft becomes live: whole or not at all, by one person at a time, and exactly the owners of that model are told."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import catalogue, registry, tasks
from devices.catalogue import Description, PublishRefused, Sale, publishing
from devices.catalogue.difference import difference
from devices.inventory import Measurement, record_reading
from devices.models import (
    DailyUse,
    Device,
    DeviceModel,
    HeardSequences,
    Inventory,
    Marketplace,
    Reading,
    Revision,
    Slot,
)
from devices.signals import endpoint_changed, reach_asked
from tests.devices.products import BEANS, CREMA, PICTURE, beans
from tests.people import owned


@pytest.fixture
def told() -> Iterator[list[list[int]]]:
    """Every set of devices that was told of a description."""
    sets: list[list[int]] = []

    def hear(sender: Any, device_ids: list[int], what: str, **_: Any) -> None:
        if what == "description":
            sets.append(device_ids)

    endpoint_changed.connect(hear)
    yield sets
    endpoint_changed.disconnect(hear)


def drafted(model: DeviceModel, description: Description) -> Revision:
    draft = catalogue.open_draft(model)
    seen = Description.from_json(draft.snapshot).digest()
    return catalogue.save_draft(draft, description, seen)


def published(model: DeviceModel, description: Description) -> catalogue.Published:
    return catalogue.publish(drafted(model, description), "Because.")


def now_live(model: DeviceModel) -> Description:
    return catalogue.live(DeviceModel.objects.get(pk=model.pk))


def test_what_was_published_is_what_is_live(crema: DeviceModel) -> None:
    whole = replace(
        beans(raw_zero=Decimal("120.5"), raw_factor=Decimal("0.05")),
        capabilities=("PowerController",),
        offline_after_seconds=150,
        warranty_months=36,
        picture=catalogue.keep_picture(PICTURE).pk,
    )
    published(crema, whole)
    assert now_live(crema) == whole
    assert Description.from_json(whole.to_json()) == whole


def test_the_other_rooms_read_their_columns(crema: DeviceModel) -> None:
    published(crema, CREMA)
    slot = crema.slots.get()
    assert (slot.name, slot.locale, slot.instance, slot.replenishment_id) == (
        "Coffee beans", "en-US", "Beans.Hopper", "arn:test:beans",
    )  # fmt: skip
    assert slot.localized_names == (("Coffee beans", "en-US"), ("Kaffeebohnen", "de-DE"), ("Beans", "en-US"))
    assert (slot.name_in("de-DE"), slot.name_in("ja-JP")) == ("Kaffeebohnen", "Coffee beans")
    assert [entry.key for entry in crema.interfaces] == ["EndpointHealth"]


def test_what_existed_before_drafts_is_kept(crema: DeviceModel) -> None:
    """A slot that knows one replenishment ID only: it is the live one, and a publication does not lose it."""
    before = crema.slots.get().replenishment_id
    published(crema, replace(now_live(crema), warranty_months=12))
    slot = crema.slots.get()
    assert (slot.replenishment_id, slot.live_replenishment_id, slot.test_replenishment_id) == (before, before, "")


def test_certification_turns_the_test_id_into_the_live_one(crema: DeviceModel, machine: Device, told: Any) -> None:
    published(crema, CREMA)
    told.clear()
    done = published(crema, replace(CREMA, drs_state="certified"))
    assert crema.slots.get().replenishment_id == "arn:live:beans"
    assert told == [[machine.pk]]
    assert "replenishment ID told: arn:test:beans → arn:live:beans (Alexa is told)" in " ".join(map(str, done.changes))


def test_exactly_the_owned_devices_of_the_model_are_told(
    crema: DeviceModel, machine: Device, bob: Any, told: list[list[int]]
) -> None:
    registry.register("CRM20-0002", crema)
    other = DeviceModel.objects.create(model_id="MILK-1", name="Milk", manufacturer="N", description="N")
    registry.claim(bob, "MLK-1", registry.register("MLK-1", other).claim_code)
    told.clear()
    done = published(crema, replace(now_live(crema), name="Crema twenty"))
    assert told == [[machine.pk]]
    assert done.reach == (1, 1, 0)
    assert done.revision.told_up_to is None


def test_what_alexa_does_not_know_touches_nobody(crema: DeviceModel, machine: Device, told: Any) -> None:
    done = published(crema, replace(now_live(crema), warranty_months=12, offline_after_seconds=7200))
    assert (done.devices, told) == (0, [])
    assert DeviceModel.objects.get(pk=crema.pk).warranty_months == 12


def fleet(model: DeviceModel, owner: Any, size: int) -> list[int]:
    return [owned(owner, model, f"CRM20-{number:04}").pk for number in range(size)]


def test_many_are_told_in_ascending_sets(crema: DeviceModel, bob: Any, told: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(publishing, "AT_ONCE", 3)
    ids = fleet(crema, bob, 7)
    told.clear()
    done = published(crema, replace(now_live(crema), name="Crema twenty"))
    assert told == [ids[:3], ids[3:6], ids[6:]]
    assert catalogue.touched(crema, done.changes) == (7, 1, 0)


def test_a_sweep_goes_on_where_a_publication_stopped(crema: DeviceModel, bob: Any, told: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(publishing, "AT_ONCE", 2)
    ids = fleet(crema, bob, 5)
    told.clear()
    draft = drafted(crema, replace(now_live(crema), name="Crema twenty"))
    done = catalogue.publish(draft, "Because.", seconds=0)
    assert (told, done.revision.told_up_to, done.devices) == ([ids[:2]], ids[1], 5)
    assert tasks.tell_of_publications() == 3
    assert told == [ids[:2], ids[2:4], ids[4:]]
    assert catalogue.tell_waiting() == 0


def names() -> dict[str, str]:
    return dict(Device.objects.values_list("serial_number", "name"))


def test_units_that_nobody_named_are_called_as_the_model_is(
    crema: DeviceModel, machine: Device, bob: Any, told: Any, monkeypatch: Any
) -> None:
    """Alexa shows these by the model's name in the customer's language; a name that an owner gave stays."""
    monkeypatch.setattr(publishing, "AT_ONCE", 2)
    ids = fleet(crema, bob, 1)
    registry.rename(Device.objects.get(pk=ids[0]), "Kitchen")
    for number in range(5, 10):
        registry.register(f"CRM20-{number:04}", crema)
    told.clear()
    published(crema, replace(now_live(crema), name="Crema 21 (new)"))
    given = names()
    assert given.pop("CRM20-0000") == "Kitchen"
    assert set(given.values()) == {"Crema 21 new"}
    assert sorted(pk for ids in told for pk in ids) == sorted([machine.pk, *ids])


def test_of_two_names_in_a_row_the_last_one_stays(crema: DeviceModel, bob: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(publishing, "AT_ONCE", 1)
    fleet(crema, bob, 3)
    for name in ("Crema 21", "Crema 22"):
        catalogue.publish(drafted(crema, replace(now_live(crema), name=name)), "Because.", seconds=0)
    catalogue.tell_waiting()
    assert set(names().values()) == {"Crema 22"}
    assert not Revision.objects.filter(told_up_to__isnull=False).exists()


def test_a_slot_that_nobody_used_goes_without_a_look_into_the_history(crema: DeviceModel) -> None:
    """Which has no index that begins with a slot, and of a large fleet is large."""
    published(crema, CREMA)
    with CaptureQueriesContext(connection) as asked:
        published(crema, replace(CREMA, slots=()))
    assert not Slot.objects.exists()
    said = " ".join(query["sql"] for query in asked.captured_queries)
    assert all(model._meta.db_table not in said for model in (Reading, HeardSequences, DailyUse))
    with connection.cursor() as cursor:
        indexes = connection.introspection.get_constraints(cursor, Inventory._meta.db_table).values()
    assert ["slot_id"] in [index["columns"] for index in indexes if index["index"]]


def test_a_large_fleet_may_take_its_time_to_be_counted(crema: DeviceModel, machine: Device) -> None:
    def slow(**_: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.2)")
        return 7

    reach_asked.connect(slow)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '100ms'")
        named = difference(now_live(crema), replace(now_live(crema), name="Crema 21"))
        assert catalogue.touched(crema, named).linked == 7
    finally:
        reach_asked.disconnect(slow)


def test_a_receiver_that_fails_is_asked_again(crema: DeviceModel, machine: Device, told: Any) -> None:
    def fail(**_: Any) -> None:
        raise ConnectionError("the database went away")

    endpoint_changed.connect(fail)
    draft = drafted(crema, replace(now_live(crema), name="Crema twenty"))
    assert catalogue.publish(draft, "Because.").revision.told_up_to == 0
    endpoint_changed.disconnect(fail)
    assert now_live(crema).name == "Crema twenty"
    told.clear()
    assert catalogue.tell_waiting() == 1
    assert told == [[machine.pk]]


def test_errors_publish_nothing(crema: DeviceModel, machine: Device, told: Any) -> None:
    before = now_live(crema)
    draft = drafted(crema, replace(CREMA, name="Another", slots=(replace(BEANS, instance="Beans Hopper"),)))
    with pytest.raises(PublishRefused) as refusal:
        catalogue.publish(draft, "Because.")
    assert [finding.name for finding in refusal.value.findings] == ["field-not-valid"]
    assert (now_live(crema), told) == (before, [])


def test_a_reason_and_a_difference_are_needed(crema: DeviceModel) -> None:
    with pytest.raises(PublishRefused, match="Say why"):
        catalogue.publish(drafted(crema, CREMA), " ")
    with pytest.raises(PublishRefused, match="nothing to publish"):
        catalogue.publish(drafted(crema, now_live(crema)), "Because.")


def test_what_changed_since_it_was_seen_is_not_published(crema: DeviceModel) -> None:
    draft = drafted(crema, CREMA)
    seen = catalogue.fingerprint(crema, CREMA)
    DeviceModel.objects.filter(pk=crema.pk).update(name="Changed behind our backs")
    with pytest.raises(PublishRefused, match="changed since you looked"):
        catalogue.publish(draft, "Because.", seen=seen)
    catalogue.publish(draft, "Because.", seen=catalogue.fingerprint(DeviceModel.objects.get(pk=crema.pk), CREMA))


def test_a_draft_is_published_once(crema: DeviceModel) -> None:
    draft = drafted(crema, CREMA)
    catalogue.publish(draft, "Because.")
    with pytest.raises(PublishRefused, match="published or thrown away"):
        catalogue.publish(draft, "Because.")


def test_two_people_at_one_draft(crema: DeviceModel) -> None:
    draft = catalogue.open_draft(crema)
    assert catalogue.open_draft(crema) == draft
    seen = Description.from_json(draft.snapshot).digest()
    catalogue.save_draft(draft, CREMA, seen)
    catalogue.save_draft(draft, CREMA, seen)  # the same again
    with pytest.raises(catalogue.DraftChanged):
        catalogue.save_draft(draft, beans(capacity=Decimal(1)), seen)
    catalogue.discard(draft)
    with pytest.raises(catalogue.DraftChanged):
        catalogue.discard(draft)
    assert catalogue.open_draft(crema) != draft


def test_slots_may_swap_ids_and_instances_and_keep_their_rows(crema: DeviceModel) -> None:
    milk = replace(BEANS, slot_id="milk", instance="Milk.Tank", test_replenishment_id="t", live_replenishment_id="l")
    published(crema, replace(CREMA, slots=(BEANS, milk)))
    rows = {slot.slot_id: slot.pk for slot in crema.slots.all()}
    swapped = (
        replace(milk, slot_id="beans", products=BEANS.products[:1]),
        replace(BEANS, slot_id="milk", products=BEANS.products[1:]),
    )
    published(crema, replace(CREMA, slots=swapped))
    assert now_live(crema).slots == swapped
    assert {slot.slot_id: slot.pk for slot in crema.slots.all()} == rows


def test_a_slot_with_readings_stays(crema: DeviceModel, machine: Device) -> None:
    record_reading(machine, [Measurement("beans", 1, Decimal(50))], timezone.now())
    with pytest.raises(PublishRefused) as refusal:
        published(crema, replace(CREMA, slots=()))
    assert [finding.name for finding in refusal.value.findings] == ["slot-in-use"]
    with pytest.raises(PublishRefused) as refusal:
        published(crema, beans(measurement="Count", products=()))
    assert "measurement-in-use" in [finding.name for finding in refusal.value.findings]


def test_an_id_that_another_model_is_told_is_refused(crema: DeviceModel) -> None:
    other = DeviceModel.objects.create(model_id="MILK-1", name="Milk", manufacturer="N", description="N")
    other.slots.create(slot_id="milk", name="Milk", instance="Milk.Tank", replenishment_id="arn:live:beans")
    with pytest.raises(PublishRefused) as refusal:
        published(crema, CREMA)
    assert [finding.name for finding in refusal.value.findings] == ["replenishment-id-twice"]


def test_pictures_are_what_amazon_takes(db: None) -> None:
    kept = catalogue.keep_picture(PICTURE)
    assert catalogue.keep_picture(PICTURE) == kept
    assert kept.media_type == "image/png"
    with pytest.raises(catalogue.PictureRefused, match="BMP"):
        catalogue.keep_picture(b"<svg onload=alert(1)>")
    with pytest.raises(catalogue.PictureRefused, match="1 MB"):
        catalogue.keep_picture(PICTURE + bytes(1_000_000))


NO_DESCRIPTIONS: list[tuple[str, Any]] = [
    ("description", []),
    ("description", {}),
    ("description", {"model_id": "X", "nmae": "Crema"}),
    ("description.name", {"model_id": "X", "name": 5}),
    ("description.name", {"model_id": "X", "name": "nul\0"}),
    ("description.warranty_months", {"model_id": "X", "warranty_months": -1}),
    ("description.slots[0].capacity", {"model_id": "X", "slots": [{"slot_id": "b", "capacity": "NaN"}]}),
    ("description.slots[0].names[0]", {"model_id": "X", "slots": [{"slot_id": "b", "names": [["en-US"]]}]}),
    ("description.marketplaces[0]", {"model_id": "X", "marketplaces": [{"friendly_name": "here"}]}),
]


def test_a_document_that_is_no_description_says_where() -> None:
    for where, document in NO_DESCRIPTIONS:
        with pytest.raises(catalogue.DescriptionRefused) as refusal:
            Description.from_json(document)
        assert refusal.value.where == where, document


def test_publishing_by_command(crema: DeviceModel, machine: Device, told: Any, tmp_path: Path) -> None:
    file, out = tmp_path / "crema.json", StringIO()
    call_command("publish_model", "CREMA-20", export=True, stdout=out)
    file.write_text(out.getvalue().replace('"Crema 20"', '"Crema twenty"'), "utf-8")
    out = StringIO()
    call_command("publish_model", "CREMA-20", file=file, stdout=out)
    assert "model, name: Crema 20 → Crema twenty (Alexa is told)" in out.getvalue()
    assert "touches 1 owned device(s) of 1 customer(s), 0 of them linked" in out.getvalue()
    assert now_live(crema).name == "Crema 20"
    with pytest.raises(CommandError, match="Say why"):
        call_command("publish_model", "CREMA-20", yes=True, stdout=out)
    call_command("publish_model", "CREMA-20", yes=True, reason="A better name", by="alice@example.com", stdout=out)
    assert (now_live(crema).name, told) == ("Crema twenty", [[machine.pk]])
    assert Revision.objects.get().reason == "A better name"
    with pytest.raises(CommandError, match="no draft"):
        call_command("publish_model", "CREMA-20", stdout=out)


def test_the_raw_figure_of_a_scale_becomes_what_is_reported() -> None:
    scale = Slot(measurement="Percentage", raw_zero=Decimal(120), raw_factor=Decimal("0.05"))
    shown = [scale.from_raw(Decimal(raw)) for raw in (120, 1120, 2120, 119, 2500)]
    assert shown == [0, 50, 100, 0, 100]
    assert Slot(raw_zero=Decimal(0), raw_factor=Decimal(1)).from_raw(Decimal(500)) == 500
    doses = Slot(sensor="usage", measurement="Volume", unit="MILLILITER", raw_factor=Decimal("2.5"))
    assert doses.from_raw(Decimal(4)) == 10


def test_a_marketplace_more_needs_no_code(crema: DeviceModel) -> None:
    Marketplace.objects.create(code="SE", name="Sweden", locale="sv-SE")
    published(crema, replace(CREMA, marketplaces=(*CREMA.marketplaces, Sale("SE", "Kaffemaskin"))))
    assert [sale.marketplace for sale in now_live(crema).marketplaces] == ["DE", "SE", "US"]


def test_the_marketplaces_that_amazon_names_are_there_from_the_beginning(db: None) -> None:
    assert set(Marketplace.objects.values_list("code", flat=True)) >= {"US", "UK", "DE", "FR", "IT", "ES", "JP"}
