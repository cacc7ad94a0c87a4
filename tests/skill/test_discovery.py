"""What Alexa hears of each device: named in her customer's languages, checked one by one, so that a bad one hides nobody else."""

import json
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from devices import catalogue, registry
from devices.models import Device, DeviceModel, Marketplace, ModelMarketplace, Slot
from skill import endpoints, health, linking, outbox, verdict
from skill.alexa import discovery
from skill.models import AlexaGrant, Endpoint
from tests import oracle
from tests.people import owned
from tests.skill.deeds import deliver_all, directive, make_due, reading, report_state

pytestmark = pytest.mark.django_db


def discover(ask: Any, token: str, region: str = "NA") -> dict[str, dict[str, Any]]:
    """The endpoint objects of the answer by friendlyName."""
    answer = ask(directive("Alexa.Discovery", "Discover", token), region=region)
    return {item["friendlyName"]: item for item in answer["event"]["payload"]["endpoints"]}


def names(endpoint: dict[str, Any]) -> list[tuple[str, str]]:
    sensor = endpoint["capabilities"][-1]["capabilityResources"]["friendlyNames"]
    return [(name["value"]["text"], name["value"]["locale"]) for name in sensor]


def grinder_of(alice: Any, **changes: Any) -> Device:
    """Alice's second device, of a model that something is wrong with."""
    facts = {
        "model_id": "GRIND-1",
        "name": "Grind 1",
        "manufacturer": "Nordkap Home",
        "description": "Grinder by Nordkap Home",
    }
    model = DeviceModel.objects.create(**facts | changes)
    return owned(alice, model, f"{model.model_id}-0001")


def sell(model: DeviceModel, code: str, name: str) -> None:
    locales = {"US": "en-US", "DE": "de-DE", "FR": "fr-FR"}
    shop, _ = Marketplace.objects.get_or_create(code=code, defaults={"name": code, "locale": locales[code]})
    ModelMarketplace.objects.create(device_model=model, marketplace=shop, friendly_name=name)


class TestLanguages:
    """The names that a customer may see or say, by region; the portal is told of no other sign of a language."""

    def test_a_slot_is_named_in_the_regions_languages_with_synonyms(
        self, ask: Any, token: str, machine: Any, crema: Any
    ) -> None:
        both = {"de-DE": ["Kaffeebohnen", "Bohnen"], "es-US": ["Granos de cafe"], "ja-JP": ["Mame"], "en-IN": ["Beans"]}
        crema.slots.update(names=both)
        here = discover(ask, token, "EU")["Crema 20"]
        assert names(here) == [
            ("Coffee beans", "en-US"),
            ("Kaffeebohnen", "de-DE"),
            ("Bohnen", "de-DE"),
            ("Beans", "en-IN"),
        ]
        assert names(discover(ask, token, "NA")["Crema 20"]) == [("Coffee beans", "en-US"), ("Granos de cafe", "es-US")]
        assert names(discover(ask, token, "FE")["Crema 20"]) == [("Coffee beans", "en-US"), ("Mame", "ja-JP")]

    def test_a_machine_without_a_name_of_its_own_is_called_as_the_model_is_there(
        self, ask: Any, token: str, machine: Any, crema: Any
    ) -> None:
        sell(crema, "US", "Crema Twenty")
        sell(crema, "DE", "Kaffeemaschine Crema 20")
        assert set(discover(ask, token, "NA")) == {"Crema Twenty"}
        assert set(discover(ask, token, "EU")) == {"Kaffeemaschine Crema 20"}
        registry.rename(machine, "Kitchen")
        assert set(discover(ask, token, "EU")) == {"Kitchen"}

    def test_it_is_so_called_when_the_model_was_given_another_name(
        self, ask: Any, token: str, machine: Any, crema: Any
    ) -> None:
        sell(crema, "DE", "Kaffeemaschine Crema 20")
        draft = catalogue.open_draft(crema)
        said = replace(catalogue.live(crema), name="Crema 20 (2027)")
        draft = catalogue.save_draft(draft, said, catalogue.live(crema).digest())
        catalogue.publish(draft, "The new year's.")
        assert set(discover(ask, token, "EU")) == {"Kaffeemaschine Crema 20"}

    def test_where_the_marketplaces_disagree_the_model_keeps_its_own(
        self, ask: Any, token: str, machine: Any, crema: Any
    ) -> None:
        sell(crema, "FR", "Machine Crema")
        sell(crema, "DE", "Kaffeemaschine Crema 20")
        assert set(discover(ask, token, "EU")) == {"Crema 20"}

    def test_the_announcement_says_what_discovery_says(
        self, ask: Any, token: str, machine: Any, crema: Any, amazon: Any, transactional_db: None
    ) -> None:
        sell(crema, "DE", "Kaffeemaschine Crema 20")
        crema.slots.update(names={"de-DE": ["Kaffeebohnen"]})
        linking.accept_grant(machine.owner, "code-1", "EU")
        make_due(Endpoint.objects.all())
        deliver_all()
        (report,) = amazon.named("AddOrUpdateReport")
        assert report["event"]["payload"]["endpoints"] == list(discover(ask, token, "EU").values())
        deliver_all()
        assert len(amazon.named("AddOrUpdateReport")) == 1, "discovery and delivery disagree about the description"


