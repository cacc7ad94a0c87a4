"""A draft becomes live: columns in one transaction, then the owned devices are told, 1,000 at a time.

Telling is not part of the transaction that writes the columns: a million units would hold a million rows locked. The revision
remembers how far it came (``told_up_to``), each set is a transaction of its own with the signal inside it, and a sweep goes on
where a process died.
"""

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.db.models import Count
from django.utils import timezone

from devices.catalogue import drafts
from devices.catalogue.description import Description, SlotDescription
from devices.catalogue.difference import Change
from devices.catalogue.lint import Finding
from devices.catalogue.rows import MODEL_COLUMNS, SLOT_COLUMNS, slot_row
from devices.models import Device, DeviceModel, Revision, Slot
from devices.registry import plain_name
from devices.signals import endpoint_changed, reach_asked

log = logging.getLogger(__name__)
AT_ONCE = 1000  # devices told in one transaction and one signal
_SLOT = [*SLOT_COLUMNS, "name", "locale", "names", "replenishment_id"]
INLINE = 5.0  # seconds for which publish itself tells; the sweep does the rest
COUNTING = "60s"  # a million units are not counted within a web page's time-out, and staff will wait


class PublishRefused(Exception):
    """A draft that cannot become live; ``findings`` are lint's errors where it was lint."""

    def __init__(self, reason: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(reason)
        self.findings = list(findings)


class Reach(NamedTuple):
    """Whom a publication touches: owned devices, the customers who own them, and how many of these are linked and hear it."""

    devices: int
    customers: int
    linked: int

    def __str__(self) -> str:
        return f"{self.devices} owned device(s) of {self.customers} customer(s), {self.linked} of them linked"


@dataclass(frozen=True)
class Published:
    """What a publication did. ``reach``: who is told of it; nobody where nothing that Alexa knows has changed."""

    revision: Revision
    changes: list[Change]
    reach: Reach

    @property
    def devices(self) -> int:
        return self.reach.devices


def fingerprint(model: DeviceModel, description: Description) -> str:
    """Of what a person sees before they confirm: what is live and what it is to become."""
    return hashlib.sha256(f"{drafts.live(model).digest()}:{description.digest()}".encode()).hexdigest()


def touched(model: DeviceModel, changes: Sequence[Change]) -> Reach:
    """Whom a publication with these changes touches. Who is linked is known to the rooms above, which are asked."""
    if not any(change.announced for change in changes):
        return Reach(0, 0, 0)
    owned = Device.objects.filter(device_model=model, owner__isnull=False)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [COUNTING])
        answers = reach_asked.send(sender=DeviceModel, device_model_id=model.pk)
        counts = owned.aggregate(devices=Count("pk"), customers=Count("owner", distinct=True))
    return Reach(**counts, linked=sum(count for _, count in answers))


def publish(
    draft: Revision, reason: str, by: Any = None, seen: str | None = None, seconds: float = INLINE
) -> Published:
    """Make the draft live and tell exactly the owned devices of the model, if anything that Alexa knows has changed.

    The columns change in one transaction, under a lock of the model; endpoint_changed(description) follows in sets of
    at most 1,000 ascending IDs, each in its own transaction, for ``seconds``; what is left then, or failed, is told by
    tell_waiting. Not idempotent, but a draft is published once. ``seen``: fingerprint of what was confirmed. Raises
    PublishRefused for a missing reason, lint's errors, an empty difference, or what changed since it was seen.
    """
    if not reason.strip():
        raise PublishRefused("Say why it is published: the reason stays in the log.")
    try:
        done = _make_live(draft, reason.strip(), by, seen)
    except drafts.DraftChanged as error:
        raise PublishRefused(str(error)) from error
    except IntegrityError as error:  # a first reading in a slot that goes, or the same ID in another model, just now
        raise PublishRefused("Something that does not fit was saved at the same moment. Look at it again.") from error
    _tell_or_leave(done.revision, seconds)
    done.revision.refresh_from_db()
    return done


def tell_waiting(seconds: float = 20) -> int:
    """Go on with publications of which not everybody has been told, for so long. How many units it went through."""
    end, told = time.monotonic() + seconds, 0
    for revision in Revision.objects.filter(told_up_to__isnull=False).order_by("pk"):
        told += _tell_or_leave(revision, end - time.monotonic())
    return told


def _tell_or_leave(revision: Revision, seconds: float) -> int:
    """A receiver that fails undoes its own set only; the sweep asks again, and other publications do not wait for it."""
    try:
        return tell(revision, seconds)
    except Exception:
        log.exception(
            "revision %s: telling stopped after device %s; the sweep goes on", revision.pk, revision.told_up_to
        )
        return 0


def tell(revision: Revision, seconds: float) -> int:
    """Tell the devices of one publication from where it stopped, for at most about ``seconds``. Safe beside itself: who
    finds the revision locked leaves it alone, and nobody is told twice unless a device changes hands meanwhile. If the
    model has another name, so have its units that nobody named, owned or not. How many units it went through.
    """
    end, told = time.monotonic() + seconds, 0
    while (now := _tell_some(revision)) and (told := told + now) and time.monotonic() < end:
        pass
    return told


