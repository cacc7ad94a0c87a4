"""One spoilt part, one sentence about it: every rule of the oracle can fail. And whatever comes, it never raises."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from portal.sandbox.checker import violations, violations_of_answer
from tests.effort import examples
from tests.sandbox.far_side import change_report, coffee_machine, connectivity, level
from tests.sandbox.test_checker_golden import GOLDEN

CHANGED = "event.payload.change.properties.0"
MACHINE = "event.payload.endpoints.0"
BEANS = f"{MACHINE}.capabilities.2"
DROP = object()


def spoilt(message: dict, path: str, value: object) -> dict:
    """A copy with one part replaced or dropped."""
    made = copy.deepcopy(message)
    *way, last = [int(part) if part.isdecimal() else part for part in path.split("|" if "|" in path else ".")]
    place = made
    for part in way:
        place = place[part]
    if value is DROP:
        del place[last]
    else:
        place[last] = value
    return made


# name of the golden message, the part, its spoilt value, what the sentence must say
RULES = [
    # envelope
    ("daily level", "event.header.payloadVersion", 3, 'must be "3"'),
    ("daily level", "event.header.payloadVersion", "2", 'must be "3"'),
    ("daily level", "event.header.messageId", "", "messageId: must be"),
    ("daily level", "event.header.messageId", "a:b", "messageId: must be"),
    ("daily level", "event.header.messageId", "a" * 128, "messageId: must be"),
    ("daily level", "event.header.messageId", DROP, "messageId: is missing"),
    ("daily level", "event.header.correlationToken", "x", "proactive"),
    ("daily level", "event.header.instance", "Beans.Hopper", "header.instance: does not belong"),
    ("daily level", "event.header.name", "InventoryRemoved", "no message that a skill may send"),
    ("daily level", "event.header.namespace", "Alexa.InventoryLevelSensor", "no message that a skill may send"),
    ("daily level", "event.header", [], "event.header: must be an object"),
    ("daily level", "event.payload", [], "event.payload: must be an object"),
    ("daily level", "extra", 1, "message.extra: does not belong"),
    ("daily level", "event.extra", 1, "event.extra: does not belong"),
    ("daily level", "event.endpoint.scope", DROP, "scope: is missing"),
    ("daily level", "event.endpoint.scope.type", "BearerTokenWithPartition", "scope.type"),
    ("daily level", "event.endpoint.scope.token", "", "scope.token: must be a text"),
    ("daily level", "event.endpoint.scope.token", "A" * 2049, "2048 are allowed"),
    ("daily level", "event.endpoint.endpointId", "with space", "endpointId: must be"),
    ("daily level", "event.endpoint.endpointId", "with.dot", "endpointId: must be"),
    ("daily level", "event.endpoint.endpointId", "a" * 257, "endpointId: must be"),
    ("daily level", "event.endpoint.endpointId", "a\n", "endpointId: must be"),
    ("daily level", "context.other", 1, "context.other: does not belong"),
    ("daily level", "context", DROP, None),
    # properties (pitfalls 6, 9, 11)
    ("daily level", f"{CHANGED}.timeOfSample", "2026-11-21T07:30:00.123456Z", "at most three decimals"),
    ("daily level", f"{CHANGED}.timeOfSample", "2026-11-21T07:30:00+00:00", "a Z"),
    ("daily level", f"{CHANGED}.timeOfSample", "2026-02-30T07:30:00Z", "no moment"),
    ("daily level", f"{CHANGED}.timeOfSample", "٢٠٢٦-11-21T07:30:00Z", "must be UTC"),
    ("daily level", f"{CHANGED}.timeOfSample", DROP, "timeOfSample: is missing"),
    ("daily level", f"{CHANGED}.uncertaintyInMilliseconds", DROP, "uncertaintyInMilliseconds: is missing"),
    ("daily level", f"{CHANGED}.uncertaintyInMilliseconds", -1, "0 or more"),
    ("daily level", f"{CHANGED}.uncertaintyInMilliseconds", True, "0 or more"),
    ("daily level", f"{CHANGED}.instance", DROP, "instance: must be a text"),
    ("daily level", f"{CHANGED}.name", "value", "name:"),
    ("daily level", f"{CHANGED}.unit", "x", "does not belong"),
    ("daily level", f"{CHANGED}.namespace", "Alexa.InventoryUsageSensor", "has no properties"),
    ("daily level", f"{CHANGED}.value|@type".replace(".", "|"), "Percent", "@type"),
    ("daily level", f"{CHANGED}.value.value", 100.1, "ends at 100"),
    ("daily level", f"{CHANGED}.value.value", -0.1, "negative"),
    ("daily level", f"{CHANGED}.value.value", "42", "must be a number"),
    ("daily level", f"{CHANGED}.value.value", True, "must be a number"),
    ("daily level", f"{CHANGED}.value.value", float("nan"), "must be a number"),
    ("daily level", f"{CHANGED}.value.unit", "LITER", "unit: does not belong"),
    ("state offline, old sample", "context.properties.1.value.unit", DROP, "unit: is missing"),
    ("state offline, old sample", "context.properties.1.value.unit", "STONE", "STONE"),
    ("lost its network", f"{CHANGED}.value.value", "OFFLINE", "OFFLINE"),
    ("lost its network", f"{CHANGED}.value", "UNREACHABLE", "must be an object"),
    ("lost its network", f"{CHANGED}.value.value", "OK", "belongs to UNREACHABLE only"),
    ("later", "context.properties.0.value", "off", "value:"),
    # ChangeReport
    ("daily level", "event.payload.change.cause.type", "DAILY", "DAILY"),
    ("daily level", "event.payload.change.cause", DROP, "cause: is missing"),
    ("daily level", "event.payload.change.properties", [], "at least 1 member"),
    ("daily level", "event.payload.change.properties", [level(1), level(2)], "stands there twice"),
    ("daily level", "context.properties", [connectivity(), connectivity()], "stands there twice"),
    ("daily level", "context.properties", [level(3)], "in the change and in the context"),
    # InventoryConsumed (pitfall 5)
    ("pods", "event.header.instance", DROP, "header.instance: is missing"),
    ("pods", "event.payload.cause", {"type": "PERIODIC_POLL"}, "payload.cause: does not belong"),
    ("pods", "event.payload.instance", "Pod.Coffee", "payload.instance: does not belong"),
    ("pods", "event.payload.usage.value", 1.5, "whole number"),
    ("pods", "event.payload.usage", {"@type": "Percentage", "value": 1}, "Count, Volume or Weight"),
    ("pods", "event.payload.timeOfSample", DROP, "timeOfSample: is missing"),
    ("pods", "context", {"properties": [connectivity()]}, "context: does not belong"),
    # doorbell (pitfall 11)
    ("bell", "event.payload.timestamp", "2026-11-21T16:44:03.1Z", "whole seconds"),
    ("bell", "event.payload.cause.type", "ALEXA_INTERACTION", "ALEXA_INTERACTION"),
    # answers
    ("state", "event.header.correlationToken", DROP, "copy it from the directive"),
    ("state", "context", DROP, "context.properties: must be an array"),
    ("state", "event.payload.x", 1, "payload.x: does not belong"),
    ("deferred", "event.endpoint", {"endpointId": "crema-alice-1"}, "event.endpoint: does not belong"),
    ("deferred", "context", {}, "context: does not belong"),
    ("deferred", "event.payload.estimatedDeferralInSeconds", 1.5, "whole number of seconds"),
    ("unreachable", "event.payload.type", "OUT_OF_COFFEE", "OUT_OF_COFFEE"),
    ("unreachable", "event.payload.message", DROP, "message: is missing"),
    ("unreachable", "event.payload.code", "X", "payload.code: does not belong"),
    ("unreachable", "context", {}, "context: does not belong"),
    ("mode", "event.payload.currentDeviceMode", DROP, "currentDeviceMode: nothing is not"),
    ("mode", "event.payload.currentDeviceMode", "BROKEN", "BROKEN"),
    ("low power", "event.payload.percentageState", "5", "percentageState: must be a number"),
    ("granted", "event.payload.x", 1, "payload.x: does not belong"),
    ("not granted", "event.payload.type", "INTERNAL_ERROR", "INTERNAL_ERROR"),
    ("not granted", "event.header.namespace", "Alexa", "ACCEPT_GRANT_FAILED"),
    # discovery (2.2 to 2.6; pitfalls 6, 10)
    ("discovery", "event.endpoint", {"endpointId": "x"}, "event.endpoint: does not belong"),
    ("discovery", "context", {}, "context: does not belong"),
    ("discovery", "event.payload.endpoints", DROP, "endpoints: is missing"),
    ("discovery", "event.payload.endpoints", [coffee_machine()] * 2, "crema-alice-1 stands there twice"),
    ("discovery", f"{MACHINE}.friendlyName", "a" * 129, "128 are allowed"),
    ("discovery", f"{MACHINE}.friendlyName", "Alice's machine", "only letters, digits and spaces"),
    ("discovery", f"{MACHINE}.description", "", "description: must be a text"),
    ("discovery", f"{MACHINE}.manufacturerName", DROP, "manufacturerName: is missing"),
    ("discovery", f"{MACHINE}.displayCategories", [], "at least 1 member"),
    ("discovery", f"{MACHINE}.displayCategories", ["COFFEE_MACHINE"], "no display category"),
    ("discovery", f"{MACHINE}.displayCategories", ["OTHER", "OTHER"], "stands there twice"),
    ("discovery", f"{MACHINE}.additionalAttributes.colour", "red", "colour: does not belong"),
    ("discovery", f"{MACHINE}.additionalAttributes.model", "m" * 257, "256 are allowed"),
    ("discovery", f"{MACHINE}.cookie", {"a": 1}, "object of texts"),
    ("discovery", f"{MACHINE}.cookie", {"a": "ü" * 2500}, "5001 bytes"),
    ("discovery", f"{MACHINE}.connections", [{"type": "LORA"}], "LORA"),
    ("discovery", f"{MACHINE}.capabilities", coffee_machine()["capabilities"][1:], "base interface"),
    ("discovery", f"{MACHINE}.capabilities", coffee_machine()["capabilities"] * 2, "stands there twice"),
    ("discovery", f"{MACHINE}.state", 1, "state: does not belong"),
    ("discovery", f"{BEANS}.version", "1.0", "version"),
    ("discovery", f"{BEANS}.version", 3, "version"),
    ("discovery", f"{BEANS}.type", "Interface", "AlexaInterface"),
    ("discovery", f"{BEANS}.instance", DROP, "instance: must be a text"),
    ("discovery", f"{BEANS}.properties.proactivelyReported", "true", "true or false"),
    ("discovery", f"{BEANS}.properties.retrievable", False, "retrievable: must be true"),
    ("discovery", f"{BEANS}.properties.supported", [], "supported"),
    ("discovery", f"{BEANS}.proactivelyReported", True, "stands in properties"),
    ("discovery", f"{BEANS}.capabilityResources", DROP, "friendlyNames: must be an array"),
    ("discovery", f"{BEANS}.capabilityResources.friendlyNames.0.value.locale", "english", "locale like en-US"),
    ("discovery", f"{BEANS}.configuration.measurement.value", 1, "value: does not belong"),
    ("discovery", f"{BEANS}.configuration.replenishment", {}, "replenishment.value: is missing"),
    ("discovery", f"{BEANS}.configuration.replenishment", DROP, "replenishment: is missing"),
    ("discovery", f"{BEANS}.configuration.replenishment.value", "", "must be a text"),
    ("every sensor", "event.payload.endpoints.1.capabilities.3.properties", {"supported": []}, "has no properties"),
    (
        "every sensor",
        "event.payload.endpoints.1.capabilities.3.configuration.measurement",
        {"@type": "Percentage"},
        "counts",
    ),
    ("every sensor", "event.payload.endpoints.1.capabilities.7.proactivelyReported", DROP, "must be true"),
    (
        "every sensor",
        "event.payload.endpoints.1.capabilities.6.properties.supported",
        [{"name": "power"}],
        "powerState",
    ),
    # reports of endpoints
    ("a new device", "event.payload.scope", DROP, "scope: is missing"),
    ("a new device", "event.payload.endpoints", [], "at least 1 member"),
    ("a new device", "event.endpoint", {"endpointId": "x"}, "event.endpoint: does not belong"),
    ("gone", "event.payload.scope", DROP, "scope: is missing"),
    ("gone", "event.payload.endpoints.0.friendlyName", "x", "friendlyName: does not belong"),
    ("gone", "event.payload.endpoints", [], "at least 1 member"),
]


def test_every_broken_rule_has_its_sentence():
    for name, path, value, saying in RULES:
        found = violations(spoilt(GOLDEN[name], path, value))
        told = found == [] if saying is None else any(saying in sentence for sentence in found)
        assert told, f"{name}, {path} {'dropped' if value is DROP else value}: not {saying!r} but {found}"


def test_more_than_300_endpoints_are_too_many():
    many = [coffee_machine() | {"endpointId": f"crema-{number}"} for number in range(301)]
    told = spoilt(GOLDEN["discovery"], "event.payload.endpoints", many)
    assert violations(told) == ["event.payload.endpoints: has 301 members, 300 are allowed"]


def test_an_endpoint_has_at_most_100_capabilities():
    power = coffee_machine()["capabilities"][2]
    many = coffee_machine()["capabilities"] + [power | {"instance": f"I{number}"} for number in range(98)]
    assert violations(spoilt(GOLDEN["discovery"], f"{MACHINE}.capabilities", many)) == [
        "event.payload.endpoints[0].capabilities: has 101 members, 100 are allowed"
    ]


def test_a_report_larger_than_256_kilobytes_is_too_large():
    many = [coffee_machine() | {"endpointId": f"crema-{number}", "description": "x" * 128} for number in range(250)]
    found = violations(spoilt(GOLDEN["a new device"], "event.payload.endpoints", many))
    assert found == ["event.payload: is larger than 256 KB"]


def test_a_camera_may_have_keys_that_we_do_not_know():
    camera = {"type": "AlexaInterface", "interface": "Alexa.CameraStreamController", "version": "3", "streams": []}
    told = copy.deepcopy(GOLDEN["discovery"])
    told["event"]["payload"]["endpoints"][0]["capabilities"].append(camera)
    assert violations(told) == []


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["Alexa", "ChangeReport", "3"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(message=ANYTHING, directive=ANYTHING, endpoint=st.dictionaries(st.text(), ANYTHING, max_size=3))
@settings(max_examples=examples(50), deadline=None)
def test_nothing_at_all_makes_it_raise(message, directive, endpoint):
    assert violations(message) != []
    violations_of_answer(directive, message, {"crema-alice-1": endpoint})


def paths(value: object, way: tuple = ()) -> list[tuple]:
    """The way to every part of a message."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way] * bool(way) + [found for key, part in inner for found in paths(part, (*way, key))]


EVERY_PART = [(name, way) for name, message in GOLDEN.items() for way in paths(message)]


@given(place=st.sampled_from(EVERY_PART), value=ANYTHING)
@settings(max_examples=examples(75), deadline=None)
def test_no_spoilt_part_of_a_right_message_makes_it_raise(place, value):
    name, way = place
    made = copy.deepcopy(GOLDEN[name])
    holder = made
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = value
    endpoints = {"crema-alice-1": coffee_machine(), "": {"capabilities": value}}
    for over in ("gateway", "answer", None):
        violations(made, endpoints, over)
    violations_of_answer(made, made, {"crema-alice-1": value if isinstance(value, dict) else {}})


def test_a_huge_number_and_a_deep_nest_do_not_make_it_raise():
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    assert violations(change_report(10**400)) != []
    assert violations(spoilt(GOLDEN["a new device"], "event.payload.endpoints.0.cookie", deep)) != []
