"""Directives: what Alexa asks, and how she is answered (Alexa reference 2, 4, 7 and 8.6)."""

import statistics
from collections.abc import Iterator
from decimal import Decimal

from skill import verdict
from skill.alexa import discovery
from skill.certification import Check, NotHere, Run, expect
from skill.certification.alexa import Json, error_of, short

GOOD_SECONDS, MOST_ASKED = 2.0, 20


def door(run: Run) -> str:
    status = run.alexa.post({}, **{"X-Courier-Secret": "wrong"}).answer.status_code
    expect(status == 403, f"without the courier's secret HTTP {status}")
    return "HTTP 403 without the courier's secret"


def discover(run: Run) -> str:
    if not run.alexa.tokens:
        raise NotHere("linking gave no tokens")
    run.answer = run.alexa.ask(run.alexa.directive("Alexa.Discovery", "Discover"))
    expect(run.answer["event"]["header"]["name"] == "Discover.Response", short(run.answer))
    run.endpoints = run.answer["event"]["payload"]["endpoints"]
    expect(run.endpoints, "the test customer has no device that Alexa is told of")
    size = discovery.size(run.answer)
    expect(size < discovery.LARGE_ANSWER_BYTES, f"{size:,} bytes; others saw discovery fail near 128 kB")
    expect(len(run.endpoints) <= discovery.MAX_ENDPOINTS, f"{len(run.endpoints)} endpoints")
    return f"{len(run.endpoints)} endpoints, {size:,} bytes"


def descriptions(run: Run) -> str:
    """Every endpoint as Works with Alexa wants it."""
    for endpoint in _known(run):
        faults = verdict.about(endpoint) + list(_lacking(endpoint))
        expect(not faults, f"{endpoint['friendlyName']}: {'; '.join(faults)}")
    return "maker and model named, EndpointHealth, version 3, every property retrievable and proactively reported"


def _lacking(endpoint: Json) -> Iterator[str]:
    capabilities = endpoint["capabilities"]
    if "Alexa.EndpointHealth" not in [capability["interface"] for capability in capabilities]:
        yield "no EndpointHealth"
    for capability in capabilities:
        if not capability["version"].startswith("3"):
            yield f"{capability['interface']} has version {capability['version']}"
        switches = capability.get("properties", {"retrievable": True, "proactivelyReported": True})
        if not (switches.get("retrievable") and switches.get("proactivelyReported")):
            yield f"{capability['interface']} is not both retrievable and proactively reported"


def supplies(run: Run) -> str:
    """Dash: the sensors are there with their replenishment IDs."""
    sensors = [
        capability
        for endpoint in _known(run)
        for capability in endpoint["capabilities"]
        if "Inventory" in capability["interface"]
    ]
    expect(sensors, "no endpoint has an inventory sensor")
    without = [sensor["instance"] for sensor in sensors if not sensor["configuration"]["replenishment"].get("value")]
    expect(not without, f"no replenishment ID: {', '.join(without)}")
    return f"{len(sensors)} inventory sensors, each with its replenishment ID"


def states(run: Run) -> str:
    """Every retrievable property is in the answer, and the correlationToken comes back byte for byte."""
    for endpoint in _known(run)[:MOST_ASKED]:
        asked = run.alexa.directive("Alexa", "ReportState", endpoint=endpoint["endpointId"])
        answer = run.alexa.ask(asked)
        header = answer["event"]["header"]
        expect(header["name"] == "StateReport", f"{endpoint['friendlyName']}: {short(answer)}")
        expect(
            header.get("correlationToken") == asked["directive"]["header"]["correlationToken"],
            "another correlationToken",
        )
        told = {(item["namespace"], item.get("instance", "")): item for item in answer["context"]["properties"]}
        promised = {(c["interface"], c.get("instance", "")) for c in endpoint["capabilities"] if c.get("properties")}
        missing = ", ".join(" ".join(pair).strip() for pair in sorted(promised - set(told)))
        expect(not missing, f"{endpoint['friendlyName']} does not report {missing}: has it sent a reading?")
        for (namespace, instance), item in told.items():
            if namespace == "Alexa.InventoryLevelSensor":
                run.levels[endpoint["endpointId"], instance] = Decimal(str(item["value"]["value"]))
    return f"{min(len(run.endpoints), MOST_ASKED)} endpoints asked, all properties reported"