@transaction.atomic
def _tell_some(revision: Revision) -> int:
    rows = Revision.objects.select_for_update(of=["self"], no_key=True, skip_locked=True)
    row = rows.filter(pk=revision.pk, told_up_to__isnull=False).first()
    if row is None:
        return 0
    units = Device.objects.filter(device_model_id=row.device_model_id, pk__gt=row.told_up_to).order_by("pk")
    if not row.former_name:
        units = units.filter(owner__isnull=False)
    owners = dict(units.values_list("pk", "owner")[:AT_ONCE])
    row.told_up_to = max(owners) if len(owners) == AT_ONCE else None
    row.save(update_fields=["told_up_to"])
    if row.former_name:
        _call_anew(list(owners), row)
    if owned := [pk for pk, owner in owners.items() if owner is not None]:
        endpoint_changed.send(sender=Device, device_ids=owned, what="description", among=row.devices)
    return len(owners)


def _call_anew(ids: list[int], row: Revision) -> None:
    """By what the model is called now, for a later publication may have gone by already; none does while it is locked here."""
    model = DeviceModel.objects.select_for_update(of=["self"], no_key=True).get(pk=row.device_model_id)
    unnamed = Device.objects.filter(pk__in=ids, name=row.former_name).order_by("pk").select_for_update(no_key=True)
    found = list(unnamed.values_list("pk", flat=True))
    Device.objects.filter(pk__in=found).update(name=plain_name(model.name))


@transaction.atomic
def _make_live(draft: Revision, reason: str, by: Any, seen: str | None) -> Published:
    model = DeviceModel.objects.select_for_update(of=["self"], no_key=True).get(pk=draft.device_model_id)
    row = drafts.still_a_draft(draft)
    description = Description.from_json(row.snapshot)
    if seen is not None and seen != fingerprint(model, description):
        raise PublishRefused("The draft or what is live has changed since you looked. Look at it again.")
    changes = _expect_publishable(model, description)
    before = plain_name(model.name)
    _write(model, description)
    row.former_name = before if before != plain_name(model.name) else ""
    row.state, row.reason, row.published_by, row.published_at = Revision.State.PUBLISHED, reason, by, timezone.now()
    reach = touched(model, changes)
    row.devices, row.changes = reach.devices, [str(change) for change in changes]
    row.told_up_to = 0 if row.devices or row.former_name else None
    row.save()
    return Published(row, changes, reach)


def _expect_publishable(model: DeviceModel, description: Description) -> list[Change]:
    findings, changes = drafts.review(model, description)
    if errors := [finding for finding in findings if finding.severity == "error"]:
        raise PublishRefused("Lint found errors; nothing was published.", errors)
    if not changes:
        raise PublishRefused("The draft says what is live already; there is nothing to publish.")
    return changes


def _write(model: DeviceModel, description: Description) -> None:
    for column in MODEL_COLUMNS:
        setattr(model, column, getattr(description, column))
    model.capabilities, model.picture_id = list(description.capabilities), description.picture or None
    model.save(update_fields=[*MODEL_COLUMNS, "capabilities", "picture"])
    model.marketplaces.exclude(marketplace__in=[sale.marketplace for sale in description.marketplaces]).delete()
    for sale in description.marketplaces:
        names = {"friendly_name": sale.friendly_name}
        model.marketplaces.update_or_create(marketplace_id=sale.marketplace, defaults=names)
    _write_slots(model, description)


def _write_slots(model: DeviceModel, description: Description) -> None:
    """IDs and instances may move from slot to slot: those that change are put aside first, so that none meets its twin."""
    model.slots.exclude(slot_id__in=[slot.slot_id for slot in description.slots]).delete()
    model.slots.update(test_replenishment_id="", live_replenishment_id="")
    there = {slot.slot_id: slot for slot in model.slots.all()}
    for slot in description.slots:
        if slot.slot_id in there and there[slot.slot_id].instance != slot.instance:
            Slot.objects.filter(pk=there[slot.slot_id].pk).update(instance=f"~{there[slot.slot_id].pk}")
    for slot in description.slots:
        _write_slot(model, description, slot, there.get(slot.slot_id))


def _write_slot(model: DeviceModel, description: Description, slot: SlotDescription, there: Slot | None) -> None:
    row = slot_row(description, slot)
    row.device_model = model
    row.pk = there.pk if there else None
    row.save(update_fields=_SLOT if there else None)
    kept = [(product.marketplace, product.asin) for product in slot.products]
    for old in row.products.all():
        if (old.marketplace, old.asin) not in kept:
            old.delete()
    for product in slot.products:
        columns = {name: getattr(product, name) for name in ("title", "quantity", "unit", "active")}
        key = {"marketplace": product.marketplace, "asin": product.asin}
        row.products.update_or_create(**key, defaults=columns)
