"""What Dash notifications add up to: pure folds of all that was said about one key into its state.

The state depends only on the set of notifications, never on the order in which they came or how often. Reading one
notification is `drs.py`; rows and locks are `ledger.py`, `orders.py` and `registrations.py`. Imports nothing of Django.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from notifications.drs import CANCELLED, DEREGISTERED, PLACED, REGISTERED, SHIPPED, SUBSCRIBED, Item, Notification


@dataclass(frozen=True)
class OrderState:
    """Where an order stands by everything that was said about it. `placed_at` is None for one never said placed."""

    state: str
    conflict: bool
    serial_number: str
    model_id: str
    slot_id: str
    first_at: datetime
    last_at: datetime
    placed_at: datetime | None
    items: tuple[Item, ...]

    @property
    def estimated_delivery(self) -> datetime | None:
        """When the last item should be there."""
        return max((item.estimated_delivery for item in self.items if item.estimated_delivery), default=None)


def order(notifications: Iterable[Notification]) -> OrderState | None:
    """The state of one order by all notifications about it, in any order and repetition; None when none counts.

    Pure. Twins that contradict each other count for nothing. Source: DRS notifications, section 7.1.
    """
    history = agreed(notifications)
    if not history:
        return None
    kinds, last = {said.type for said in history}, history[-1]
    placed = [said.time for said in history if said.type == PLACED]
    return OrderState(
        state="SHIPPED" if SHIPPED in kinds else "CANCELLED" if CANCELLED in kinds else "PLACED",
        conflict={SHIPPED, CANCELLED} <= kinds,
        serial_number=last.serial_number, model_id=last.model_id, slot_id=last.slot_id,
        first_at=history[0].time, last_at=last.time, placed_at=placed[0] if placed else None, items=_products(history),
    )  # fmt: skip


def agreed(notifications: Iterable[Notification]) -> list[Notification]:
    """What counts, once each and in Amazon's order of time: twins that contradict each other count for nothing."""
    by_id: dict[str, dict[str, Notification]] = {}
    for said in notifications:
        by_id.setdefault(said.notification_id, {})[said.digest] = said
    counts = (said for twins in by_id.values() if len(twins) == 1 for said in twins.values())
    return sorted(counts, key=lambda said: (said.time, said.type == DEREGISTERED, said.notification_id))


def _products(history: Iterable[Notification]) -> tuple[Item, ...]:
    known: tuple[Item, ...] = ()
    for said in history:
        if said.items:
            known = _newer(known, said.items)
    return known


def _newer(known: tuple[Item, ...], said: tuple[Item, ...]) -> tuple[Item, ...]:
    """The newer list, its gaps filled from the older: product by product, or by place where products have no name."""
    named = any(item.asin for item in said)
    if not named and any(item.asin for item in known) and len(said) != len(known):
        dates = [item.estimated_delivery for item in said if item.estimated_delivery]
        return tuple(replace(item, estimated_delivery=max(dates, default=item.estimated_delivery)) for item in known)
    by_asin = {item.asin: item for item in known if item.asin}
    by_place = known if len(known) == len(said) and (not named or not by_asin) else (None,) * len(said)
    return tuple(_filled(item, by_asin.get(item.asin or "") or old) for item, old in zip(said, by_place, strict=True))


def _filled(item: Item, old: Item | None) -> Item:
    if old is None:
        return item
    return replace(
        item, asin=item.asin or old.asin, estimated_delivery=item.estimated_delivery or old.estimated_delivery
    )


@dataclass(frozen=True)
class SlotState:
    """One slot's subscription. `stale`: the products are those of before, for the newest word did not name any.
    `gone`: ASINs that the newest change took away; whether the customer or Amazon changed them is not said.
    """

    slot_id: str
    subscribed: bool
    products: tuple[Item, ...]
    stale: bool
    gone: tuple[str, ...]
    last_at: datetime


@dataclass(frozen=True)
class RegistrationState:
    """Whose a device is to Dash. `epoch` counts registrations that began anew; `slots` are of the present epoch only.

    DEREGISTERED with epoch 0 is a tombstone: deregistered, and never said to be registered before. PROVISIONAL: only a
    subscription was heard of so far.
    """

    state: str
    customer_id: str
    epoch: int
    since: datetime
    last_at: datetime
    slots: tuple[SlotState, ...]


def registration(notifications: Iterable[Notification]) -> RegistrationState | None:
    """The registration of one (model, serial number) by all notifications about it; None when none counts.

    Pure. Of one instant, deregistered is later. Source: DRS notifications, sections 7.2 and 7.3.
    """
    history = agreed(notifications)
    if not history:
        return None
    begun, ended, epoch = _epochs(history)
    changes = [said for said in history if said.type == SUBSCRIBED]
    if begun is None and ended is None:
        return _provisional(changes)
    if begun is None:
        return RegistrationState("DEREGISTERED", "", epoch, ended or history[-1].time, history[-1].time, ())
    own = [said for said in changes if said.customer_id == begun.customer_id and (ended is None or said.time > ended)]
    return RegistrationState("REGISTERED", begun.customer_id, epoch, begun.time, history[-1].time, _slots(own))


def _epochs(history: Sequence[Notification]) -> tuple[Notification | None, datetime | None, int]:
    """(what began the present epoch, what ended the one before, how many there were).

    A registration of another customer ends an epoch as a deregistration does: what was said before it was said of the
    other epoch. What comes between that and the new registration is the new customer's, for both come of one click.
    """
    begun, ended, heard, epoch = None, None, None, 0
    for said in history:
        if said.type == DEREGISTERED:
            begun, ended = None, said.time
        elif said.type == REGISTERED:
            if begun is None or begun.customer_id != said.customer_id:
                ended = heard if begun else ended
                begun, epoch = said, epoch + 1
            heard = said.time
    return begun, ended, epoch


def _provisional(changes: Sequence[Notification]) -> RegistrationState:
    """A subscription without a registration: its customer's word is kept, until the registration comes."""
    newest = changes[-1]
    own = [said for said in changes if said.customer_id == newest.customer_id]
    return RegistrationState("PROVISIONAL", newest.customer_id, 0, own[0].time, newest.time, _slots(own))


def _slots(changes: Iterable[Notification]) -> tuple[SlotState, ...]:
    """Slot by slot the newest word; slots that it does not mention stay as they were."""
    slots: dict[str, SlotState] = {}
    for said in changes:
        for status in said.slots:
            old = slots.get(status.slot_id)
            known = old.products if old else ()
            stale = status.products is None and bool(known)
            products = known if status.products is None else status.products
            gone = _gone(known, products) or (old.gone if old and known == products else ())
            slots[status.slot_id] = SlotState(status.slot_id, status.subscribed, products, stale, gone, said.time)
    return tuple(slots[name] for name in sorted(slots))


def _gone(known: Iterable[Item], products: Iterable[Item]) -> tuple[str, ...]:
    now = {item.asin for item in products}
    return tuple(sorted({item.asin for item in known if item.asin and item.asin not in now}))
