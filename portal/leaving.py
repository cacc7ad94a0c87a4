"""Deleting an account, in the order of alexa reference 8.5: the devices are released and Alexa is told to forget them while Amazon's
tokens live; only then is the account, and with it every token, gone.

The wish is a column (User.leaving_at); whoever dies in between leaves the rest to the next run.
"""

import logging

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from devices import registry
from portal.models import User
from skill import linking
from skill.models import AlexaGrant, Enablement

log = logging.getLogger(__name__)


def leave(user: User) -> None:
    """The account is switched off now, and deleted once Alexa has forgotten its devices (minutes). Idempotent."""
    User.objects.filter(pk=user.pk, leaving_at=None).update(leaving_at=Now(), is_active=False)
    _let_go(user)


def finish() -> int:
    """Delete the accounts of which nothing is left to tell; how many. Idempotent; beat calls it."""
    for user in User.objects.filter(leaving_at__isnull=False):
        _let_go(user)
    return sum(_delete(user.pk) for user in _ready())


def _let_go(user: User) -> None:
    """Each device by itself: releasing locks the device before the customer."""
    for device in user.devices.all():
        registry.release(device)
    linking.unlink(user)


def _ready() -> list[User]:
    open_ = AlexaGrant.objects.filter(user=OuterRef("pk")).exclude(state=AlexaGrant.State.CLOSED)
    enabled = Enablement.objects.filter(user=OuterRef("pk"), disable_at__isnull=False)
    return list(User.objects.filter(~Exists(open_), ~Exists(enabled), leaving_at__isnull=False, devices=None))


@transaction.atomic
def _delete(pk: int) -> int:
    user = User.objects.select_for_update().filter(pk=pk, leaving_at__isnull=False).first()
    if user is None:
        return 0
    user.delete()
    log.info("account deleted user=%s", pk)
    return 1
