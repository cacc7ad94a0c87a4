"""Alarms: conditions that open and close by themselves, and the notices that somebody gets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

import notifications.health
from notifications import inbox
from notifications.models import Message, Topic
from portal import alarms, notices, tasks
from portal.models import Alarm, AlarmNotice
from skill import figures, health
from skill.models import AlexaGrant, Endpoint, Event, Gateway
from tests.notifications.signing_amazon import ARN, FarSide, far_side

pytestmark = pytest.mark.django_db


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One condition; what is in the list is its evidence."""
    evidence: list[str] = []
    monkeypatch.setattr(alarms, "CONDITIONS", (alarms.Condition("milk", "The milk is sour", lambda: list(evidence)),))
    return evidence


@pytest.fixture
def on_call(settings: Any) -> Any:
    settings.ALARM_EMAILS = ["oncall@example.com"]
    return settings


def hours_ago(hours: float) -> Any:
    return timezone.now() - timedelta(hours=hours)


def test_all_is_well_in_an_empty_house() -> None:
    assert alarms.evaluate() == 0
    assert not Alarm.objects.exists()


def test_an_alarm_opens_counts_and_closes_with_its_condition(wrong: list[str], on_call: Any) -> None:
    assert tasks.evaluate_alarms() == 0
    wrong.append("It smells.")
    assert tasks.evaluate_alarms() == 1
    alarm = Alarm.objects.get()
    assert (alarm.condition, alarm.count, alarm.evidence, alarm.closed_at) == ("milk", 1, ["It smells."], None)
    wrong.append("It is green.")
    tasks.evaluate_alarms()
    alarm.refresh_from_db()
    assert (alarm.count, alarm.evidence) == (2, ["It smells.", "It is green."])
    wrong.clear()
    assert tasks.evaluate_alarms() == 0
    alarm.refresh_from_db()
    assert alarm.closed_at
    assert [message.subject.split("] ")[1] for message in mail.outbox] == [
        "Alarm opened: The milk is sour",
        "Alarm closed: The milk is sour",
    ]
    assert "It smells." in mail.outbox[0].body
    wrong.append("Again.")
    tasks.evaluate_alarms()
    assert Alarm.objects.count() == 2


def test_reminders_come_at_most_once_an_hour_and_end_when_somebody_takes_it(
    wrong: list[str], on_call: Any, alice: Any
) -> None:
    wrong.append("It smells.")
    for _ in range(3):
        tasks.evaluate_alarms()
    assert len(mail.outbox) == 1
    AlarmNotice.objects.update(created_at=hours_ago(1.01))
    tasks.evaluate_alarms()
    assert AlarmNotice.objects.count() == 1, "it was sent late, and read just now"
    AlarmNotice.objects.update(sent_at=hours_ago(1.01))
    for _ in range(3):
        tasks.evaluate_alarms()
    assert [notice.event for notice in AlarmNotice.objects.order_by("pk")] == ["opened", "reminded"]
    alarms.acknowledge(Alarm.objects.get(), alice, "I buy new milk.")
    AlarmNotice.objects.update(created_at=hours_ago(2))
    tasks.evaluate_alarms()
    assert AlarmNotice.objects.count() == 2