class TestOneBadDevice:
    """It is left out, with the reason, and hides nobody else."""

    def test_discovery_goes_on_without_it_and_staff_read_why(
        self, ask: Any, token: str, machine: Any, alice: Any, amazon: Any
    ) -> None:
        grinder = grinder_of(alice, display_category="GRINDER")
        grant = linking.accept_grant(alice, "code-1", "NA")
        assert set(discover(ask, token)) == {"Crema 20"}
        row = Endpoint.objects.get(grant=grant, device=grinder)
        assert row.left_out == "displayCategories: GRINDER is not one of Alexa's; correct the model"
        assert health.left_out_endpoints() == [f"1 endpoints: {row.left_out} (one is #{row.pk})"]
        DeviceModel.objects.filter(pk=grinder.device_model_id).update(display_category="OTHER")
        assert set(discover(ask, token)) == {"Crema 20", "Grind 1"}
        assert health.left_out_endpoints() == []

    def test_announcements_go_on_without_it(
        self, machine: Any, alice: Any, amazon: Any, transactional_db: None
    ) -> None:
        faults = [{"description": ""}, {"manufacturer": ""}, {"display_category": "GRINDER"}, {"description": " "}]
        for number, fault in enumerate(faults):
            grinder_of(alice, model_id=f"GRIND-{number}", **fault)
        linking.accept_grant(alice, "code-1", "NA")
        make_due(Endpoint.objects.all())
        deliver_all()
        (report,) = amazon.named("AddOrUpdateReport")
        assert [item["endpointId"] for item in report["event"]["payload"]["endpoints"]] == [str(machine.ownership)]
        bad = Endpoint.objects.exclude(device=machine)
        assert all(row.left_out for row in bad)
        assert set(bad.values_list("last_code", "announced_digest")) == {("LEFT_OUT", "")}
        DeviceModel.objects.exclude(pk=machine.device_model_id).update(
            description="Grinder", manufacturer="Nordkap", display_category="OTHER"
        )
        make_due(bad)
        deliver_all()
        assert set(bad.values_list("left_out", "last_code")) == {("", "")}
        (_, report) = amazon.named("AddOrUpdateReport")
        assert len(report["event"]["payload"]["endpoints"]) == len(faults)

    def test_what_alexa_knows_already_goes_on_being_reported(
        self, linked: Any, machine: Any, crema: Any, amazon: Any
    ) -> None:
        reading(machine, 40, 1)
        DeviceModel.objects.filter(pk=crema.pk).update(description="")
        make_due(Endpoint.objects.all(), daily=True)
        deliver_all()
        assert amazon.named("AddOrUpdateReport") == []
        assert len(amazon.named("ChangeReport")) == 1
        assert "description" in Endpoint.objects.get().left_out

    def test_one_that_raises_is_left_out_too(
        self, ask: Any, token: str, machine: Any, alice: Any, monkeypatch: Any
    ) -> None:
        grinder = grinder_of(alice)
        make = endpoints.make

        def broken(product: Any, region: str) -> endpoints.Make:
            if product.pk == grinder.device_model_id:
                raise KeyError("a bug of ours")
            return make(product, region)

        monkeypatch.setattr(endpoints, "make", broken)
        assert set(discover(ask, token)) == {"Crema 20"}


