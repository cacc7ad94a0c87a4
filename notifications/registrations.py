"""Registrations and the subscriptions of their slots: made on first mention, derived again from all notifications, many at once.

The fold is pure and in `folds.py`; who keeps the notifications is `ledger.py`.
"""

from collections import defaultdict
from collections.abc import Collection

from django.db import transaction

from devices.models import Device, Slot
from notifications import drs, folds
from notifications.models import DrsRegistration, Notification, SlotSubscription

Name = tuple[str, str]  # model ID, serial number
_SLOT = ("slot_name", "slot_id", "subscribed", "products", "stale", "gone", "last_at")
_KEY = ("id", "model_id", "serial_number")
_DERIVED = [field.name for field in DrsRegistration._meta.concrete_fields if field.name not in _KEY]


def of(names: Collection[Name]) -> dict[Name, int]:
    """The registrations' keys, made on first mention; two makers at once get the same row."""
    if not names:
        return {}
    # In one order, so that two who make the same ones wait in line.
    DrsRegistration.objects.bulk_create(
        [DrsRegistration(model_id=model, serial_number=serial) for model, serial in sorted(names)],
        ignore_conflicts=True,
    )
    rows = DrsRegistration.objects.filter(serial_number__in={serial for _, serial in names})
    return {(model, serial): pk for pk, model, serial in rows.values_list(*_KEY)}


@transaction.atomic(savepoint=False)
def rebuild(pks: Collection[int]) -> int:
    """These registrations by all their notifications, whatever they were before; for how many that made a difference.

    Idempotent, transactional, locks the registrations. What is as it should be is not written again.
    """
    if not pks:
        return 0
    locked = DrsRegistration.objects.select_for_update().filter(pk__in=pks).order_by("pk")
    before, known = {row.pk: row for row in locked}, _known_slots(pks)
    states = _states(pks)
    devices, slots = _devices(before.values()), _slots_of(before.values())
    derived = [_derived(row, states[row.pk], devices) for row in before.values()]
    wanted = {row.pk: _wanted_slots(row.model_id, states[row.pk], slots) for row in derived}
    changed = [row for row in derived if (_columns(row), wanted[row.pk]) != (_columns(before[row.pk]), known[row.pk])]
    _write(changed, wanted)
    return len(changed)


def _states(pks: Collection[int]) -> dict[int, folds.RegistrationState | None]:
    said: dict[int, list[drs.Notification]] = {pk: [] for pk in pks}
    rows = Notification.objects.filter(registration__in=pks, contradicted=False).order_by("pk")
    for pk, parsed in rows.values_list("registration_id", "parsed"):
        said[pk].append(drs.from_json(parsed))
    return {pk: folds.registration(some) for pk, some in said.items()}


def _devices(rows: Collection[DrsRegistration]) -> dict[Name, int]:
    found = Device.objects.filter(serial_number__in={row.serial_number for row in rows})
    return {
        (model, serial): pk for pk, model, serial in found.values_list("pk", "device_model__model_id", "serial_number")
    }


def _slots_of(rows: Collection[DrsRegistration]) -> dict[tuple[str, str], int]:
    found = Slot.objects.filter(device_model__model_id__in={row.model_id for row in rows})
    return {(model, name): pk for pk, model, name in found.values_list("pk", "device_model__model_id", "slot_id")}


def _known_slots(pks: Collection[int]) -> dict[int, list[tuple[object, ...]]]:
    known = defaultdict[int, list[tuple[object, ...]]](list)
    rows = SlotSubscription.objects.filter(registration__in=pks).values_list("registration_id", *_SLOT)
    for pk, *slot in sorted(rows, key=lambda row: row[1]):
        known[pk].append(tuple(slot))
    return known


def _derived(row: DrsRegistration, state: folds.RegistrationState | None, devices: dict[Name, int]) -> DrsRegistration:
    derived = DrsRegistration(pk=row.pk, model_id=row.model_id, serial_number=row.serial_number)
    if state:
        derived.state, derived.customer_id, derived.epoch = state.state, state.customer_id, state.epoch
        derived.since, derived.last_at = state.since, state.last_at
    derived.device_id = devices.get((row.model_id, row.serial_number))
    return derived


def _columns(row: DrsRegistration) -> list[object]:
    return [getattr(row, field.attname) for field in DrsRegistration._meta.concrete_fields]


def _wanted_slots(
    model_id: str, state: folds.RegistrationState | None, known: dict[tuple[str, str], int]
) -> list[tuple[object, ...]]:
    """In the database's words, to be compared with what stands there; folds sort by name."""
    return [
        (slot.slot_id, known.get((model_id, slot.slot_id)), slot.subscribed, [_product(item) for item in slot.products],
         slot.stale, list(slot.gone), slot.last_at)
        for slot in (state.slots if state else ())
    ]  # fmt: skip


def _product(item: drs.Item) -> dict[str, str]:
    return {"asin": item.asin or "", "quantity": f"{item.quantity:f}", "unit": item.unit}


def _write(rows: list[DrsRegistration], slots: dict[int, list[tuple[object, ...]]]) -> None:
    if not rows:
        return
    DrsRegistration.objects.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=_DERIVED)
    SlotSubscription.objects.filter(registration__in=rows).delete()
    SlotSubscription.objects.bulk_create(
        SlotSubscription(registration=row, **dict(zip(_SLOT, slot, strict=True)))
        for row in rows
        for slot in slots[row.pk]
    )
