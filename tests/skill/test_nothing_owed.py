"""Of whom Amazon is owed no report a day, nothing is missed: while a machine has no level that Alexa knows, and on the day that one is
published."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from skill import admin, duty, misses
from skill.models import Endpoint, Miss
from tests.skill.deeds import deliver_all, make_due, reading

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def unpublished(linked: Any, machine: Any, crema: Any) -> Any:
    """Alice's coffee machine says how many beans are left, but has been linked for 60 days without a replenishment ID."""
    crema.slots.update(replenishment_id="")
    reading(machine, 50, 1)
    Endpoint.objects.update(owed_since=Now() - timedelta(days=60))
    return crema


def the_day_comes() -> None:
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()


def test_the_record_says_that_nothing_was_owed(unpublished: Any) -> None:
    the_day_comes()
    Endpoint.objects.update(owed_since=Now() - timedelta(days=3))
    the_day_comes()
    endpoint = Endpoint.objects.annotate(now=Now()).get()
    assert endpoint.now - endpoint.owed_since < timedelta(minutes=1)
    assert admin._verdicts(endpoint) == [duty.EXCUSED] * duty.DAYS
    assert misses.notice_all() == 0


def test_nothing_is_missed_though_delivery_stands_still(unpublished: Any, crema: Any) -> None:
    make_due(Endpoint.objects.all(), daily=True)
    assert misses.notice_all() == 0
    assert Endpoint.objects.get().missed_at is None
    assert admin._verdicts(Endpoint.objects.get()) == [duty.EXCUSED] * duty.DAYS
    crema.slots.update(replenishment_id="published", sensor="usage")
    assert misses.notice_all() == 0


def test_a_published_level_invents_no_missed_days(unpublished: Any, crema: Any, amazon: Any) -> None:
    the_day_comes()
    crema.slots.update(replenishment_id="published")
    the_day_comes()
    assert len(amazon.named("ChangeReport")) == 1
    assert not Miss.objects.exists()
    assert admin._verdicts(Endpoint.objects.get()) == [duty.ON_TIME] + [duty.EXCUSED] * (duty.DAYS - 1)


def test_days_that_were_kept_stay_in_the_record(linked: Any, machine: Any, crema: Any) -> None:
    reading(machine, 50, 1)
    the_day_comes()
    crema.slots.update(replenishment_id="")
    before = Endpoint.objects.get()
    ago = before.reported_at - timedelta(days=2)
    Endpoint.objects.update(owed_since=ago, reported_at=ago)
    the_day_comes()
    verdicts = admin._verdicts(Endpoint.objects.get())
    assert verdicts[:3] == [duty.EXCUSED, duty.EXCUSED, duty.ON_TIME]


def test_from_then_on_a_day_without_a_report_is_missed(unpublished: Any, crema: Any) -> None:
    the_day_comes()
    crema.slots.update(replenishment_id="published")
    Endpoint.objects.update(owed_since=Now() - timedelta(hours=25), due_at=Now())
    assert misses.notice_all() == 1
    assert Miss.objects.get().reason == "late"
