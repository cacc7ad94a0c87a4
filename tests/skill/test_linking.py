"""The life of a link: linked, unlinked, linked again; by one customer, at once, and while somebody claims a machine."""

import itertools
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models.functions import Now

from devices import registry
from skill import claims, delivery, linking, oauth, outbox, tasks
from skill.alexa.errors import InvalidCredential
from skill.models import AlexaGrant, Endpoint, Event, Gateway
from tests.people import owned
from tests.skill.deeds import deliver_all, directive, known, make_due, outlast_older_links, pods, reading, token_of

pytestmark = pytest.mark.django_db(transaction=True)


def link_again(user: Any, code: str, region: str = "NA") -> AlexaGrant:
    grant = linking.accept_grant(user, code, region)
    make_due(Endpoint.objects.filter(grant=grant))
    deliver_all()
    return grant


def aside(work: Callable[[], Any]) -> threading.Thread:
    """Somebody else's transaction at the same time."""
    thread = threading.Thread(target=lambda: (work(), connections.close_all()))
    thread.start()
    return thread


def rows() -> list[dict[str, Any]]:
    """Of the link, its endpoints and its door; of times, but that of the next report, only which there are."""
    found = [*AlexaGrant.objects.values(), *Endpoint.objects.values(), *Gateway.objects.filter(name="NA").values()]
    others = {"id": 0, "grant_id": 0, "allowance": 0}
    return [
        {
            name: name if isinstance(value, datetime) and name not in ("due_at", "daily_at") else value
            for name, value in row.items()
        }
        | others
        for row in found
    ]


def test_the_link_that_these_tests_begin_with_is_what_linking_leaves(machine: Any, amazon: Any, court: Any) -> None:
    link_again(machine.owner, "code-1")
    left = rows(), amazon.valid, court.announced
    AlexaGrant.objects.all().delete()
    Gateway.objects.all().delete()
    amazon.valid, amazon.numbers, court.announced = set(), itertools.count(1), {}
    known(machine, amazon, court)
    assert (rows(), amazon.valid, court.announced) == left


def test_unlinking_tells_what_was_used_and_then_the_deletion_once_while_the_tokens_live(
    linked: Any, machine: Any, crema: Any, amazon: Any
) -> None:
    pods(crema)
    reading(machine, 2, 1, slot="pods")
    linking.unlink(machine.owner)
    linking.unlink(machine.owner)
    assert AlexaGrant.objects.get().state == "closing"
    deliver_all()
    linking.unlink(machine.owner)
    deliver_all()
    assert [event["event"]["header"]["name"] for event in amazon.events] == ["InventoryConsumed", "DeleteReport"]
    (deletion,) = amazon.named("DeleteReport")
    assert deletion["event"]["payload"]["endpoints"] == [{"endpointId": str(machine.ownership)}]
    grant = AlexaGrant.objects.get()
    assert (grant.state, grant.access_token, grant.refresh_token) == ("closed", "", "")
    assert "Unlinked by the customer" in grant.reason
    reading(machine, 10, 1)
    deliver_all()
    assert amazon.named("ChangeReport") == []
    machine.refresh_from_db()
    assert machine.owner is not None


