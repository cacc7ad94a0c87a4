"""Who is there: when a unit was last heard, and who has been silent for too long.

``Device.last_seen_at`` may be a minute old, because writing it with every reading would make one hot row hotter; the
sweep allows for that minute. Both verbs send endpoint_changed(what="connectivity") inside their transaction.
"""

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q

from devices.models import Device, DeviceModel
from devices.signals import endpoint_changed

WRITE_EVERY = timedelta(minutes=1)
BATCH = 1000
# The lock comes first, so that whether it was online is judged by the newest row.
_HEARD = """
WITH held AS (SELECT id, online FROM devices_device WHERE id = %s FOR NO KEY UPDATE)
UPDATE devices_device AS d SET online = true, last_seen_at = greatest(d.last_seen_at, %s)
FROM held WHERE d.id = held.id RETURNING held.online
"""


def heard_from(device: Device, heard_at: datetime) -> None:
    """Note that a unit has just spoken; one that was offline is online again. Transactional, idempotent.

    ``device`` as it was read at most moments ago: most calls see there that nothing needs writing and cost no query.
    """
    if device.online and device.last_seen_at and heard_at - device.last_seen_at < WRITE_EVERY:
        return
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(_HEARD, [device.pk, heard_at])
        if cursor.fetchone() == (False,):
            endpoint_changed.send(sender=Device, device_ids=[device.pk], what="connectivity")


def doubt_clock(device: Device, heard_at: datetime) -> None:
    """Note that a unit's clock has just claimed a time that cannot be; at most once a minute. Transactional, idempotent."""
    if device.clock_doubted_at and heard_at - device.clock_doubted_at < WRITE_EVERY:
        return
    Device.objects.filter(pk=device.pk).update(clock_doubted_at=heard_at)


def mark_silent(now: datetime) -> int:
    """Mark as offline whoever has been silent for longer than its model allows; how many.

    Each batch is a transaction of its own and leaves alone what somebody else has locked, so several may run at once
    and a unit is told about once. A claimed unit that never spoke counts from its claim; an unclaimed one that never
    spoke is not judged.
    """
    return sum(_mark_model(model, now) for model in DeviceModel.objects.only("offline_after"))


def _mark_model(model: DeviceModel, now: datetime) -> int:
    quiet_since = now - model.offline_after - WRITE_EVERY
    marked = 0
    while found := _mark_batch(model, quiet_since):
        marked += found
    return marked


@transaction.atomic
def _mark_batch(model: DeviceModel, quiet_since: datetime) -> int:
    silent = Q(last_seen_at__lt=quiet_since) | Q(last_seen_at__isnull=True, claimed_at__lt=quiet_since)
    rows = Device.objects.filter(silent, device_model=model, online=True).order_by()
    ids = sorted(rows.select_for_update(no_key=True, skip_locked=True).values_list("pk", flat=True)[:BATCH])
    if ids:
        Device.objects.filter(pk__in=ids).update(online=False)
        endpoint_changed.send(sender=Device, device_ids=ids, what="connectivity")
    return len(ids)
