"""Asking Smart Properties for what is due: claim → talk → settle. On the wire outside any transaction; delay is a column.

What is due and why is `operations.py`; the wire is `asp_api.py`.
"""

import logging
import random
from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Now

from notifications import asp, asp_api, operations
from notifications.asp_api import AspError
from notifications.models import PropertyOperation
from notifications.operations import Kind, State

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)  # longer than the calls of one operation together
SET_UP_LOOK = timedelta(hours=1)  # between two questions whether a planned device is there
EVENT_WAIT = timedelta(minutes=15)  # then we ask whether the role is there: events can be lost
LONGEST_PAUSE = 3600.0  # seconds
_CLAIM = """
UPDATE notifications_propertyoperation SET leased_until = statement_timestamp() + %s, attempts = attempts + 1
WHERE id = (
  SELECT id FROM notifications_propertyoperation
  WHERE due_at <= statement_timestamp() AND (leased_until IS NULL OR leased_until < statement_timestamp())
  ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING *
"""


def operate_next() -> bool:
    """Ask for the operation that has been due longest; False when none is. Several workers share the work.

    Idempotent at Amazon: a device that is in its unit already is not put there again, a role that is there is not given twice.
    """
    row = _claim()
    if row is None:
        return False
    try:
        {Kind.ASSOCIATE: _associate, Kind.ASSIGN: _role, Kind.REVOKE: _role}[Kind(row.kind)](row)
    except AspError as problem:
        _settle_failure(row, problem)
    return True


def _claim() -> PropertyOperation | None:
    """Whoever dies with it leaves it to the next after the lease. One statement."""
    return next(iter(PropertyOperation.objects.raw(_CLAIM, [LEASE])), None)


def _associate(row: PropertyOperation) -> None:
    found = _known(row)
    if row.set_up_at is None:
        _take_as_set_up(row, found)
        return
    if found is None:
        raise AspError("Amazon knows no such device: was it set up with another account, or deregistered?", 404)
    if not row.identified:
        operations.identify(row, asp.serial_in(found))
        _give_back(row)  # with what is planned for this serial number it is due again, when its unit is ready
        return
    if _is_one_of(row.unit_id, asp.units_in(found)):
        operations.serve(row, asp.endpoint_in(found), "It was in its unit already.")
        return
    answer = asp_api.associate(asp.endpoint_in(found) or row.endpoint_id, row.unit_id)
    log.info("Smart Properties: %s is in %s", row.endpoint_id, row.unit_id)
    operations.serve(row, asp.endpoint_in(answer), "Amazon put it into its unit.")


def _take_as_set_up(row: PropertyOperation, found: object) -> None:
    """No set-up was told, but events can be lost: a device that Amazon knows is set up."""
    if found and operations.find(row, asp.endpoint_in(found), asp.serial_in(found)):
        _give_back(row)
    else:
        _settle(row, due_at=Now() + SET_UP_LOOK, attempts=0)


def _known(row: PropertyOperation) -> object:
    """The device as Amazon knows it, or None; by its serial number where we have no endpoint ID, or died before we noted a new one."""
    try:
        if row.endpoint_id:
            return asp_api.endpoint(row.endpoint_id)
    except AspError as problem:
        if problem.status != 404:
            raise
    found = asp_api.endpoint_by_serial(row.serial_number) if row.serial_number else None
    return found if asp.endpoint_in(found) else None


def _is_one_of(unit_id: str, units: set[str]) -> bool:
    """Amazon's console and API call a unit by different IDs: where the text is another, the API is asked for its own."""
    return unit_id in units or (bool(units) and asp_api.unit_id(unit_id) in units)


def _role(row: PropertyOperation) -> None:
    if row.state == State.ASKED:
        _check_role(row)
        return
    verb = asp_api.assign if row.kind == Kind.ASSIGN else asp_api.revoke
    try:
        verb(row.role_id, row.principal_id, propagate=row.propagate)
    except AspError as problem:
        if problem.retry or not _as_wanted(row):
            raise
        _done(row, "It was so already.")
        return
    if not row.propagate:
        _done(row, "Amazon's answer is final: nothing had to be propagated.")
        return
    changed = _settle(row, state=State.ASKED, asked_at=Now(), due_at=Now() + EVENT_WAIT, reason=operations.PROPAGATED)
    if changed:
        operations.close_roles()


def _check_role(row: PropertyOperation) -> None:
    """No event came: ask."""
    if _as_wanted(row):
        _done(row, "No event came; Amazon says that it is so.")
    else:
        _settle(row, due_at=Now() + EVENT_WAIT)


def _as_wanted(row: PropertyOperation) -> bool:
    has_it = any(asp.mentions(page, row.role_id) for page in asp_api.assignments(row.principal_id))
    return has_it == (row.kind == Kind.ASSIGN)


def _done(row: PropertyOperation, reason: str) -> None:
    _settle(row, state=State.DONE, due_at=None, reason=reason)


def _settle(row: PropertyOperation, **columns: object) -> bool:
    """Only what has not changed since it was claimed; what has stays due."""
    same = PropertyOperation.objects.filter(pk=row.pk, version=row.version)
    if same.update(**columns, leased_until=None, version=F("version") + 1):
        return True
    _give_back(row)
    return False


def _give_back(row: PropertyOperation) -> None:
    PropertyOperation.objects.filter(pk=row.pk).update(leased_until=None)


def _settle_failure(row: PropertyOperation, problem: AspError) -> None:
    log.warning("Smart Properties refused %s: %s", row.pk, problem)
    if problem.retry:
        pause = min(LONGEST_PAUSE, 5.0 * 2.0 ** min(row.attempts, 12)) * random.uniform(0.5, 1)  # noqa: S311 (jitter)
        _settle(row, due_at=Now() + timedelta(seconds=pause), reason=str(problem))
    else:
        _settle(row, state=State.FAILED, due_at=None, reason=str(problem))