def test_a_large_answer_is_measured_and_shown_to_staff(
    ask: Any, token: str, machine: Any, alice: Any, amazon: Any, monkeypatch: Any, caplog: Any
) -> None:
    grant = linking.accept_grant(alice, "code-1", "NA")
    answer = ask(directive("Alexa.Discovery", "Discover", token))
    size = AlexaGrant.objects.get().discovered_bytes
    assert size == len(json.dumps(answer))
    assert health.large_discoveries() == []
    monkeypatch.setattr(discovery, "LARGE_ANSWER_BYTES", size)
    monkeypatch.setattr(health, "LARGE_ANSWER_BYTES", size)
    with caplog.at_level("WARNING", "skill.handlers"):
        discover(ask, token)
    assert f"bytes={size}" in caplog.text
    assert health.large_discoveries() == [f"Alexa link #{grant.pk}: {size:,} bytes"]


def test_queries_stay_the_same_for_one_device_and_for_many_models(
    ask: Any, token: str, machine: Any, alice: Any, amazon: Any
) -> None:
    def count(body: Any) -> int:
        with CaptureQueriesContext(connection) as queries:
            ask(body)
        return len(queries)

    linking.accept_grant(alice, "code-1", "NA")
    discover(ask, token)  # the first of a link is traced
    one = count(directive("Alexa.Discovery", "Discover", token)), count(report_state(token, str(machine.ownership)))
    for number in range(6):
        model = DeviceModel.objects.create(
            model_id=f"M-{number}", name=f"M {number}", manufacturer="N", description="By N"
        )
        for slot in range(3):
            model.slots.create(
                slot_id=f"s{slot}", name=f"S{slot}", instance=f"S.{slot}", replenishment_id=f"r{number}{slot}"
            )
        sell(model, "US", f"Model {number}")
        outbox.follow_ownership([owned(alice, model, f"M{number}-1").pk])
    discover(ask, token)  # what is told for the first time is written down
    many = count(directive("Alexa.Discovery", "Discover", token)), count(report_state(token, str(machine.ownership)))
    assert one == many == (5, 2)


texts = st.text(max_size=140)


@given(
    name=texts,
    manufacturer=texts,
    model=texts,
    description=texts,
    category=st.sampled_from(["COFFEE_MAKER", "GRINDER", ""]),
    kind=st.sampled_from(["level", "usage", "level_usage"]),
    measurement=st.sampled_from(["Percentage", "Count", "Volume", "Weight", "Spoons"]),
    unit=st.sampled_from(["", "LITER", "GRAM", "SPOON"]),
    instance=st.sampled_from(["Beans.Hopper", ""]),
    slot=st.tuples(texts, st.sampled_from(["en-US", "English"])),
)
def test_whatever_is_in_the_registry_what_the_judge_passes_the_oracles_pass(**said: Any) -> None:
    """And nothing makes it raise."""
    sensor = discovery.inventory.Sensor(
        said["instance"], said["kind"], said["measurement"], said["unit"], "r-1", (said["slot"],)
    )
    make = endpoints.Make(said["manufacturer"], said["model"], said["description"], said["category"], (sensor,))
    device = endpoints.Unit(1, "3f0c-1", said["name"], "CRM20-1", "", True, None, make, [])
    try:
        described = endpoints.describe(device)
    except endpoints.LeftOut:
        return
    assert verdict.about(described) == []
    assert oracle.about_answer({}, discovery.discover_response("m-1", [described])) == []


def test_a_slot_that_counts_wrongly_is_named(ask: Any, token: str, machine: Any, crema: Any, alice: Any) -> None:
    Slot.objects.filter(device_model=crema).update(measurement="Volume", unit="SPOON")
    assert discover(ask, token) == {}
    (reason,) = endpoints.describe_all(endpoints.owned_by(alice.pk), "NA").left_out.values()
    assert reason == "slot Beans.Hopper: Volume needs one of its units, e.g. LITER."