def test_the_second_of_two_does_not_even_ask(wrong: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer would wait for its turn and be an old one by then."""
    monkeypatch.setattr(
        alarms, "CONDITIONS", [alarms.Condition("milk", "The milk is sour", lambda: pytest.fail("asked"))]
    )
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with alarms._alone() as alone:
            assert alone
            held.set()
            done.wait(30)
        connection.close()

    first = threading.Thread(target=hold)
    first.start()
    assert held.wait(30)
    try:
        assert alarms.evaluate() == 0
    finally:
        done.set()
        first.join()


@pytest.mark.django_db(transaction=True)
def test_an_alarm_is_taken_while_questions_are_asked(
    wrong: list[str], alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong.append("It smells.")
    alarms.evaluate()
    alarm = Alarm.objects.get()

    def take() -> None:
        try:
            alarms.acknowledge(alarm, alice, "I buy new milk.")
        finally:
            connection.close()

    def slow() -> list[str]:
        person = threading.Thread(target=take)
        person.start()
        person.join()
        return []

    monkeypatch.setattr(alarms, "CONDITIONS", (*alarms.CONDITIONS, alarms.Condition("tea", "The tea is cold", slow)))
    assert alarms.evaluate() == 1
    alarm.refresh_from_db()
    assert (alarm.note, alarm.count) == ("I buy new milk.", 2)


def test_nobody_is_configured_and_nothing_is_owed(wrong: list[str]) -> None:
    wrong.append("It smells.")
    tasks.evaluate_alarms()
    assert Alarm.objects.exists()
    assert not AlarmNotice.objects.exists()


def test_a_question_that_fails_is_an_alarm_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_thing")
        return []

    rows = (alarms.Condition("a", "A", broken), alarms.Condition("b", "B", lambda: ["bad"]))
    monkeypatch.setattr(alarms, "CONDITIONS", rows)
    assert alarms.evaluate() == 2
    assert Alarm.objects.get(condition="a").evidence == ["It could not be asked: ProgrammingError"]


def test_a_condition_that_is_no_longer_asked_is_closed(wrong: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.append("It smells.")
    alarms.evaluate()
    monkeypatch.setattr(alarms, "CONDITIONS", ())
    alarms.evaluate()
    assert Alarm.objects.get().closed_at


SECRET = "whsec_" + base64.b64encode(b"nobody guesses this, no, no").decode()


@pytest.fixture
def hook(wrong: list[str], settings: Any) -> Any:
    with far_side() as side:
        settings.ALARM_WEBHOOK_URL, settings.ALARM_WEBHOOK_SECRET = side.url + "/alarms", SECRET
        wrong.append("It smells.")
        yield side


def test_the_specification_s_own_example(settings: Any) -> None:
    """Of the libraries that check it: message, secret and signature as they give them."""
    settings.ALARM_WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = notices.signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1614265330)
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_an_alarm_says_comes_in_order_and_without_reminders_that_nobody_needs(
    hook: FarSide, wrong: list[str]
) -> None:
    hook.status = 500
    tasks.evaluate_alarms()
    AlarmNotice.objects.update(created_at=Now() - timedelta(hours=2))
    tasks.evaluate_alarms()
    assert [notice.event for notice in AlarmNotice.objects.all()] == ["opened"], "it has not even been told once"
    wrong.clear()
    alarms.evaluate()
    hook.status = 204
    assert notices.send_due() == 0, "the beginning waits for its next attempt, and the end for the beginning"
    AlarmNotice.objects.filter(event="opened").update(due_at=Now())
    assert notices.send_due() == 2
    assert [json.loads(body)["type"] for body in hook.posted[-2:]] == ["alarm.opened", "alarm.closed"]


def test_a_reminder_that_was_not_sent_goes_with_its_alarm(hook: FarSide, wrong: list[str]) -> None:
    tasks.evaluate_alarms()
    AlarmNotice.objects.update(created_at=Now() - timedelta(hours=2))
    hook.status = 500
    tasks.evaluate_alarms()
    wrong.clear()
    alarms.evaluate()
    assert list(AlarmNotice.objects.order_by("pk").values_list("event", flat=True)) == ["opened", "closed"]


def test_a_webhook_is_signed_and_names_the_alarm(hook: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    whole = notices.signed_headers
    monkeypatch.setattr(notices, "signed_headers", lambda *args: seen.append(whole(*args)) or seen[-1])
    tasks.evaluate_alarms()
    [body] = hook.posted
    said = json.loads(body)
    assert (said["type"], said["condition"], said["evidence"]) == ("alarm.opened", "milk", ["It smells."])
    assert said["url"].endswith(reverse("admin:portal_alarm_change", args=[Alarm.objects.get().pk]))
    [headers] = seen
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    mac = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()


def test_a_webhook_that_does_not_take_it_is_tried_again(hook: FarSide) -> None:
    for status in (302, 404, 429, 500):
        hook.status, hook.headers, hook.asked = status, {"Location": hook.url + "/elsewhere"}, []
        Alarm.objects.all().delete()
        tasks.evaluate_alarms()
        notice = AlarmNotice.objects.get()
        assert (notice.attempts, notice.sent_at, notice.error) == (1, None, f"NotSent: HTTP {status}")
        assert timezone.now() < notice.due_at < timezone.now() + timedelta(seconds=11), status
        assert hook.asked == ["/alarms"], status
        assert notices.send_due() == 0, status
        AlarmNotice.objects.update(due_at=Now())
        hook.status = 204
        assert notices.send_due() == 1, status
        notice.refresh_from_db()
        assert (notice.due_at, notice.error, notice.attempts) == (None, "", 2), status
        assert notice.sent_at, status


def test_a_sender_that_died_leaves_the_notice_to_the_next(hook: FarSide, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(notice: AlarmNotice) -> bool:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(notices, "_send", die)
        with pytest.raises(SystemExit):
            tasks.evaluate_alarms()
    assert notices.send_due() == 0
    AlarmNotice.objects.update(due_at=Now())
    assert notices.send_due() == 1


def test_in_the_end_a_webhook_that_is_gone_is_given_up(hook: FarSide) -> None:
    hook.status = 500
    alarms.evaluate()
    AlarmNotice.objects.update(attempts=notices.GIVEN_UP_AFTER - 1)
    notices.send_due()
    assert AlarmNotice.objects.get().due_at is None


def test_staff_take_an_alarm_with_a_note(wrong: list[str], client: Any, django_user_model: Any) -> None:
    wrong.append("It smells.")
    alarms.evaluate()
    sam = django_user_model.objects.create_superuser("sam@example.com", "support all the way")
    client.force_login(sam)
    alarm = Alarm.objects.get()
    page = reverse("admin:portal_alarm_change", args=[alarm.pk])
    assert "It smells." in client.get(page).content.decode()
    assert "The milk is sour" in client.get(reverse("admin:portal_alarm_changelist")).content.decode()
    forms = {"notices-TOTAL_FORMS": "0", "notices-INITIAL_FORMS": "0"}
    client.post(page, {"note": "I buy new milk.", **forms})
    alarm.refresh_from_db()
    assert (alarm.acknowledged_by, alarm.note) == (sam, "I buy new milk.")
    assert alarm.acknowledged_at
    assert client.get(reverse("admin:portal_alarm_add")).status_code == 403


def test_nobody_takes_an_alarm_without_a_word_or_once_it_is_closed(wrong: list[str], admin_client: Any) -> None:
    wrong.append("It smells.")
    alarms.evaluate()
    alarm = Alarm.objects.get()
    page = reverse("admin:portal_alarm_change", args=[alarm.pk])
    forms = {"notices-TOTAL_FORMS": "0", "notices-INITIAL_FORMS": "0"}
    for note in ("", " \n"):
        assert "This field is required" in admin_client.post(page, {"note": note, **forms}).content.decode()
    wrong.clear()
    alarms.evaluate()
    assert admin_client.post(page, {"note": "Too late.", **forms}).status_code == 403
    text = admin_client.get(page).content.decode()
    assert "It smells." in text
    assert 'name="note"' not in text
    alarm.refresh_from_db()
    assert (alarm.acknowledged_at, alarm.note) == (None, "")


# The questions


@pytest.fixture
def topic() -> Topic:
    return Topic.objects.create(arn=ARN, subscription="confirmed")


def message(topic: Topic, number: int, **columns: Any) -> Message:
    values = {"message_id": f"m-{number}", "sent_at": timezone.now(), "body": "{}", "due_at": None, "state": "done"}
    return Message(topic=topic, **{**values, **columns})


def stored(topic: Topic, number: int = 0, **columns: Any) -> Message:
    row = message(topic, number, **columns)
    row.save()
    return row


@pytest.mark.parametrize(
    ("state", "ask"), [("held", notifications.health.held), ("quarantined", notifications.health.quarantined)]
)
def test_messages_for_a_person(state: str, ask: Any, topic: Topic) -> None:
    assert ask() == []
    messages = [stored(topic, number, state=state, reason="Why.") for number in range(2)]
    assert ask() == ["2 of dash-orders: Why. (m-1)"]
    assert all(inbox.set_aside(message, "sam@example.com") for message in messages)
    assert not inbox.set_aside(messages[0], "sam@example.com")
    assert ask() == []
    messages[0].refresh_from_db()
    assert messages[0].reason == "Set aside by sam@example.com. Why."


def test_messages_that_fail_again_and_again(topic: Topic) -> None:
    stored(topic, state="waiting", due_at=timezone.now(), attempts=5, error="ValueError: nonsense")
    stored(topic, 1, state="waiting", due_at=timezone.now(), attempts=4)
    assert notifications.health.failing() == ["m-0: ValueError: nonsense (5 attempts)"]


def test_a_topic_that_is_unsubscribed_or_differs(topic: Topic) -> None:
    assert notifications.health.unsubscribed() == notifications.health.drift() == []
    Topic.objects.update(subscription="unsubscribed", subscription_at=timezone.now(), drift=["It is gone."])
    assert ARN in notifications.health.unsubscribed()[0]
    assert notifications.health.drift() == ["dash-orders: It is gone."]


def test_silence_is_judged_by_what_was_usual(topic: Topic) -> None:
    for hours, silent in (
        ([14, 13, 12, 11, 10, 9, 8, 7, 6, 5], True),
        ([11, 10, 9, 8, 7, 6, 5, 4, 3, 2], False),
        ([20, 19, 18, 17], False),
        ([90, 89, 88, 87, 86, 60, 59, 58, 57, 50], False),
        ([200, 199, 198, 197, 196, 170, 169, 168, 167, 166], True),
        ([0.5] * 20, False),  # a burst
    ):
        Message.objects.all().delete()
        Message.objects.bulk_create(message(topic, n, received_at=hours_ago(ago)) for n, ago in enumerate(hours))
        Topic.objects.update(subscription="confirmed")
        assert bool(notifications.health.silent()) == silent, hours
        Topic.objects.update(subscription="unsubscribed")
        assert notifications.health.silent() == [], hours


@pytest.fixture
def endpoint(machine: Any) -> Endpoint:
    grant = AlexaGrant.objects.create(
        user=machine.owner, region="NA", expires_at=hours_ago(-1), accepted_at=hours_ago(48)
    )
    return Endpoint.objects.create(
        grant=grant, device=machine, endpoint_id="e-1", region="NA", due_at=hours_ago(-5), reported_at=hours_ago(1)
    )


def test_events_that_alexa_refused_stay_until_a_person_decides(endpoint: Endpoint) -> None:
    for ago in (1, 25):
        Event.objects.create(
            endpoint=endpoint, namespace="N", name="InventoryConsumed", payload={}, status="parked",
            settled_at=hours_ago(ago), last_code="INVALID_REQUEST_EXCEPTION",
        )  # fmt: skip
    assert health.parked_events()[0].startswith("2 InventoryConsumed: INVALID_REQUEST_EXCEPTION")


def test_reports_that_alexa_refused(endpoint: Endpoint) -> None:
    for code, bad in (("", False), ("INVALID_REQUEST_EXCEPTION", True), ("THROTTLING_EXCEPTION", False)):
        Endpoint.objects.update(last_code=code)
        assert bool(health.refused_reports()) == bad, code


def test_coverage_counts_levels_not_endpoints(endpoint: Endpoint, machine: Any, settings: Any) -> None:
    settings.ALARM_COVERAGE_GOAL = 0.98
    slots = machine.device_model.slots
    slots.create(slot_id="milk", name="M", sensor="level", measurement="Percentage", instance="M", replenishment_id="a")
    slots.create(slot_id="pods", name="P", sensor="usage", measurement="Count", instance="P", replenishment_id="a")
    for slot in slots.filter(sensor="level"):
        machine.inventories.create(
            slot=slot, value=50, measured_at=hours_ago(1), heard_at=hours_ago(1), epoch=0, sequence=1
        )
    assert (figures.levels(), figures.behind(), health.coverage_below_goal()) == (2, 0, [])
    machine.inventories.filter(slot__slot_id="milk").delete()
    Endpoint.objects.update(silent_since=hours_ago(25))
    assert (figures.levels(), figures.behind()) == (2, 1)
    Endpoint.objects.update(owed_since=hours_ago(99), reported_at=hours_ago(25), due_at=hours_ago(1))
    assert (figures.levels(), figures.behind()) == (2, 2)
    assert health.coverage_below_goal()[0].startswith("0.0% of the 2 levels were reported within 24 hours")
    Endpoint.objects.update(due_at=None)
    assert (figures.levels(), figures.behind(), health.coverage_below_goal()) == (0, 0, [])


def test_overdue_reports(endpoint: Endpoint, settings: Any) -> None:
    settings.ALARM_OVERDUE_SECONDS = 900
    Endpoint.objects.update(due_at=hours_ago(0.2))
    assert health.overdue_reports() == []
    Endpoint.objects.update(due_at=hours_ago(0.3))
    assert health.overdue_reports()[0].startswith("NA: 1 reports are overdue")


@pytest.mark.parametrize("said", ["invalid_client: unknown", "unauthorized_client: not allowed"])
def test_a_client_that_login_with_amazon_does_not_know(said: str) -> None:
    Gateway.objects.create(name="LWA", open_until=hours_ago(-1), failures=20, trouble=said)
    assert health.rejected_client() == [f"Login with Amazon: {said}"]


def test_doors_that_are_closed() -> None:
    Gateway.objects.create(name="LWA", open_until=hours_ago(-1), failures=20, trouble="invalid_client: unknown")
    Gateway.objects.create(name="EU", open_until=hours_ago(1), failures=0)
    assert health.rejected_client() == ["Login with Amazon: invalid_client: unknown"]
    assert len(health.open_breakers()) == 1
    Gateway.objects.update(open_until=None, failures=0, trouble="")
    assert health.rejected_client() == health.open_breakers() == []


def test_all_questions_are_asked_within_a_constant_number_of_queries(
    topic: Topic, endpoint: Endpoint, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(80):
        assert alarms.evaluate() == 0
