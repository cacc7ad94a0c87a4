"""An event against what was announced, and an answer against its directive."""

from portal.sandbox.checker import violations, violations_of_answer
from tests.sandbox.far_side import TIME, change_report, clone, coffee_machine, connectivity, level
from tests.sandbox.test_checker_golden import GOLDEN, consumed, every_sensor, state_report

KNOWN = {"crema-alice-1": coffee_machine()}
PODS = {"crema-alice-1": every_sensor() | {"endpointId": "crema-alice-1"}}
ASKED = {
    "directive": {
        "header": {
            "namespace": "Alexa",
            "name": "ReportState",
            "payloadVersion": "3",
            "messageId": "8d0f",
            "correlationToken": "c29tZSBvcGFxdWUgdGV4dA==",
        },
        "endpoint": {"endpointId": "crema-alice-1"},
        "payload": {},
    }
}


def changed(**property_parts: object) -> dict:
    """A daily level with parts of the property replaced."""
    message = clone(change_report())
    message["event"]["payload"]["change"]["properties"][0] |= property_parts
    return message


def test_what_was_announced_may_be_said():
    assert violations(change_report(), KNOWN) == []
    assert violations(GOLDEN["pods"], PODS) == []
    assert violations(GOLDEN["bell"], PODS) == []
    assert violations(state_report(connectivity(), level(42)), KNOWN) == []


def test_nothing_announced_means_no_endpoint_is_known():
    assert violations(change_report(), {}) == ['event.endpoint.endpointId: "crema-alice-1" was never announced']
    assert violations(GOLDEN["pods"], {}) == ['event.endpoint.endpointId: "crema-alice-1" was never announced']


def test_an_instance_that_was_not_announced_is_named():
    found = violations(changed(instance="Water.Tank"), KNOWN)
    assert found == [
        "event.payload.change.properties[0]: Alexa.InventoryLevelSensor Water.Tank was not announced for this endpoint"
    ]


def test_the_measurement_must_stay_what_it_was():
    found = violations(changed(value={"@type": "Count", "value": 4}), KNOWN)
    assert found == ['event.payload.change.properties[0].value.@type: "Count", but "Percentage" was announced']


def test_the_unit_must_stay_what_it_was():
    use = consumed("Alexa.InventoryUsageSensor", "Cleaner", {"@type": "Volume", "value": 1, "unit": "LITER"})
    assert violations(use, PODS) == ['event.payload.usage.unit: "LITER", but "MILLILITER" was announced']


def test_a_use_of_a_sensor_that_was_not_announced():
    found = violations(GOLDEN["pods"], KNOWN)
    assert found == ["event.header: Alexa.InventoryUsageSensor Pod.Coffee was not announced for this endpoint"]


def test_a_bell_that_was_not_announced():
    assert "Alexa.DoorbellEventSource was not announced" in violations(GOLDEN["bell"], KNOWN)[0]


def test_a_context_may_not_tell_of_what_was_not_announced():
    message = change_report()
    power = {"namespace": "Alexa.PowerController", "name": "powerState", "value": "ON"}
    message["context"]["properties"].append(power | {"timeOfSample": TIME, "uncertaintyInMilliseconds": 0})
    found = violations(message, KNOWN)
    assert "context.properties[1]: Alexa.PowerController was not announced for this endpoint" in found


def test_a_change_needs_the_promise_of_proactive_reports():
    quiet = clone(coffee_machine())
    quiet["capabilities"][2]["properties"]["proactivelyReported"] = False
    found = violations(change_report(), {"crema-alice-1": quiet})
    assert found == [
        "event.payload.change.properties[0]: Alexa.InventoryLevelSensor was announced without proactivelyReported"
    ]


def test_a_state_report_leaves_nothing_out():
    found = violations(state_report(connectivity()), KNOWN)
    assert found == ["context.properties: Alexa.InventoryLevelSensor Beans.Hopper level is retrievable but missing"]


def test_an_answer_that_fits():
    assert violations_of_answer(ASKED, state_report(connectivity(), level(42)), KNOWN) == []


def test_another_correlation_token_is_no_answer_to_this_directive():
    answer = clone(state_report(connectivity(), level(42)))
    answer["event"]["header"]["correlationToken"] += " "
    assert violations_of_answer(ASKED, answer, KNOWN) == ["event.header.correlationToken: is not that of the directive"]


def test_an_answer_about_another_endpoint():
    answer = clone(GOLDEN["unreachable"])
    answer["event"]["endpoint"]["endpointId"] = "crema-bob-1"
    assert violations_of_answer(ASKED, answer, KNOWN) == [
        'event.endpoint.endpointId: "crema-bob-1", but the directive was for "crema-alice-1"'
    ]


def test_an_answer_of_the_wrong_kind():
    discover = {"directive": {"header": {"namespace": "Alexa.Discovery", "name": "Discover"}, "payload": {}}}
    found = violations_of_answer(discover, GOLDEN["granted"])
    assert found == ['event.header: "Alexa.Authorization" "AcceptGrant.Response" is no answer to "Discover"']
    assert violations_of_answer(discover, GOLDEN["deferred"])[0].endswith('is no answer to "Discover"')


def test_an_answer_has_a_message_id_of_its_own():
    answer = clone(state_report(connectivity(), level(42)))
    answer["event"]["header"]["messageId"] = "8d0f"
    assert violations_of_answer(ASKED, answer, KNOWN) == [
        "event.header.messageId: is the directive's; an answer has an id of its own"
    ]
