"""Skill events: hints of Alexa's that the link began, changed or ended."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skill.models import AlexaGrant, Endpoint, SkillUser
from tests.effort import examples
from tests.skill.deeds import deliver_all, token_of
from tests.skill.test_directive_fuzz import anything

pytestmark = pytest.mark.django_db(transaction=True)
HER_ALEXA = "amzn1.ask.account.ALICE"


def event(name: str, minutes: float = 0, user: str = HER_ALEXA, **body: Any) -> dict[str, Any]:
    at = (timezone.now() + timedelta(minutes=minutes)).isoformat()
    request = {"type": f"AlexaSkillEvent.{name}", "requestId": "r", "timestamp": at, "eventCreationTime": at}
    return {"version": "1.0", "context": {"System": {"user": {"userId": user}}}, "request": request | {"body": body}}


@pytest.fixture
def told(client: Any, settings: Any) -> Any:
    """Alexa tells of an event, through the courier's door."""

    def post(body: Any) -> None:
        headers = {"X-Courier-Secret": settings.COURIER_SECRET}
        answer = client.post("/skill/directive", json.dumps(body), content_type="application/json", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"version": "1.0", "response": {}})

    return post


@pytest.fixture
def known(linked: Any, told: Any, alexa: Any, alice: Any) -> SkillUser:
    """Alice's Alexa user, as SkillAccountLinked told of it an hour ago."""
    told(event("SkillAccountLinked", -60, accessToken=token_of(alice, alexa)))
    return SkillUser.objects.get()


def test_linking_tells_whose_alexa_it_is(known: SkillUser, alice: Any) -> None:
    assert known.user == alice
    assert known.hint == "SkillAccountLinked"
    assert HER_ALEXA not in known.user_hash


def test_disabling_is_believed_when_login_with_amazon_says_so(known: SkillUser, told: Any, amazon: Any) -> None:
    amazon.lwa_script = lambda form: (400, {"error": "invalid_grant", "error_description": "revoked"})
    told(event("SkillDisabled"))
    assert AlexaGrant.objects.get().state == "active", "a hint closes nothing"
    deliver_all()
    assert AlexaGrant.objects.get().state == "closed"


def test_a_false_alarm_harms_nothing(known: SkillUser, told: Any, amazon: Any) -> None:
    told(event("SkillDisabled"))
    deliver_all()
    assert AlexaGrant.objects.get().state == "active"
    assert [form["grant_type"] for form in amazon.token_requests][-1] == "refresh_token"


def test_repeated_and_late_events_change_nothing(known: SkillUser, told: Any, amazon: Any, alice: Any) -> None:
    once = event("SkillDisabled")
    told(once)
    deliver_all()
    asked = len(amazon.token_requests)
    told(once)
    told(event("SkillDisabled", -30))
    told(event("SkillDisabled", -120))
    deliver_all()
    assert len(amazon.token_requests) == asked
    assert not Endpoint.objects.filter(due_at__lte=timezone.now()).exists()
    assert len(amazon.named("AddOrUpdateReport")) == 1


def test_a_clock_that_runs_ahead_does_not_make_us_deaf(known: SkillUser, told: Any) -> None:
    told(event("SkillEnabled", 60 * 24))
    told(event("SkillDisabled"))
    assert SkillUser.objects.get().hint == "SkillDisabled"


@pytest.mark.parametrize("name", ["SkillPermissionChanged", "SkillPermissionAccepted"])
def test_permissions_are_looked_into(known: SkillUser, told: Any, amazon: Any, name: str) -> None:
    told(event(name, acceptedPermissions=[{"scope": "alexa::async_event:write"}]))
    assert AlexaGrant.objects.get().expires_at <= timezone.now()


def test_strangers_and_false_tokens_leave_no_row(told: Any, db: None) -> None:
    told(event("SkillDisabled"))
    told(event("SkillEnabled"))
    told(event("SkillAccountLinked", accessToken="guess"))
    told(event("SkillAccountLinked"))
    assert not SkillUser.objects.exists()


def test_linked_to_another_customer_later(known: SkillUser, told: Any, alexa: Any, bob: Any) -> None:
    told(event("SkillAccountLinked", accessToken=token_of(bob, alexa)))
    assert SkillUser.objects.get().user == bob


def test_not_without_the_couriers_secret(client: Any) -> None:
    answer = client.post("/skill/directive", json.dumps(event("SkillDisabled")), content_type="application/json")
    assert answer.status_code == 403


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(system=anything, body=anything, moment=anything, name=st.text(max_size=60))
def test_whatever_is_in_it_the_answer_is_the_same(told: Any, system: Any, body: Any, moment: Any, name: str) -> None:
    request = {"type": f"AlexaSkillEvent.{name}", "eventCreationTime": moment, "body": body}
    told({"context": {"System": system}, "request": request})
    told({"context": {"System": {"user": {"userId": "u"}}}, "request": request})
