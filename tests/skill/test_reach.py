"""Before a model is published: how many customers are linked, and so hear of it."""

from typing import Any

from devices import catalogue, registry
from devices.catalogue import Change
from skill import linking

RENAMED = [Change(("model", "name"), "Crema 20", "Crema 20 Pro", announced=True)]


def test_only_customers_whose_alexa_knows_such_a_device_are_counted(linked: Any, machine: Any, bob: Any) -> None:
    model = machine.device_model
    _, _, code = registry.register("CRM20-0002", model)
    assert catalogue.touched(model, RENAMED) == (1, 1, 1)
    registry.claim(bob, "CRM20-0002", code)
    assert catalogue.touched(model, RENAMED) == (2, 2, 1)
    assert str(catalogue.touched(model, RENAMED)) == "2 owned device(s) of 2 customer(s), 1 of them linked"


def test_who_has_unlinked_is_not(linked: Any, machine: Any) -> None:
    linking.unlink(machine.owner)
    assert catalogue.touched(machine.device_model, RENAMED) == (1, 1, 0)


def test_what_alexa_is_not_told_touches_nobody(linked: Any, machine: Any) -> None:
    ours = [Change(("model", "warranty_months"), "24", "36", announced=False)]
    assert catalogue.touched(machine.device_model, ours) == (0, 0, 0)