def errors(run: Run) -> str:
    """The error types of Alexa's list that can be provoked from outside."""
    endpoint = _known(run)[0]["endpointId"]
    alexa = run.alexa
    for expected, directive in {
        "NO_SUCH_ENDPOINT": alexa.directive("Alexa", "ReportState", endpoint="00000000-0000-4000-8000-000000000000"),
        "INVALID_AUTHORIZATION_CREDENTIAL": alexa.directive("Alexa", "ReportState", endpoint=endpoint, token="made-up"),  # noqa: S106
        "INVALID_DIRECTIVE": alexa.directive("Alexa.BrightnessController", "SetBrightness", endpoint=endpoint),
    }.items():
        answer = alexa.ask(directive)
        expect(error_of(answer) == expected, f"expected {expected}: {short(answer)}")
        sent = directive["directive"]["header"]["correlationToken"]
        expect(answer["event"]["header"].get("correlationToken") == sent, f"{expected} without its correlationToken")
    broken = alexa.ask({"directive": {"header": {}}})
    expect(error_of(broken) == "INVALID_DIRECTIVE", f"a malformed directive: {short(broken)}")
    return "NO_SUCH_ENDPOINT, INVALID_AUTHORIZATION_CREDENTIAL, INVALID_DIRECTIVE, each with its correlationToken"


def grant_refused(run: Run) -> str:
    answer = run.alexa.ask(run.alexa.accept_grant("made-up-by-certify"))
    header = answer["event"]["header"]
    said = short(answer)
    expect((header["namespace"], header["name"]) == ("Alexa.Authorization", "ErrorResponse"), said)
    expect(error_of(answer) == "ACCEPT_GRANT_FAILED", said)
    expect("correlationToken" not in header, "an answer to AcceptGrant has no correlationToken")
    return "a code that Amazon did not give: ACCEPT_GRANT_FAILED in Alexa.Authorization"


def latency(run: Run) -> str:
    endpoint = _known(run)[0]["endpointId"]
    for _ in range(MOST_ASKED):
        run.alexa.ask(run.alexa.directive("Alexa", "ReportState", endpoint=endpoint))
    times = sorted(run.alexa.durations)
    said = (
        f"{len(times)} directives: median {statistics.median(times) * 1000:.0f} ms, slowest {times[-1] * 1000:.0f} ms"
    )
    expect(times[-1] < GOOD_SECONDS, said)
    return said


def _known(run: Run) -> list[Json]:
    if not run.endpoints:
        raise NotHere("Discover gave no endpoint")
    return run.endpoints


_LOG = "Look for `directive failed` in the portal's log."
CHECKS = (
    Check("Only the courier is heard", "8.6", "COURIER_SECRET must be set, and the same in Lambda.", door),
    Check(
        "Discover tells of the test customer's devices",
        "2.1, 9.4 (1)",
        "Claim a test device; manage.py alexa_view EMAIL says what is left out.",
        discover,
    ),
    Check(
        "Every endpoint is described as Works with Alexa wants it",
        "8.6",
        "Correct the model and publish it; manage.py alexa_view EMAIL.",
        descriptions,
    ),
    Check(
        "Inventory sensors have their replenishment IDs",
        "2.5, 9.4",
        "Enter the IDs in a draft of the model and publish it.",
        supplies,
    ),
    Check("ReportState gives every property", "7.5, 8.6", "Let the device send a reading for each slot.", states),
    Check("Errors are precise and answer to their directive", "7.7", _LOG, errors),
    Check(
        "AcceptGrant that fails says so in its own form",
        "4",
        "Is Login with Amazon reached? LWA_TOKEN_URL, ALEXA_CLIENT_ID, ALEXA_CLIENT_SECRET.",
        grant_refused,
    ),
    Check("Answers come long before Alexa's 8 seconds", "7.1", "More web processes; is the database near?", latency),
)
