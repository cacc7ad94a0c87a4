"""Registrations and the subscriptions of their slots: made on first mention, derived again from all notifications.

The fold is pure and in `folds.py`; who keeps the notifications is `ledger.py`.
"""

from django.db import transaction

from devices.models import Device, Slot
from notifications import drs, folds
from notifications.models import DrsRegistration, SlotSubscription


def of(model_id: str, serial_number: str) -> DrsRegistration:
    """The registration, made on first mention; two makers at once get the same row."""
    key = {"model_id": model_id, "serial_number": serial_number}
    DrsRegistration.objects.bulk_create([DrsRegistration(**key)], ignore_conflicts=True)
    return DrsRegistration.objects.get(**key)


@transaction.atomic(savepoint=False)
def rebuild(registration: DrsRegistration) -> bool:
    """The registration by all its notifications, whatever it was before; True when that made a difference.

    Idempotent, transactional, locks the registration.
    """
    before = _all_of(DrsRegistration.objects.select_for_update().get(pk=registration.pk))
    rows = registration.notifications.filter(contradicted=False).order_by("pk")
    state = folds.registration(drs.from_json(row.parsed) for row in rows)
    derived = DrsRegistration(
        pk=registration.pk, model_id=registration.model_id, serial_number=registration.serial_number
    )
    _write(derived, state)
    _write_slots(derived, state.slots if state else ())
    return _all_of(DrsRegistration.objects.get(pk=registration.pk)) != before


def _all_of(registration: DrsRegistration) -> tuple[object, ...]:
    slots = registration.subscriptions.values_list(
        "slot_name", "slot_id", "subscribed", "products", "stale", "gone", "last_at"
    )
    return *(getattr(registration, field.attname) for field in DrsRegistration._meta.concrete_fields), list(slots)


def _write(derived: DrsRegistration, state: folds.RegistrationState | None) -> None:
    if state:
        derived.state, derived.customer_id, derived.epoch = state.state, state.customer_id, state.epoch
        derived.since, derived.last_at = state.since, state.last_at
    derived.device = Device.objects.filter(
        serial_number=derived.serial_number, device_model__model_id=derived.model_id
    ).first()
    derived.save(force_update=True)


def _write_slots(registration: DrsRegistration, slots: tuple[folds.SlotState, ...]) -> None:
    registration.subscriptions.all().delete()
    known = Slot.objects.filter(device_model__model_id=registration.model_id)
    by_name = {slot.slot_id: slot for slot in known}
    SlotSubscription.objects.bulk_create(
        SlotSubscription(
            registration=registration,
            slot=by_name.get(state.slot_id),
            slot_name=state.slot_id,
            subscribed=state.subscribed,
            products=[_product(item) for item in state.products],
            stale=state.stale,
            gone=list(state.gone),
            last_at=state.last_at,
        )
        for state in slots
    )


def _product(item: drs.Item) -> dict[str, str]:
    return {"asin": item.asin or "", "quantity": f"{item.quantity:f}", "unit": item.unit}
