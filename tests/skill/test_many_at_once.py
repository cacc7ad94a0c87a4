"""What is done for many at once must be right for each: refreshes, claims among many rows, digests without descriptions."""

import json
import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.db.models.functions import Now
from hypothesis import given
from hypothesis import strategies as st

from skill import claims, endpoints, linking, lwa, pace, renewal
from skill.alexa import discovery, inventory
from skill.models import AlexaGrant, Endpoint, Gateway

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
SENSOR = st.builds(
    inventory.Sensor, TEXT, st.sampled_from(["level", "usage"]), TEXT, TEXT, TEXT, st.just((("Beans", "en-US"),))
)
MAKE = st.builds(endpoints.Make, TEXT, TEXT, TEXT, TEXT, st.lists(SENSOR, max_size=2).map(tuple))


@given(MAKE, st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), min_size=1, max_size=4))
def test_the_digest_is_that_of_the_whole_description(make: Any, devices: list[tuple[str, str, str, str]]) -> None:
    for name, endpoint_id, serial, firmware in devices:
        device = endpoints.Unit(1, endpoint_id, name, serial, firmware, True, None, make, [])
        assert endpoints.digest(device) == discovery.digest(endpoints.endpoint_object(device))


def test_no_text_can_pass_for_a_blank() -> None:
    tricky = '"\\u0000serial_number"'
    make = endpoints.Make(tricky, tricky, tricky, tricky, ())
    device = endpoints.Unit(1, tricky, tricky, tricky, tricky, True, None, make, [])
    assert endpoints.digest(device) == discovery.digest(endpoints.endpoint_object(device))


@given(st.dictionaries(st.sampled_from(["grant_type", "refresh_token", "client_id"]), TEXT))
def test_a_form_is_written_as_everybody_writes_it(form: dict[str, str]) -> None:
    assert lwa._encoded(form).decode() == urlencode(form)


@pytest.mark.django_db(transaction=True)
class TestRefreshes:
    @pytest.fixture
    def two(self, linked: Any, bob: Any, amazon: Any) -> list[renewal.Credentials]:
        """Alice's and Bob's links."""
        other = linking.accept_grant(bob, "code-bob", "NA")
        return [renewal.Credentials(grant.pk, "NA", grant.generation, "", fresh=False) for grant in (linked, other)]

    def test_one_that_is_asked_for_twice_is_given_once(self, two: list[renewal.Credentials]) -> None:
        alices, bobs = two
        first, again, other = renewal.lease_refreshes([alices, alices, bobs])
        assert (first, other) == ("Atzr|1", "Atzr|2")
        assert isinstance(again, renewal.RefreshElsewhere)

    def test_an_older_generation_gets_and_stores_nothing(self, two: list[renewal.Credentials]) -> None:
        alices, bobs = two
        AlexaGrant.objects.filter(pk=alices.grant_id).update(generation=alices.generation + 1)
        mine, other = renewal.lease_refreshes(two)
        assert isinstance(mine, renewal.RefreshElsewhere)
        assert other == "Atzr|2"
        tokens = lwa.Tokens("Atza|new", "Atzr|new", 3600)
        late, stored = renewal.store_refreshes([(alices, tokens, "Atzr|1"), (bobs, tokens, "Atzr|2")])
        assert isinstance(late, renewal.GrantGone)
        assert isinstance(stored, renewal.Credentials)
        assert (stored.access_token, stored.generation, stored.fresh) == ("Atza|new", bobs.generation + 1, True)
        held = {row.pk: (row.access_token, row.refresh_token) for row in AlexaGrant.objects.all()}
        assert held[alices.grant_id] == ("Atza|1", "Atzr|1")
        assert held[bobs.grant_id] == ("Atza|new", "Atzr|new")

    def test_a_refresh_token_that_did_not_come_back_is_kept(self, two: list[renewal.Credentials]) -> None:
        renewal.store_refreshes([(two[0], lwa.Tokens("Atza|new", "", 3600), "Atzr|1")])
        assert AlexaGrant.objects.get(pk=two[0].grant_id).refresh_token == "Atzr|1"

    def test_a_token_that_no_key_opens_is_its_own_trouble_and_keeps_no_lease(
        self, two: list[renewal.Credentials]
    ) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE skill_alexagrant SET refresh_token = 'x' WHERE id = %s", [two[0].grant_id])
        lost, other = renewal.lease_refreshes(two)
        assert isinstance(lost, renewal.TokensLost)
        assert other == "Atzr|2"
        leased = AlexaGrant.objects.filter(refresh_leased_until__gt=Now()).values_list("pk", flat=True)
        assert list(leased) == [two[1].grant_id]

    def test_of_many_one_probes_an_open_breaker_and_the_others_keep_no_lease(
        self, two: list[renewal.Credentials]
    ) -> None:
        pace.take("LWA", 1)
        pace.learn("LWA", failed=pace.FAILURES_TO_OPEN)
        Gateway.objects.update(open_until=Now())
        first, second = renewal.lease_refreshes(two)
        assert sorted([type(first), type(second)], key=str) == sorted([str, lwa.LwaUnavailable], key=str)
        assert AlexaGrant.objects.filter(refresh_leased_until__gt=Now()).count() == 1

    def test_no_clear_token_stands_in_a_statement(self, two: list[renewal.Credentials]) -> None:
        row = renewal._row(two[0], lwa.Tokens("Atza|secret", "Atzr|secret", 3600), "Atzr|1")
        assert "secret" not in json.dumps(row)


@pytest.mark.django_db(transaction=True)
def test_a_claim_looks_at_the_index_once_not_once_for_each_row(linked: Any, machine: Any) -> None:
    """Four thousand come due that the planner believes to be at rest: its own idea is to walk the due times once per claimed row."""
    from tests.bench import fleet

    fleet.fill(1_000_001, 1_004_000)
    Endpoint.objects.update(due_at=Now())
    with connection.cursor() as cursor:
        values = {"region": "NA", "limit": 1000, "most": 1300, "lease": uuid.uuid4(), "seconds": 0}
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {claims._CLAIM}", values)
        (found,) = cursor.fetchone()
    (plan,) = json.loads(found) if isinstance(found, str) else found
    assert _rows_looked_at(plan["Plan"]) < 20_000


@pytest.mark.django_db(transaction=True)
def test_a_lease_hardly_ever_touches_an_index(crema: Any) -> None:
    """Pages have room for new versions of their rows beside the old ones; full ones would send every row to another page."""
    from tests.bench import fleet

    fleet.fill(1_000_001, 1_000_400)
    Endpoint.objects.update(due_at=Now())
    fleet.vacuum()
    before = _updates()
    assert len(claims.claim("NA", 400)) == 400
    written, in_place = (new - old for old, new in zip(before, _updates(), strict=True))
    assert written == 400
    assert in_place > 320


def _updates() -> tuple[int, int]:
    """Rows of skill_endpoint that were updated so far, and how many of them without touching an index."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'skill_endpoint'")
        return cursor.fetchone()


def _rows_looked_at(plan: dict[str, Any]) -> float:
    """Rows that came out of the plan's scans, or were thrown away there, over all their loops."""
    here = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return float(here + sum(_rows_looked_at(part) for part in plan.get("Plans", [])))
