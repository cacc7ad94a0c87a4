"""What we want of Smart Properties, row by row: planned by staff, released and closed by Amazon's events. Nothing here is on the wire.

Plans and events may come in any order and any number of times: a device's row is derived from all its set-ups and its plan.
Asking Amazon is `operating.py`.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Max, Q, QuerySet
from django.db.models.functions import Now

from notifications import asp, asp_api
from notifications.models import EndpointAlias, PropertyEvent, PropertyOperation

State, Kind = PropertyOperation.State, PropertyOperation.Kind
UNIT_READY = timedelta(seconds=60)  # Amazon says so within 10; events can be lost, so then we just try
SET_UP_WAIT = timedelta(minutes=15)  # then we ask whether a planned device is there: events can be lost
CLOCKS = timedelta(seconds=60)  # by so much theirs and ours may differ
ENDPOINT = "amzn1.alexa.endpoint."  # so begins an endpoint ID; any other name is a serial number
NO_UNIT = "It is set up; no unit is planned for it."
NO_SET_UP = "Planned; it waits for its set-up."
QUEUED = "It is set up; its turn comes."
TOLD, PROPAGATED = "Amazon's event says so.", "Amazon propagates it."
_ARMED = [
    "unit_id", "endpoint_id", "serial_number", "identified", "set_up_at", "served_at", "state", "reason", "due_at", "version",
]  # fmt: skip


def plan(name: str, unit_id: str) -> PropertyOperation:
    """This device (endpoint ID or serial number) belongs into this unit; due as soon as it is set up. Idempotent.

    Raises ValueError, in words, for what can be no name of either.
    """
    check_plan(name, unit_id)
    with transaction.atomic():
        _alone()
        by_endpoint = name.startswith(ENDPOINT)
        row = _row_of(endpoint_id=_canonical(name)) if by_endpoint else _row_of(serial_number=name)
        if row.unit_id != unit_id:
            row.unit_id, row.served_at, row.state = unit_id, None, State.WAITING
            _arm(row)
        return row


def check_plan(name: str, unit_id: str) -> None:
    """Raises ValueError, in words, for what can be no name of a device or of a unit."""
    longest = 512 if name.startswith(ENDPOINT) else 255
    for what, text, most in (("A device's name", name, longest), ("A unit's ID", unit_id, 512)):
        if not text.strip() or len(text) > most or not text.isprintable():
            raise ValueError(f"{what} is text of 1 to {most} characters, all of them printable.")


def withdraw(row: PropertyOperation) -> bool:
    """It is not wanted any more; False when it is done or withdrawn already. What Amazon has done stays done.

    A device that is set up anew, or planned again, is looked at again.
    """
    with transaction.atomic():
        _alone()
        open_ = PropertyOperation.objects.filter(pk=row.pk).exclude(state__in=[State.DONE, State.WITHDRAWN])
        if row.kind != Kind.ASSOCIATE:
            return bool(open_.update(state=State.WITHDRAWN, due_at=None, version=F("version") + 1, reason="By staff."))
        found = open_.select_for_update().first()
        if found and found.endpoint_id:
            found.unit_id, found.state, found.reason, found.due_at = "", State.WITHDRAWN, "By staff.", None
            _arm(found)
        elif found:
            found.delete()
        return found is not None


def retry(row: PropertyOperation) -> bool:
    """Ask Amazon again for what it refused; False when it was not refused."""
    return bool(_ask_again(PropertyOperation.objects.filter(pk=row.pk)))


def _ask_again(rows: QuerySet[PropertyOperation]) -> int:
    refused = rows.filter(state=State.FAILED)
    return refused.update(state=State.QUEUED, due_at=Now(), attempts=0, version=F("version") + 1)


def ask_for_role(
    kind: str, role_id: str, principal_id: str, unit_id: str = "", *, propagate: bool = False
) -> PropertyOperation:
    """Give (assign) or take (revoke) a role; an open one of the same kind is not made twice."""
    with transaction.atomic():
        _alone()
        same = {"kind": kind, "role_id": role_id, "principal_id": principal_id, "propagate": propagate}
        row = PropertyOperation.objects.filter(**same, state__in=[State.QUEUED, State.ASKED]).first()
        if row is None:
            row = PropertyOperation(**same, unit_id=unit_id, state=State.QUEUED)
            row.due_at = _turn(unit_id)
            row.save()
        return row


def hear(events: Iterable[asp.Event]) -> None:
    """What these events release, close and make due; those that do not count any more, too: what followed from them is derived
    without. In a transaction; idempotent."""
    heard = [event for event in events if event.kind in (asp.SETUP, asp.ACTIVATION, asp.ASSIGNMENT, asp.REVOCATION)]
    if not heard:
        return
    _alone()
    for name in sorted({_canonical(event.endpoint_id) for event in heard if event.kind == asp.SETUP}):
        _arm(_row_of(endpoint_id=name))
    _release({event.unit_id for event in heard if event.kind == asp.ACTIVATION} - {""})
    for event in heard:
        if event.kind in (asp.ASSIGNMENT, asp.REVOCATION):
            _reopen(event)
    close_roles()


def concerned(event: PropertyEvent) -> QuerySet[PropertyOperation]:
    """What such an event releases, closes or makes due, whether this one did or another had already."""
    rows, said = PropertyOperation.objects, asp.from_json(event.parsed)
    if event.kind == asp.SETUP:
        return rows.filter(kind=Kind.ASSOCIATE, endpoint_id=_canonical(event.endpoint_id))
    if event.kind == asp.ACTIVATION and event.unit_id:
        return rows.filter(unit_id=event.unit_id)
    kind = {asp.ASSIGNMENT: Kind.ASSIGN, asp.REVOCATION: Kind.REVOKE}.get(event.kind)
    return rows.filter(kind=kind, role_id=said.role_id, principal_id=said.principal_id) if kind else rows.none()


def _release(units: set[str]) -> None:
    """What waited for those of these units that are ready, or was refused while they were not, is due now."""
    ready = PropertyEvent.objects.filter(kind=asp.ACTIVATION, contradicted=False, unit_id__in=units)
    concerned = PropertyOperation.objects.filter(unit_id__in=set(ready.values_list("unit_id", flat=True)))
    concerned.filter(state=State.QUEUED, due_at__gt=Now()).update(due_at=Now())
    _ask_again(concerned)


def _reopen(event: asp.Event) -> None:
    """What was closed because of it is asked for again, unless something else closes it."""
    kind = Kind.ASSIGN if event.kind == asp.ASSIGNMENT else Kind.REVOKE
    closed = PropertyOperation.objects.filter(kind=kind, state=State.DONE, reason=TOLD)
    closed.filter(role_id=event.role_id, principal_id=event.principal_id).update(
        state=State.ASKED, reason=PROPAGATED, due_at=Now(), version=F("version") + 1
    )


def close_roles() -> None:
    """Roles whose event has come are done; whichever is noted first, the event or that we asked. Twice changes nothing."""
    for row in PropertyOperation.objects.filter(kind__in=[Kind.ASSIGN, Kind.REVOKE], state=State.ASKED):
        kind = asp.ASSIGNMENT if row.kind == Kind.ASSIGN else asp.REVOCATION
        told = PropertyEvent.objects.filter(
            kind=kind, contradicted=False, happened_at__gte=(row.asked_at or row.created_at) - CLOCKS
        )
        told = told.filter(parsed__principal_id=row.principal_id, parsed__role_id=row.role_id)
        if told.exists():
            _close(row, TOLD)


def _close(row: PropertyOperation, reason: str) -> None:
    PropertyOperation.objects.filter(pk=row.pk).update(
        state=State.DONE, reason=reason, due_at=None, version=F("version") + 1
    )


def _alone() -> None:
    """One at a time: two halves of one device may come at once. Rare, and short."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('properties.operations'))")


