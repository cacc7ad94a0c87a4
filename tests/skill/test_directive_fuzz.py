"""Whatever stands in a directive: HTTP 200, an Alexa answer that both judges let pass, and nothing of anybody else's."""

import copy
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices import shadow
from skill import handlers, power
from skill.models import AlexaGrant
from tests import oracle
from tests.effort import examples
from tests.people import owned
from tests.skill.deeds import directive, reading, report_state

pytestmark = pytest.mark.django_db
fuzz = settings(
    max_examples=examples(20),
    deadline=timedelta(seconds=5),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["3", "Alexa", "\x00"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def requests() -> list[Path]:
    folder = oracle.shared_dir() / "samples" / "alexa"
    return sorted([*folder.glob("*.request.json"), *folder.glob("ReportState.json")])


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [here] if here else []
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        found += paths(member, (*here, key))
    return found


def mutated(document: Any, choose: random.Random, value: Any) -> Any:
    """One to three places removed, replaced, or doubled beyond all measure."""
    document = copy.deepcopy(document)
    for _ in range(choose.randint(1, 3)):
        if not (places := paths(document)):
            return document
        *way, last = choose.choice(places)
        parent = document
        for key in way:
            parent = parent[key]
        match choose.randint(0, 2):
            case 0:
                del parent[last]
            case 1:
                parent[last] = copy.deepcopy(value)  # the same twice would end up inside itself
            case _:
                parent[last] = "x" * choose.choice([129, 257, 5000])
    return document


@pytest.fixture
def crema(crema: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything that we serve can be asked of it; nobody waits long for it."""
    monkeypatch.setattr(power, "WAIT", 0)
    crema.capabilities = ["PowerController", "DoorbellEventSource"]
    crema.save()
    return crema


@pytest.fixture
def machine(machine: Any) -> Any:
    """It has been heard from."""
    type(machine).objects.filter(pk=machine.pk).update(last_seen_at=timezone.now())
    shadow.update(machine, reported={"powerState": "OFF"})
    return machine


@pytest.fixture
def bobs(bob: Any, crema: Any) -> Any:
    """What must never be told: Bob's machine, with a level of its own."""
    device = owned(bob, crema, "BOBS-SECRET-1")
    reading(device, 77.125, 1)
    shadow.update(device, reported={"powerState": "OFF"})
    return device


def is_untouched(bobs: Any) -> bool:
    return "powerState" not in shadow.read(bobs).desired


@fuzz
@given(document=anything)
def test_any_json_at_all(ask: Any, document: Any) -> None:
    assert ask(json.dumps(document))["event"]["header"]["name"] == "ErrorResponse"


@fuzz
@given(
    title=st.sampled_from(sorted(handlers.HANDLERS)) | st.tuples(anything, anything),
    payload=anything,
    endpoint=anything,
    correlation=anything,
)
def test_any_members_of_a_directive(
    ask: Any, token: str, bobs: Any, title: Any, payload: Any, endpoint: Any, correlation: Any
) -> None:
    document = report_state(token, str(bobs.ownership))
    document["directive"]["header"] |= {"namespace": title[0], "name": title[1], "correlationToken": correlation}
    document["directive"] |= {"payload": payload, "endpoint": endpoint}
    assert ask(document)["event"]["header"]["name"] == "ErrorResponse"


@fuzz
@given(seed=st.integers(), value=scalars)
def test_mutations_of_what_we_serve(ask: Any, token: str, machine: Any, bobs: Any, seed: int, value: Any) -> None:
    choose = random.Random(seed)
    hers = [
        directive("Alexa.Discovery", "Discover", token),
        report_state(token, str(machine.ownership)),
        *(
            directive("Alexa.PowerController", name, token, str(machine.ownership), correlationToken="c0rr")
            for name in ("TurnOn", "TurnOff")
        ),
    ]
    document = mutated(choose.choice(hers), choose, choose.choice([value, str(bobs.ownership)]))
    text = json.dumps(ask(document))
    assert "BOBS-SECRET-1" not in text
    assert "77.125" not in text
    assert is_untouched(bobs)


@pytest.mark.parametrize("whose", ["hers", "nobody's"])
def test_bobs_machine_is_never_hers(ask: Any, token: str, machine: Any, bobs: Any, whose: str) -> None:
    """Her token and his endpoint; his endpoint and a token of nobody."""
    for title in handlers.HANDLERS:
        body = directive(*title, token if whose == "hers" else whose, str(bobs.ownership), correlationToken="c")
        text = json.dumps(ask(body))
        assert "BOBS-SECRET-1" not in text, title
        assert "77.125" not in text, title
        assert is_untouched(bobs), title


@pytest.mark.parametrize("size", [5_000, 200_000, 300_000])
def test_huge_fields(ask: Any, token: str, machine: Any, size: int) -> None:
    for place in ("token", "correlationToken", "endpointId", "name"):
        body = report_state(token, str(machine.ownership))
        holder = body["directive"]["endpoint"] | body["directive"]["endpoint"]["scope"] | body["directive"]["header"]
        text = json.dumps(body).replace(json.dumps(holder[place]), json.dumps("x" * size), 1)
        answer = ask(text)
        fits = place == "correlationToken" and size < 250_000
        assert answer["event"]["header"]["name"] == ("StateReport" if fits else "ErrorResponse")


@pytest.mark.skipif(not requests(), reason="Amazon's samples are not at hand (SHARED_DIR says where to look)")
@fuzz
@given(seed=st.integers(), value=anything)
def test_mutations_of_amazons_own_samples(ask: Any, bobs: Any, token: str, amazon: Any, seed: int, value: Any) -> None:
    choose = random.Random(seed)
    sample = json.loads(choose.choice(requests()).read_text().replace("access-token-from-skill", token))
    text = json.dumps(ask(mutated(sample, choose, value)))
    assert "BOBS-SECRET-1" not in text
    assert not AlexaGrant.objects.filter(user=bobs.owner).exists()


@pytest.mark.skipif(not requests(), reason="Amazon's samples are not at hand (SHARED_DIR says where to look)")
@pytest.mark.parametrize("path", requests(), ids=lambda path: path.stem)
def test_amazons_own_samples_with_a_strangers_token(ask: Any, machine: Any, path: Path) -> None:
    answer = ask(path.read_bytes())
    kind = answer["event"]["payload"]["type"]
    known = {"INVALID_AUTHORIZATION_CREDENTIAL", "ACCEPT_GRANT_FAILED", "INVALID_DIRECTIVE"}
    assert kind in (known if "Power" in path.stem or "Accept" in path.stem else {"INVALID_AUTHORIZATION_CREDENTIAL"})