def test_unlinking_does_not_wait_for_amazon_for_ever(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.script = lambda event: (503, "SERVICE_UNAVAILABLE_EXCEPTION")
    linking.unlink(machine.owner)
    delivery.deliver(5)
    assert AlexaGrant.objects.get().state == "closing"
    AlexaGrant.objects.update(closing_until=Now() - timedelta(seconds=1))
    delivery.deliver(5)
    grant = AlexaGrant.objects.get()
    assert (grant.state, grant.refresh_token) == ("closed", "")
    assert not Endpoint.objects.filter(due_at__isnull=False).exists()


@pytest.mark.parametrize("told", [True, False], ids=["after the deletion was told", "before it was told"])
def test_linking_again_keeps_the_machine_and_leaves_nothing_stuck(
    linked: Any, machine: Any, amazon: Any, told: bool
) -> None:
    for number in (2, 3):
        linking.unlink(machine.owner)
        if told:
            deliver_all()
        link_again(machine.owner, f"code-{number}")
        reading(machine, 50 - number, number)
        deliver_all()
        endpoint = Endpoint.objects.get()
        assert endpoint.endpoint_id == str(machine.ownership)
        assert endpoint.wanted
        assert (
            amazon.named("ChangeReport")[-1]["event"]["payload"]["change"]["properties"][0]["value"]["value"]
            == 50 - number
        )
        assert amazon.named("AddOrUpdateReport")
    assert AlexaGrant.objects.get().state == "active"


def test_a_month_without_a_link_is_no_month_of_missed_reports(linked: Any, machine: Any, amazon: Any) -> None:
    reading(machine, 50, 1)
    deliver_all()
    linking.unlink(machine.owner)
    deliver_all()
    Endpoint.objects.update(reported_at=Now() - timedelta(days=30))
    link_again(machine.owner, "code-2")
    deliver_all()
    assert Endpoint.objects.get().duty == 1, "on time, and nothing before it"


def test_what_was_noted_of_a_silent_sensor_ends_with_the_link(linked: Any, machine: Any, amazon: Any) -> None:
    Endpoint.objects.update(silent_since=Now() - timedelta(days=2), silent_missed_at=Now() - timedelta(hours=1))
    linking.close(linked.pk, linked.generation, "Unlinked.")
    linking.accept_grant(machine.owner, "code-2", "NA")
    endpoint = Endpoint.objects.get()
    assert (endpoint.silent_since, endpoint.silent_missed_at) == (None, None)


def test_another_region_and_back(linked: Any, machine: Any, amazon: Any) -> None:
    link_again(machine.owner, "code-2", "EU")
    link_again(machine.owner, "code-3", "NA")
    amazon.events.clear()
    reading(machine, 33, 1)
    deliver_all()
    assert {event["_region"] for event in amazon.events} == {"NA"}
    assert dict(AlexaGrant.objects.values_list("region", "state")) == {"NA": "active", "EU": "dormant"}
    linking.unlink(machine.owner)
    deliver_all()
    assert set(AlexaGrant.objects.values_list("state", flat=True)) == {"closed"}


def test_a_machine_claimed_while_the_customer_links_is_announced(
    alice: Any, machine: Any, crema: Any, amazon: Any
) -> None:
    """Neither transaction sees the other's rows: without a lock in common the machine would never be introduced."""
    second, _, code = registry.register("CRM20-0002", crema)
    tokens = linking.lwa.Tokens("Atza|1", "Atzr|1", 3600)
    with transaction.atomic():
        registry.claim(alice, second.serial_number, code)
        linking_thread = aside(lambda: linking._store_grant(alice, "NA", "hash", tokens))
        linking_thread.join(0.5)
    linking_thread.join()
    assert Endpoint.objects.filter(device=second, due_at__isnull=False).exists()


def test_linking_while_the_machine_is_claimed_announces_it_too(alice: Any, crema: Any, amazon: Any) -> None:
    second, _, code = registry.register("CRM20-0002", crema)
    tokens = linking.lwa.Tokens("Atza|1", "Atzr|1", 3600)
    with transaction.atomic():
        linking._store_grant(alice, "NA", "hash", tokens)
        claiming = aside(lambda: registry.claim(alice, second.serial_number, code))
        claiming.join(0.5)
    claiming.join()
    assert Endpoint.objects.filter(device=second, due_at__isnull=False).exists()


def test_a_machine_that_changed_hands_is_never_told_to_the_former_owners_alexa(
    linked: Any, machine: Any, amazon: Any
) -> None:
    """Whatever race may have left the row wanted: the id belongs to an ownership that is over."""
    former = str(machine.ownership)
    registry.release(machine)
    Endpoint.objects.update(wanted=True, changed={"description": [99, ""]})
    deliver_all()
    assert [event["event"]["header"]["name"] for event in amazon.events] == ["DeleteReport"]
    assert amazon.events[0]["event"]["payload"]["endpoints"] == [{"endpointId": former}]
    endpoint = Endpoint.objects.get()
    assert (endpoint.wanted, endpoint.due_at) == (False, None)


def test_a_device_row_that_is_gone_is_deleted_at_alexa_once_and_rests(linked: Any, machine: Any, amazon: Any) -> None:
    machine.delete()
    make_due(Endpoint.objects.all(), daily=True)
    deliver_all()
    assert [event["event"]["header"]["name"] for event in amazon.events] == ["DeleteReport"]
    assert Endpoint.objects.get().due_at is None
    tasks.tidy()
    assert not Endpoint.objects.exists()


def test_an_endpoint_that_alexa_may_know_is_deleted_even_if_the_announcement_got_no_answer(
    linked: Any, machine: Any, crema: Any, alice: Any, amazon: Any
) -> None:
    second, _, code = registry.register("CRM20-0002", crema)
    second = registry.claim(alice, second.serial_number, code)
    amazon.script = lambda event: (503, "SERVICE_UNAVAILABLE_EXCEPTION")
    delivery.deliver(5)
    amazon.script = lambda event: None
    registry.release(second)
    make_due(Endpoint.objects.filter(wanted=False))
    deliver_all()
    assert amazon.named("DeleteReport")[0]["event"]["payload"]["endpoints"] == [{"endpointId": str(second.ownership)}]


class TestOwnership:
    def test_a_machine_claimed_by_a_linked_customer_is_announced(
        self, linked: Any, crema: Any, alice: Any, amazon: Any
    ) -> None:
        second, _, code = registry.register("CRM20-0002", crema)
        second = registry.claim(alice, second.serial_number, code)
        deliver_all()
        (report,) = amazon.named("AddOrUpdateReport")
        assert [item["endpointId"] for item in report["event"]["payload"]["endpoints"]] == [str(second.ownership)]

    def test_a_machine_of_somebody_who_is_not_linked_is_nobodys_business(
        self, linked: Any, crema: Any, bob: Any, amazon: Any
    ) -> None:
        second, _, code = registry.register("CRM20-0002", crema)
        registry.claim(bob, second.serial_number, code)
        deliver_all()
        assert amazon.attempts == []

    def test_the_new_owner_gets_another_id_and_never_waits(
        self, linked: Any, crema: Any, alice: Any, bob: Any, amazon: Any
    ) -> None:
        link_again(bob, "code-bob")
        second, _, code = registry.register("CRM20-0002", crema)
        hers = registry.claim(alice, second.serial_number, code)
        deliver_all()
        former = str(hers.ownership)
        amazon.events.clear()
        amazon.script = lambda event: (503, "SERVICE_UNAVAILABLE_EXCEPTION") if event["_token"] == "Atza|1" else None
        registry.release(hers)
        his = registry.claim(bob, second.serial_number, code)
        deliver_all()
        (announced,) = amazon.events
        assert announced["event"]["payload"]["endpoints"][0]["endpointId"] == str(his.ownership) != former
        amazon.script = lambda event: None
        make_due(Endpoint.objects.filter(wanted=False))
        deliver_all()
        assert amazon.named("DeleteReport")[0]["event"]["payload"]["endpoints"] == [{"endpointId": former}]

    def test_the_former_owners_uses_are_still_told_to_her_alexa_and_later_ones_are_not(
        self, linked: Any, machine: Any, crema: Any, amazon: Any
    ) -> None:
        crema.slots.create(
            slot_id="pods", name="P", sensor="usage", measurement="Count", instance="P", replenishment_id="a"
        )
        reading(machine, 1, 1, slot="pods")
        registry.release(machine)
        reading(machine, 2, 2, slot="pods")
        deliver_all()
        assert [event["event"]["payload"]["usage"]["value"] for event in amazon.named("InventoryConsumed")] == [1]
        assert Event.objects.count() == 1


def test_what_slipped_under_a_closed_link_is_not_sent(linked: Any, machine: Any, amazon: Any) -> None:
    AlexaGrant.objects.update(state="closed")
    reading(machine, 40, 1)
    deliver_all()
    assert amazon.attempts == []
    assert Endpoint.objects.get().due_at is None


def quietly(work: Callable[[], Any], troubles: list[Exception]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except Exception as error:
            troubles.append(error)

    return run


def test_nobody_is_deadlocked_when_everything_happens_at_once(
    alice: Any, machine: Any, crema: Any, amazon: Any, monkeypatch: Any
) -> None:
    """Alexa's haste is taken away: on a slow machine somebody may well wait for a row for longer than she would, deadlock or not."""
    monkeypatch.setattr(linking, "LONGEST_WAIT", "60s")
    monkeypatch.setattr(linking.lwa, "EXCHANGE_SECONDS", 60.0)
    monkeypatch.setattr(linking.lwa, "TIMEOUT_SECONDS", 60.0)
    codes = {}
    for number in range(2, 8):
        registered = registry.register(f"CRM20-000{number}", crema)
        codes[registered.device.serial_number] = registered.claim_code
    troubles: list[Exception] = []

    def claim_and_release() -> None:
        for serial, code in codes.items():
            registry.release(registry.claim(alice, serial, code))
            registry.claim(alice, serial, code)

    def link_and_unlink() -> None:
        for number in range(4):
            linking.accept_grant(alice, f"code-{number}", ("NA", "EU")[number % 2])
            linking.unlink(alice)
        linking.accept_grant(alice, "code-last", "NA")

    def brew() -> None:
        for sequence in range(1, 40):
            reading(machine, 100 - sequence, sequence)

    threads = [aside(quietly(work, troubles)) for work in (claim_and_release, link_and_unlink, brew)]
    while any(thread.is_alive() for thread in threads):
        delivery.deliver(0.2)
    assert troubles == []
    outlast_older_links()
    make_due(Endpoint.objects.all())
    deliver_all()
    live = Endpoint.objects.filter(grant__state="active", wanted=True, due_at__isnull=False)
    assert {endpoint.endpoint_id for endpoint in live} == {str(device.ownership) for device in alice.devices.all()}


def test_a_claim_takes_what_another_worker_does_not_hold(linked: Any, machine: Any, bob: Any, crema: Any) -> None:
    """Not "nothing is due" because the oldest one is just being looked at by somebody else."""
    other = owned(bob, crema, "CRM20-0002")
    linking.accept_grant(bob, "code-bob", "NA")
    make_due(Endpoint.objects.all())
    Endpoint.objects.filter(grant=linked).update(due_at=Now() - timedelta(hours=1))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM skill_endpoint WHERE grant_id = %s FOR UPDATE", [linked.pk])
        taken: list[Any] = []
        aside(lambda: taken.extend(claims.claim("NA", 1))).join()
    assert [pk for pk, _, _ in taken] == list(Endpoint.objects.filter(device=other).values_list("pk", flat=True))


def test_unlinking_waits_for_an_accept_grant_of_the_same_customer(linked: Any, machine: Any) -> None:
    """Instead of meeting it halfway, each with a row that the other wants."""
    with transaction.atomic():
        outbox.hold_customers([machine.owner_id])
        unlinking = aside(lambda: linking.unlink(machine.owner))
        unlinking.join(0.3)
        assert unlinking.is_alive()
    unlinking.join()
    assert AlexaGrant.objects.get().state == "closing"


def test_alexa_does_not_discover_again_what_she_is_being_told_to_forget(
    linked: Any, machine: Any, amazon: Any, ask: Any, token: str
) -> None:
    linking.unlink(machine.owner)
    answer = ask(directive("Alexa.Discovery", "Discover", token))
    assert answer["event"]["payload"]["endpoints"] == []


def test_what_we_gave_ends_when_the_link_is_closed_and_not_before(
    linked: Any, machine: Any, amazon: Any, token: str
) -> None:
    """alexa reference 8.5: first the deletions, then the tokens."""
    linking.unlink(machine.owner)
    assert oauth.customer(token) == machine.owner
    deliver_all()
    assert amazon.named("DeleteReport")
    with pytest.raises(InvalidCredential):
        oauth.customer(token)


def test_unlinking_without_a_link_ends_what_we_gave(alice: Any, token: str) -> None:
    linking.unlink(alice)
    with pytest.raises(InvalidCredential):
        oauth.customer(token)


def test_linking_again_while_the_old_link_closes_keeps_the_new_tokens(
    linked: Any, machine: Any, amazon: Any, alexa: Any, token: str
) -> None:
    linking.unlink(machine.owner)
    newer = token_of(machine.owner, alexa)
    deliver_all()
    assert oauth.customer(newer) == machine.owner
    with pytest.raises(InvalidCredential):
        oauth.customer(token)


def test_amazon_ending_the_link_leaves_what_we_gave(linked: Any, machine: Any, amazon: Any, token: str) -> None:
    """Alexa may still hold it, and send AcceptGrant with it once the permission is back."""
    linking.close(linked.pk, linked.generation, "Login with Amazon: invalid_grant")
    assert oauth.customer(token) == machine.owner


def test_a_link_that_closes_without_an_end_is_refused_by_the_database(linked: Any) -> None:
    with pytest.raises(IntegrityError, match="closing_ends"):
        AlexaGrant.objects.update(state="closing")