def _canonical(endpoint_id: str) -> str:
    return EndpointAlias.objects.filter(alias=endpoint_id).values_list("endpoint_id", flat=True).first() or endpoint_id


def _row_of(**name: str) -> PropertyOperation:
    """The device's row, made on first mention, and locked: whoever asks Amazon for it now writes its lease there."""
    made, _ = PropertyOperation.objects.get_or_create(kind=Kind.ASSOCIATE, **name)
    return PropertyOperation.objects.select_for_update().get(pk=made.pk)


def _arm(row: PropertyOperation) -> None:
    """Derive a device's row from its plan and all its set-ups, unless it was given up and nothing is new. In a transaction."""
    newest = _set_up_at(row)
    given_up = row.state in (State.FAILED, State.WITHDRAWN)
    if not given_up or newest != row.set_up_at:  # a repetition is no reason to ask again
        _derive(row, newest)
    row.version += 1
    row.save(update_fields=_ARMED)


def _derive(row: PropertyOperation, set_up_at: datetime | None) -> None:
    """It is due when it has a plan and a set-up and was not served since, or when Amazon has to tell its serial number."""
    row.set_up_at = set_up_at
    fresh = row.set_up_at is not None and (row.served_at is None or row.served_at < row.set_up_at)
    before = row.state
    if fresh and (row.unit_id or not (row.identified or asp_api.missing())):
        row.state, row.reason = State.QUEUED, QUEUED
        if before != State.QUEUED or row.due_at is None:
            row.due_at = _turn(row.unit_id)
    elif row.state != State.DONE or not row.served_at:
        row.state, row.reason = State.WAITING, NO_UNIT if row.set_up_at else NO_SET_UP
        row.due_at = Now() + SET_UP_WAIT if row.unit_id and not row.set_up_at else None


