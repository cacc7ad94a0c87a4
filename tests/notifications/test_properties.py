"""Smart Properties' events: a hotel's rooms, their automations and skills. Once each, by Amazon's time, the unknown kept."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import pytest
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from notifications import asp, operations, processing, properties, tasks
from notifications.models import Message, PropertyEvent, PropertyOperation, Topic
from tests.effort import examples
from tests.notifications.conftest import refused, undone
from tests.notifications.hotel import ROOM
from tests.notifications.signing_amazon import ARN, NOW, Amazon

LAMP = "amzn1.alexa.endpoint.LAMP"


def event(kind: str, number: str = "e-1", at: str = "2026-11-21T09:00:00Z", **payload: Any) -> dict[str, Any]:
    namespace, name = kind.rsplit(".", 1)
    return {
        "header": {
            "version": "2.0",
            "eventId": {"id": number},
            "eventType": {"namespace": namespace, "name": name},
            "eventTime": {"timestamp": at},
            "entities": {"unit": {"type": "Unit", "id": ROOM}, "skill": {"type": "Skill", "id": "amzn1.ask.skill.1"}},
        },
        "payload": payload,
    }


def failure(number: str = "e-1", at: str = "2026-11-21T09:00:00Z", status: str = "FAILURE") -> dict[str, Any]:
    errors = [{"type": "ENDPOINT_NOT_FOUND", "id": LAMP, "message": "gone"}] if status == "FAILURE" else []
    result = {"status": status, "errors": errors}
    return event(asp.AUTOMATION, number, at, automation={"id": "amzn1.alexa.automation.wake-up"}, result=result)


def read(document: dict[str, Any]) -> asp.Event:
    return asp.parse(json.dumps(document))


def test_the_whole_of_a_failed_automation() -> None:
    said = read(failure())
    assert said == asp.Event(
        "e-1", "Alexa.Automation.Execution", "Completion", said.digest, datetime(2026, 11, 21, 9, tzinfo=UTC),
        unit_id=ROOM, skill_id="amzn1.ask.skill.1", automation_id="amzn1.alexa.automation.wake-up", failed=True,
        errors=(f"ENDPOINT_NOT_FOUND {LAMP} gone",),
    )  # fmt: skip
    assert asp.from_json(json.loads(json.dumps(asp.as_json(said)))) == said


def test_anything_but_failure_is_success() -> None:
    for result, failed in (
        ({"status": "FAILURE"}, True),
        ({"status": "SUCCESS"}, False),
        ({}, False),
        ({"status": "DONE", "errors": []}, False),
        ({"errors": [{"type": "X"}]}, True),
    ):
        assert read(event(asp.AUTOMATION, result=result)).failed == failed, result


def test_where_a_finished_set_up_may_name_its_endpoint() -> None:
    for payload in ({"endpoint": {"id": LAMP}}, {"endpointId": LAMP}, {"endpoint": {"id": "x"}, "endpointId": LAMP}):
        assert read(event(asp.SETUP, **payload)).endpoint_id == LAMP, payload


def test_a_finished_set_up_without_an_endpoint_is_for_a_person() -> None:
    with pytest.raises(asp.Unreadable, match="no endpoint"):
        read(event(asp.SETUP))


def test_an_endpoint_id_with_characters_that_no_id_has_is_for_a_person(
    hotel: Topic, door: Any, amazon: Amazon, work: Any
) -> None:
    odd = ("\x00", "\x07", "\x7f", "\x9f", " ")
    for character in odd:
        send(door, amazon, event(asp.SETUP, endpoint={"id": LAMP + character}))
    work()
    expected = ("quarantined", "A finished set-up names no endpoint.")
    assert [*Message.objects.values_list("state", "reason")] == [expected] * len(odd)


def test_a_role_s_ids_are_found_wherever_they_stand() -> None:
    said = read(
        event(asp.ASSIGNMENT, deep=[{"principal": {"id": "amzn1.account.BOB"}}], roleId="amzn1.alexa.role.did.R")
    )
    assert (said.principal_id, said.role_id) == ("amzn1.account.BOB", "amzn1.alexa.role.did.R")


def test_only_id_namespace_and_name_are_indispensable() -> None:
    named = {"eventType": {"namespace": "a", "name": "b"}}
    for header in ({}, {"eventId": {"id": "e"}}, named | {"eventId": {"id": 1}}, named | {"eventId": {"id": "\x00"}}):
        with refused(header, asp.Unreadable):
            read({"header": header})
    assert read({"header": named | {"eventId": {"id": "e"}}}).kind == "a.b"


NAMES = ["id", "unit", "result", "errors", "x"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.sampled_from([*asp.KNOWN, "Alexa.New.Thing"]), JSON, JSON)
def test_whatever_the_payload_is_it_is_read_or_refused_in_words(kind: str, payload: Any, entities: Any) -> None:
    document = event(kind) | {"payload": payload}
    document["header"]["entities"] = entities
    try:
        said = read(document)
    except asp.Unreadable:
        return
    assert asp.from_json(json.loads(json.dumps(asp.as_json(said)))) == said


@pytest.fixture
def hotel(db: None) -> Topic:
    return Topic.objects.create(arn=ARN, kind=Topic.Kind.ASP)


def send(door: Any, amazon: Amazon, document: Any) -> Message:
    message = amazon.message(json.dumps(document))
    assert door(message).status_code == 200
    return Message.objects.get(message_id=message["MessageId"])


def test_an_event_published_twice_is_one(hotel: Topic, door: Any, amazon: Amazon, work: Any) -> None:
    for _ in range(2):
        send(door, amazon, event(asp.ACTIVATION))
    work()
    assert (Message.objects.filter(state="done").count(), PropertyEvent.objects.count()) == (2, 1)


def test_an_event_without_a_time_has_that_of_the_message_sent_first(
    hotel: Topic, door: Any, amazon: Amazon, work: Any
) -> None:
    for number, minutes in (("e-1", (0, 3)), ("e-2", (3, 0))):
        for later in minutes:
            document = event(asp.ACTIVATION, number, at="some day")
            assert door(amazon.message(json.dumps(document), at=NOW + timedelta(minutes=later))).status_code == 200
            work()
        assert PropertyEvent.objects.get(event_id=number).happened_at == NOW, minutes


def test_twins_that_contradict_each_other_are_both_quarantined(
    hotel: Topic, door: Any, amazon: Amazon, work: Any
) -> None:
    send(door, amazon, failure())
    work()
    send(door, amazon, failure(status="SUCCESS"))
    work()
    assert Message.objects.filter(state="quarantined", reason=properties.TWINS.format("e-1")).count() == 2
    assert PropertyEvent.objects.filter(contradicted=True).count() == 2


def test_what_is_unknown_is_kept_and_what_is_unreadable_is_for_a_person(
    hotel: Topic, door: Any, amazon: Amazon, work: Any
) -> None:
    new, odd = send(door, amazon, event("Alexa.Group.Management.Change")), send(door, amazon, {})
    work()
    new.refresh_from_db()
    odd.refresh_from_db()
    assert (new.state, new.reason) == ("unused", "Nothing here uses Alexa.Group.Management.Change yet.")
    assert (odd.state, odd.reason) == ("quarantined", "header.eventId.id is missing, not text, or too long.")
    assert PropertyEvent.objects.get().kind == "Alexa.Group.Management.Change"


def apply(*documents: dict[str, Any]) -> None:
    topic, _ = Topic.objects.get_or_create(arn=ARN, kind=Topic.Kind.ASP)
    first = Message.objects.count()
    for number, document in enumerate(documents, first):
        body = json.dumps({"Message": json.dumps(document)})
        Message.objects.create(topic=topic, message_id=f"m-{number}", kind="Notification", sent_at=NOW, body=body)
    tasks.process()


def minutes_ago(minutes: int) -> str:
    return (timezone.now() - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.django_db
def test_an_automation_fails_until_it_succeeds_whatever_comes_first() -> None:
    apply(failure("e-1", minutes_ago(10)))
    assert properties.failing_automations() == [f"amzn1.alexa.automation.wake-up: ENDPOINT_NOT_FOUND {LAMP} gone"]
    apply(failure("e-0", minutes_ago(20), "SUCCESS"))
    assert len(properties.failing_automations()) == 1
    apply(failure("e-2", minutes_ago(5), "SUCCESS"))
    assert properties.failing_automations() == []
    apply(failure("e-4", minutes_ago(4)), failure("e-3", minutes_ago(4), "SUCCESS"))
    assert len(properties.failing_automations()) == 1, "of one moment the later ID"


@pytest.mark.django_db
def test_an_automation_that_failed_is_not_mended_by_time_but_a_person_may_set_it_aside(admin_client: Any) -> None:
    apply(failure("e-1", minutes_ago(60 * 24 * 40)))
    assert len(properties.failing_automations()) == 1
    chosen = {"action": "set_aside", "_selected_action": [PropertyEvent.objects.get().pk]}
    admin_client.post(reverse("admin:notifications_propertyevent_changelist"), chosen)
    assert properties.failing_automations() == []
    Message.objects.update(due_at=timezone.now())
    assert (processing.process_due(), properties.failing_automations()) == (1, [])
    apply(failure("e-2", minutes_ago(3)))
    assert len(properties.failing_automations()) == 1


def understood_as(kind: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """The portal is another version, which understands one kind of event otherwise; None is not at all."""
    whole = asp.parse

    def parse(text: str) -> asp.Event:
        event = whole(text)
        if event.kind == kind and changes.get("endpoint_id", "") is None:
            raise asp.Unreadable("A finished set-up names no endpoint.")
        return replace(event, **changes) if event.kind == kind else event

    monkeypatch.setattr(asp, "parse", parse)
    Message.objects.update(due_at=timezone.now())
    processing.process_due()


@pytest.mark.django_db
def test_what_is_understood_otherwise_now_is_applied_when_it_is_processed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply(event(asp.SETUP, endpoint={"id": LAMP}), event(asp.SETUP, endpoint={"id": LAMP}))
    first = PropertyEvent.objects.get()
    with monkeypatch.context() as patch:
        understood_as(asp.SETUP, patch, endpoint_id=LAMP + "-2", unit_id="another")
    again = PropertyEvent.objects.get()
    assert (again.endpoint_id, again.unit_id, again.parsed["unit_id"]) == (LAMP + "-2", "another", "another")
    assert (again.message, again.happened_at, again.contradicted) == (first.message, first.happened_at, False)
    set_up = {row.endpoint_id: row.set_up_at for row in PropertyOperation.objects.all()}
    assert set_up == {LAMP: None, LAMP + "-2": first.happened_at}
    understood_as(asp.SETUP, monkeypatch, endpoint_id=None)
    assert (PropertyEvent.objects.count(), Message.objects.filter(state="quarantined").count()) == (0, 2)
    assert not PropertyOperation.objects.exclude(set_up_at=None).exists()


@pytest.mark.django_db
def test_an_event_whose_twin_is_no_longer_understood_counts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    apply(event(asp.SETUP, endpoint={"id": LAMP}), event(asp.ACTIVATION))
    assert PropertyEvent.objects.filter(contradicted=True).count() == 2
    understood_as(asp.SETUP, monkeypatch, endpoint_id=None)
    assert [(row.kind, row.contradicted) for row in PropertyEvent.objects.all()] == [(asp.ACTIVATION, False)]


@pytest.mark.django_db
def test_a_skill_that_fails_too_often_within_the_hour() -> None:
    apply(*(event(asp.SKILL_FAILURE, f"e-{number}", minutes_ago(10 + number)) for number in range(3)))
    apply(event(asp.SKILL_FAILURE, "old", minutes_ago(90)))
    assert properties.skill_failures(4, timedelta(hours=1)) == []
    [words] = properties.skill_failures(3, timedelta(hours=1))
    assert words.startswith(f"amzn1.ask.skill.1 in {ROOM}: 3 failures")


ROLE = {"principal": "amzn1.account.BOB", "role": "amzn1.alexa.role.did.R"}
DONE = st.lists(
    st.tuples(st.sampled_from([asp.ASSIGNMENT, asp.REVOCATION, asp.ACTIVATION]), st.integers(0, 3), st.sampled_from("1234")),
    max_size=6,
)  # fmt: skip


@pytest.mark.django_db
def test_any_order_and_repetition_of_events_comes_to_the_same() -> None:
    @hypothesis.settings(max_examples=examples(5))
    @given(DONE.flatmap(lambda said: st.tuples(st.just(said), st.permutations(said + said[:3]))))
    def check(pair: tuple[list[Any], list[Any]]) -> None:
        results = []
        for said in pair:
            with undone():
                for what in ("assign", "revoke"):
                    operations.ask_for_role(what, ROLE["role"], ROLE["principal"], propagate=True)
                PropertyOperation.objects.update(state="asked", asked_at=NOW - timedelta(hours=1))
                apply(*(event(kind, number, f"2026-11-21T09:00:0{second}Z", **ROLE) for kind, second, number in said))
                rows = PropertyEvent.objects.values_list("event_id", "digest", "contradicted", "happened_at")
                roles = PropertyOperation.objects.values_list("kind", "state")
                results.append((sorted(rows), sorted(roles)))
                assert Message.objects.count() == len(said)
        assert results[0] == results[1]

    check()


@pytest.mark.django_db
def test_support_sees_the_events(client: Any, django_user_model: Any) -> None:
    apply(failure())
    client.force_login(django_user_model.objects.create_superuser("sam@example.com", "support all the way"))
    row = PropertyEvent.objects.get()
    message = client.get(reverse("admin:notifications_message_change", args=[row.message_id])).content.decode()
    assert "Alexa.Automation.Execution.Completion of 2026-11-21 09:00:00 UTC" in message
    assert "e-1" in client.get(reverse("admin:notifications_propertyevent_changelist")).content.decode()
    assert LAMP in client.get(reverse("admin:notifications_propertyevent_change", args=[row.pk])).content.decode()


@pytest.mark.django_db
def test_a_message_says_what_it_changed_and_so_does_its_repetition(admin_client: Any) -> None:
    operations.plan("ECHO-1", ROOM)
    role = operations.ask_for_role("assign", ROLE["role"], ROLE["principal"], propagate=True)
    PropertyOperation.objects.filter(pk=role.pk).update(state="asked", asked_at=NOW)
    set_up, activation = event(asp.SETUP, "e-1", endpoint={"id": LAMP}), event(asp.ACTIVATION, "e-2")
    given = event(asp.ASSIGNMENT, "e-3", at="2030-01-01T00:00:00Z", **ROLE)
    apply(set_up, activation, given, set_up, activation, given)
    assert Message.objects.count() == 6
    for message in Message.objects.all():
        page = admin_client.get(reverse("admin:notifications_message_change", args=[message.pk])).content.decode()
        told = PropertyEvent.objects.get(event_id=json.loads(message.text)["header"]["eventId"]["id"])
        [row] = operations.concerned(told)
        assert reverse("admin:notifications_propertyoperation_change", args=[row.pk]) in page, told
        assert reverse("admin:notifications_propertyevent_change", args=[told.pk]) in page, told
