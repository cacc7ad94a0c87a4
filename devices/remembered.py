"""What every request of a unit asks for and what hardly ever changes: its model and the model's slots, and its own row.

Models and slots are remembered by each process for SECONDS, so a change made elsewhere is heard a few seconds later, as
if the readings in between had come before it; a change made in this process is heard at once. The unit's own row,
which carries its keys, is never remembered: a revoked key opens nothing. It is only read without the ORM building the same
query again for every request, which costs more than the query.
"""

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connection
from django.db.models.signals import post_delete, post_save

from devices.models import Device, DeviceModel, Slot

SECONDS = 5.0


class Known(NamedTuple):
    """A model with its slots by slot ID, and until when this may be believed (monotonic)."""

    model: DeviceModel
    slots: dict[str, Slot]
    until: float


_known: dict[int, Known] = {}
_columns = [field.column for field in Device._meta.concrete_fields]
_names = [field.attname for field in Device._meta.concrete_fields]
_BY_SERIAL = "SELECT {} FROM {} WHERE serial_number = %s".format(  # noqa: S608 (our own names)
    ", ".join(f'"{column}"' for column in _columns), Device._meta.db_table
)


def device(serial: str) -> Device | None:
    """The unit with this serial number; one query. Its model is not asked for: that is for whoever shows the key."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_SERIAL, [serial])
        row = cursor.fetchone()
    return Device.from_db(connection.alias, _names, row) if row else None


def model(pk: int) -> DeviceModel:
    """The model, at most SECONDS old. To be read, not to be changed."""
    return _recall(pk).model


def slots(pk: int, wanted: Iterable[Any]) -> dict[str, Slot]:
    """The model's slots by slot ID, at most SECONDS old; read anew when one of those wanted is not among them."""
    known = _recall(pk)
    if not all(isinstance(name, str) and name in known.slots for name in wanted):
        known = _read(pk)
    return known.slots


def forget(**_: Any) -> None:
    """Believe nothing any more. Called when this process changes a model or a slot."""
    _known.clear()


def _recall(pk: int) -> Known:
    known = _known.get(pk)
    return known if known and known.until > time.monotonic() else _read(pk)


def _read(pk: int) -> Known:
    until = time.monotonic() + SECONDS
    found = {slot.slot_id: slot for slot in Slot.objects.filter(device_model_id=pk)}
    known = _known[pk] = Known(DeviceModel.objects.get(pk=pk), found, until)
    return known


for _sender in (DeviceModel, Slot):
    post_save.connect(forget, sender=_sender, dispatch_uid="devices.remembered")
    post_delete.connect(forget, sender=_sender, dispatch_uid="devices.remembered")