def _set_up_at(row: PropertyOperation) -> datetime | None:
    """The newest set-up of a device under any of its names, told or found out by asking."""
    if not row.endpoint_id:
        return None
    aliases = EndpointAlias.objects.filter(endpoint_id=row.endpoint_id).values_list("alias", flat=True)
    told = PropertyEvent.objects.filter(
        kind=asp.SETUP, contradicted=False, endpoint_id__in=[row.endpoint_id, *aliases]
    ).aggregate(newest=Max("happened_at"))["newest"]
    return max(filter(None, (told, row.found_at)), default=None)


def _turn(unit_id: str) -> object:
    """Now for a unit that Amazon said is ready, else a little later: events can be lost."""
    ready = PropertyEvent.objects.filter(kind=asp.ACTIVATION, contradicted=False, unit_id=unit_id)
    return Now() if not unit_id or ready.exists() else Now() + UNIT_READY


def find(row: PropertyOperation, endpoint_id: str, serial_number: str) -> bool:
    """Amazon knows a planned device of which no set-up was told; False when one was told meanwhile. Twice changes nothing."""
    with transaction.atomic():
        _alone()
        others = PropertyOperation.objects.filter(~Q(pk=row.pk), kind=Kind.ASSOCIATE)
        other = others.filter(endpoint_id=_canonical(endpoint_id)).select_for_update().first()
        if other:
            _revive(other)
            _arm(other)
            return False  # its turn comes, and then it finds this plan
        waiting = PropertyOperation.objects.filter(pk=row.pk, set_up_at=None).exclude(unit_id="")
        found = waiting.update(endpoint_id=endpoint_id, found_at=Now())
        if found:
            identify(row, serial_number or row.serial_number)
        return bool(found)


def _revive(row: PropertyOperation) -> None:
    """A device that was refused or withdrawn is planned by its serial number, as Amazon tells: it counts again."""
    if row.state in (State.FAILED, State.WITHDRAWN):
        row.state = State.WAITING


def identify(row: PropertyOperation, serial_number: str) -> None:
    """Amazon told the serial number of a device that was set up: what was planned by it is found. Idempotent."""
    with transaction.atomic():
        _alone()
        row = PropertyOperation.objects.select_for_update().get(pk=row.pk)
        planned = PropertyOperation.objects.filter(~Q(pk=row.pk), kind=Kind.ASSOCIATE, serial_number=serial_number)
        other = planned.first() if serial_number else None
        if other:  # the other half of this row, or the same device under a name of before
            row.unit_id = row.unit_id or other.unit_id
            _revive(row)
            if other.endpoint_id:
                EndpointAlias.objects.update_or_create(
                    alias=other.endpoint_id, defaults={"endpoint_id": row.endpoint_id}
                )
            other.delete()
        row.identified, row.serial_number, row.due_at = True, serial_number, None
        _arm(row)


def rename(row: PropertyOperation, endpoint_id: str) -> PropertyOperation:
    """Association gave the device another endpoint ID: the old one stays as its alias. In a transaction."""
    if not endpoint_id or endpoint_id == row.endpoint_id:
        return row
    EndpointAlias.objects.filter(endpoint_id=row.endpoint_id).update(endpoint_id=endpoint_id)
    EndpointAlias.objects.update_or_create(alias=row.endpoint_id, defaults={"endpoint_id": endpoint_id})
    EndpointAlias.objects.filter(alias=endpoint_id).delete()
    PropertyOperation.objects.filter(~Q(pk=row.pk), kind=Kind.ASSOCIATE, endpoint_id=endpoint_id).delete()
    row.endpoint_id = endpoint_id
    return row


def serve(claimed: PropertyOperation, endpoint_id: str, reason: str) -> None:
    """The device is in the unit that was `claimed`; what changed meanwhile is due again. Twice changes nothing."""
    with transaction.atomic():
        _alone()
        row = PropertyOperation.objects.select_for_update().filter(pk=claimed.pk).first()
        if row is None:
            return
        row = rename(row, endpoint_id)
        PropertyOperation.objects.filter(pk=row.pk).update(leased_until=None, attempts=0)
        if row.unit_id == claimed.unit_id:
            row.served_at, row.state, row.reason, row.due_at = claimed.set_up_at, State.DONE, reason, None
        _arm(row)
