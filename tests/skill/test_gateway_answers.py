"""The gateway's table of errors and Login with Amazon's: what each answer makes of an endpoint and of its link (alexa reference 5, 6.3)."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now

from skill import delivery, linking, renewal, trouble
from skill.models import AlexaGrant, Endpoint, Gateway
from tests.skill.deeds import deliver_all, levels, make_due, outlast_older_links, reading

pytestmark = pytest.mark.django_db(transaction=True)


def test_overload_backs_off_and_a_new_reading_does_not_bypass_it(linked: Any, machine: Any, amazon: Any) -> None:
    overload = {429: "THROTTLING_EXCEPTION", 500: "INTERNAL_SERVICE_EXCEPTION", 503: "SERVICE_UNAVAILABLE_EXCEPTION"}
    for number, (status, code) in enumerate(overload.items(), 1):
        amazon.attempts.clear()
        amazon.script = lambda event, status=status, code=code: (status, code)
        reading(machine, 50 - 2 * number, 2 * number)
        delivery.deliver(5)
        assert len(amazon.attempts) == 1, status
        reading(machine, 49 - 2 * number, 2 * number + 1)
        delivery.deliver(5)
        assert len(amazon.attempts) == 1, "the back-off was bypassed"
        endpoint = Endpoint.objects.annotate(now=Now()).get()
        assert (endpoint.last_code, endpoint.attempts) == (code, 1)
        assert endpoint.due_at == endpoint.not_before, status
        amazon.script = lambda event: None
        make_due(Endpoint.objects.all())
        deliver_all()
        assert [levels(report) for report in amazon.named("ChangeReport")][number - 1 :] == [[49 - 2 * number]]
        assert Endpoint.objects.get().attempts == 0


def test_a_shorter_longest_back_off_counts_from_then_on(monkeypatch: Any) -> None:
    """The short bad day sets it in running processes."""
    assert trouble.back_off(20, 1.0) >= 2700
    monkeypatch.setattr(trouble, "LONGEST_BACK_OFF", 4.0)
    assert 3 <= trouble.back_off(20, 1.0) <= 5


def test_throttling_halves_the_rate_and_it_creeps_back(linked: Any, machine: Any, amazon: Any, settings: Any) -> None:
    amazon.script = lambda event: (429, "THROTTLING_EXCEPTION")
    reading(machine, 20, 1)
    delivery.deliver(5)
    assert Gateway.objects.get(name="NA").rate == pytest.approx(settings.GATEWAY_RATE / 2, rel=0.1)
    amazon.script = lambda event: None
    Gateway.objects.update(refilled_at=Now() - timedelta(seconds=10))
    make_due(Endpoint.objects.all())
    delivery.deliver(1)
    assert settings.GATEWAY_RATE * 0.55 < Gateway.objects.get(name="NA").rate <= settings.GATEWAY_RATE * 0.75


def test_a_refused_report_is_not_repeated_and_shows_amazons_words(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.script = lambda event: (400, "INVALID_REQUEST_EXCEPTION")
    reading(machine, 20, 1)
    deliver_all()
    deliver_all()
    assert len(amazon.attempts) == 1
    endpoint = Endpoint.objects.get()
    assert (endpoint.last_code, endpoint.last_text) == ("INVALID_REQUEST_EXCEPTION", "told so")
    assert endpoint.reported_at is None


def test_an_expired_token_is_refreshed_once_and_the_report_sent_again(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.valid.clear()
    reading(machine, 20, 1)
    deliver_all()
    assert [request["grant_type"] for request in amazon.token_requests] == ["refresh_token"]
    (report,) = amazon.named("ChangeReport")
    assert report["_token"] == "Atza|2" == report["event"]["endpoint"]["scope"]["token"]
    assert AlexaGrant.objects.get().generation == linked.generation + 1


def test_a_token_about_to_expire_is_refreshed_before_it_is_used(linked: Any, machine: Any, amazon: Any) -> None:
    AlexaGrant.objects.update(expires_at=Now() + timedelta(minutes=4))
    reading(machine, 20, 1)
    deliver_all()
    assert [event["_token"] for event in amazon.attempts] == ["Atza|2"]


def test_a_second_401_stops_and_keeps_the_link(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.script = lambda event: (401, "INVALID_ACCESS_TOKEN_EXCEPTION")
    reading(machine, 20, 1)
    delivery.deliver(5)
    assert len(amazon.attempts) == 2
    assert AlexaGrant.objects.get().state == "active"
    assert Endpoint.objects.get().last_code == "INVALID_ACCESS_TOKEN_EXCEPTION"


def test_invalid_grant_closes_the_link_and_keeps_the_device(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.valid.clear()
    amazon.lwa_script = lambda form: (400, {"error": "invalid_grant", "error_description": "withdrawn"})
    reading(machine, 20, 1)
    deliver_all()
    grant = AlexaGrant.objects.get()
    assert (grant.state, grant.access_token, grant.refresh_token) == ("closed", "", "")
    assert "withdrawn" in grant.reason
    assert Endpoint.objects.get().due_at is None
    machine.refresh_from_db()
    assert machine.owner is not None
    attempts = len(amazon.attempts)
    reading(machine, 10, 2)
    deliver_all()
    assert len(amazon.attempts) == attempts, "something was sent for a closed link"


def test_invalid_client_never_unlinks(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.valid.clear()
    amazon.lwa_script = lambda form: (401, {"error": "invalid_client"})
    reading(machine, 20, 1)
    delivery.deliver(5)
    grant = AlexaGrant.objects.get()
    assert grant.state == "active"
    assert grant.refresh_token == "Atzr|1"
    assert "invalid_client" in grant.trouble
    asked = len(amazon.token_requests)
    make_due(Endpoint.objects.all())
    delivery.deliver(5)
    assert len(amazon.token_requests) == asked, "the breaker of Login with Amazon must be open"


def test_skill_disabled_closes_only_after_the_first_minutes(linked: Any, machine: Any, amazon: Any) -> None:
    amazon.script = lambda event: (403, "SKILL_DISABLED_EXCEPTION")
    reading(machine, 20, 1)
    delivery.deliver(5)
    assert AlexaGrant.objects.get().state == "active"
    AlexaGrant.objects.update(accepted_at=Now() - timedelta(minutes=11))
    make_due(Endpoint.objects.all())
    deliver_all()
    assert AlexaGrant.objects.get().state == "closed"


def test_other_403s_keep_the_link(linked: Any, machine: Any, amazon: Any) -> None:
    AlexaGrant.objects.update(accepted_at=Now() - timedelta(days=1))
    for number, code in enumerate(["SKILL_NEVER_ENABLED_EXCEPTION", "INSUFFICIENT_PERMISSION_EXCEPTION", ""], 1):
        amazon.script = lambda event, code=code: (403, code)
        amazon.attempts.clear()
        reading(machine, 20 - number, number)
        make_due(Endpoint.objects.all())
        delivery.deliver(5)
        assert amazon.attempts, code
        assert AlexaGrant.objects.get().state == "active", code
        endpoint = Endpoint.objects.annotate(now=Now()).get()
        assert endpoint.due_at - endpoint.now > timedelta(seconds=5), code


def test_a_late_answer_to_an_old_generation_changes_nothing(linked: Any, machine: Any, amazon: Any, alice: Any) -> None:
    def link_again_meanwhile(form: dict[str, str]) -> Any:
        if form["grant_type"] == "refresh_token":
            worker = threading.Thread(
                target=lambda: (linking.accept_grant(alice, "code-2", "NA"), connections.close_all())
            )
            worker.start()
            return _after(worker)
        return None

    async def _after(worker: threading.Thread) -> Any:
        import asyncio

        await asyncio.to_thread(worker.join)
        return (400, {"error": "invalid_grant", "error_description": "that one is over"})

    amazon.valid.clear()
    amazon.lwa_script = link_again_meanwhile
    reading(machine, 20, 1)
    delivery.deliver(5)
    grant = AlexaGrant.objects.get()
    assert grant.state == "active", "the new link was closed by an answer to the old one"
    assert grant.refresh_token != ""
    outlast_older_links()
    make_due(Endpoint.objects.all())
    deliver_all()
    assert levels(amazon.named("ChangeReport")[-1]) == [20]


def test_only_one_of_two_refreshes(linked: Any, amazon: Any) -> None:
    held = renewal.Credentials(linked.pk, "NA", linked.generation, "Atza|1", fresh=False)
    assert renewal.lease_refreshes([held]) == ["Atzr|1"]
    (answer,) = renewal.lease_refreshes([held])
    assert isinstance(answer, renewal.RefreshElsewhere)
