"""A draft: opened from what is live, saved, thrown away. Nothing here changes what is live or tells anybody."""

import hashlib
from typing import Any

from django.db import transaction
from django.db.models import Q

from devices.catalogue.description import Description, Product, Sale, SlotDescription
from devices.catalogue.difference import Change, difference
from devices.catalogue.fixed import lint_changes, slots_at_stake
from devices.catalogue.lint import Facts, Finding, lint
from devices.catalogue.rows import MODEL_COLUMNS, PRODUCT_COLUMNS, SLOT_COLUMNS
from devices.models import DeviceModel, Inventory, Marketplace, Picture, Revision, Slot

PICTURE_TYPES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}
LARGEST_PICTURE = 1_000_000  # bytes (Alexa reference 9.1: 1 MB)


class DraftChanged(Exception):
    """Somebody saved, published or threw away this draft since it was read."""


class PictureRefused(ValueError):
    """Not a picture that the Dash console takes; the text says which it takes."""


def live(model: DeviceModel) -> Description:
    """What is live now, as one value. Three queries; sorted here, for the database may sort letters otherwise."""
    columns = {name: getattr(model, name) for name in MODEL_COLUMNS if name != "offline_after"}
    return Description(
        **columns,
        offline_after_seconds=int(model.offline_after.total_seconds()),
        capabilities=tuple(sorted(model.capabilities)),
        picture=model.picture_id or "",
        marketplaces=tuple(
            Sale(code, name)
            for code, name in sorted(model.marketplaces.order_by().values_list("marketplace", "friendly_name"))
        ),
        slots=tuple(sorted(map(_slot, model.slots.prefetch_related("products")), key=lambda slot: slot.slot_id)),
    )


def _slot(slot: Slot) -> SlotDescription:
    columns = {name: getattr(slot, name) for name in SLOT_COLUMNS}
    if not slot.test_replenishment_id:  # told to Alexa before there were two: it is the live one
        columns["live_replenishment_id"] = slot.live_replenishment_id or slot.replenishment_id
    products = sorted(slot.products.all(), key=lambda product: (product.marketplace, product.asin))
    facts = (Product(**{name: getattr(product, name) for name in PRODUCT_COLUMNS}) for product in products)
    return SlotDescription(**columns, names=_names(slot), products=tuple(facts))


def _names(slot: Slot) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The main language first."""
    names: dict[str, list[str]] = {}
    for text, locale in slot.localized_names:
        names.setdefault(locale, []).append(text)
    return tuple((locale, tuple(texts)) for locale, texts in names.items())


def open_draft(model: DeviceModel, by: Any = None) -> Revision:
    """The draft of this model; a new one says what is live. Idempotent; a model has one draft at a time."""
    defaults = {"snapshot": lambda: live(model).to_json(), "edited_by": by}
    return model.revisions.get_or_create(state=Revision.State.DRAFT, defaults=defaults)[0]


@transaction.atomic
def save_draft(draft: Revision, description: Description, seen: str, by: Any = None) -> Revision:
    """Keep ``description`` as the draft. ``seen``: digest of the draft that the editor had read. Transactional; saying
    the same again changes nothing. Raises DraftChanged where it has become another one meanwhile.
    """
    row = still_a_draft(draft)
    if Description.from_json(row.snapshot) == description:
        return row
    if Description.from_json(row.snapshot).digest() != seen:
        raise DraftChanged("Somebody else has saved this draft meanwhile.")
    row.snapshot, row.edited_by = description.to_json(), by
    row.save(update_fields=["snapshot", "edited_by", "edited_at"])
    return row


@transaction.atomic
def discard(draft: Revision, by: Any = None) -> Revision:
    """Throw the draft away; it stays as a row. Transactional. Raises DraftChanged where it is no draft any more."""
    row = still_a_draft(draft)
    row.state, row.edited_by = Revision.State.DISCARDED, by
    row.save(update_fields=["state", "edited_by", "edited_at"])
    return row


def still_a_draft(draft: Revision) -> Revision:
    row = Revision.objects.select_for_update(of=["self"], no_key=True).filter(pk=draft.pk, state=Revision.State.DRAFT)
    if found := row.first():
        return found
    raise DraftChanged("This draft has been published or thrown away meanwhile.")


def keep_picture(content: bytes) -> Picture:
    """Keep a picture and return its row. Idempotent. Raises PictureRefused: BMP, JPEG, PNG or GIF of at most 1 MB."""
    media_type = next((kind for magic, kind in PICTURE_TYPES.items() if content.startswith(magic)), None)
    if media_type is None:
        raise PictureRefused("Amazon takes BMP, JPEG, PNG and GIF pictures.")
    if len(content) > LARGEST_PICTURE:
        raise PictureRefused(f"Amazon takes at most 1 MB; this picture has {len(content):,} bytes.")
    digest = hashlib.sha256(content).hexdigest()
    return Picture.objects.get_or_create(digest=digest, defaults={"media_type": media_type, "content": content})[0]


def review(model: DeviceModel, description: Description) -> tuple[list[Finding], list[Change]]:
    """What lint finds in a description that is to become this model, and what it would change."""
    now = live(model)
    facts = facts_about(model, now, description)
    findings = [*lint_changes(now, description, facts), *lint(description, facts)]
    return sorted(findings, key=lambda finding: finding.severity), difference(now, description)


def facts_about(model: DeviceModel, now: Description, description: Description) -> Facts:
    """What lint asks the database: a fixed number of small queries, and a look at readings only where slots are at stake."""
    wanted = {text for slot in description.slots for text in (slot.test_replenishment_id, slot.live_replenishment_id)}
    return Facts(
        languages=dict(Marketplace.objects.values_list("code", "locale")),
        taken_ids=_taken(model, wanted - {""}),
        pictures=frozenset(Picture.objects.filter(pk=description.picture).values_list("pk", flat=True)),
        slots_in_use=frozenset(slot for slot in slots_at_stake(now, description) if _in_use(model, slot)),
    )


def _taken(model: DeviceModel, wanted: set[str]) -> dict[str, str]:
    columns = ("replenishment_id", "test_replenishment_id", "live_replenishment_id")
    theirs = Q(*((f"{column}__in", wanted) for column in columns), _connector=Q.OR)
    rows = Slot.objects.filter(theirs).exclude(device_model=model)
    return {
        text: f"{owner}, slot {slot}"
        for owner, slot, *ids in rows.values_list("device_model__model_id", "slot_id", *columns)
        for text in ids
        if text in wanted
    }


def _in_use(model: DeviceModel, slot_id: str) -> bool:
    """Whoever has readings in a slot has an inventory in it, and of those there are far fewer. Of a slot that it is told by its key,
    the database knows that there may be none; else it would look through all of them for the first."""
    return Inventory.objects.filter(slot__in=list(model.slots.filter(slot_id=slot_id))).exists()
