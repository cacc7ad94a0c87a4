"""The part of Amazon's list that only the portal itself can tell: proactive reports, levels, expired tokens, the Dash programme; and
what only a person can see (Alexa reference 6, 7.4, 8.6 and 9.4)."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.utils import timezone
from oauth2_provider.models import AccessToken

from devices import readiness
from devices.models import DeviceModel, Inventory
from skill import alexa_view, linking
from skill.certification import Check, NotHere, Result, Run, expect, one
from skill.models import Endpoint, Event

BY_HAND = (
    ("Skill", "Skill certification is passed, the skill is published", "8.6"),
    ("Skill", "A Lambda function in each region where you sell: manage.py lambda_deploy", "8.6"),
    ("Linking", "App-to-app linking, from your app and from the Alexa app, on iOS and Android", "8.4, 8.6"),
    ("Linking", "Testers have the test customer's credentials; a device is reachable day and night", "8.6"),
)


def run(user: Any, state: Run) -> Iterator[Result]:
    """Checks with the portal's own eyes, after those over HTTP."""
    for check in CHECKS:
        yield one(check, (user, state))
    for model in DeviceModel.objects.filter(devices__owner=user).distinct():
        yield from _programme(model)
    for where, title, source in BY_HAND:
        yield Result(title, source, "not here", f"{where}: only a person can see it")


def _programme(model: DeviceModel) -> Iterator[Result]:
    """Amazon's tests before certification, as far as units have shown them."""
    for line in readiness.checklist(model, timezone.now()):
        outcome = {"done": "pass", "missing": "FAIL", "by hand": "not here"}[line.status]
        yield Result(
            f"{model.model_id}, {line.where}: {line.title}", "9.1, 9.4", outcome, line.note or line.status, line.todo
        )  # type: ignore[arg-type]


def expired(asked: tuple[Any, Run]) -> str:
    """A token of ours that has run out is answered so that Alexa renews it."""
    _, state = asked
    endpoint = state.endpoints[0]["endpointId"] if state.endpoints else "none"
    held = state.alexa.tokens.get("access_token", "")
    row = AccessToken.objects.filter(token_checksum=hashlib.sha256(held.encode()).hexdigest())
    expires = row.values_list("expires", flat=True).first()
    if expires is None:
        raise NotHere("there was no token to let expire")
    row.update(expires=timezone.now() - timedelta(seconds=1))
    try:
        answer = state.alexa.ask(state.alexa.directive("Alexa", "ReportState", endpoint=endpoint))
    finally:
        row.update(expires=expires)
    said = str(answer["event"]["payload"].get("type"))
    expect(said == "EXPIRED_AUTHORIZATION_CREDENTIAL", f"an expired token is answered {said}")
    return said


def same_levels(asked: tuple[Any, Run]) -> str:
    user, state = asked
    rows = Inventory.objects.filter(device__owner=user, slot__sensor="level").select_related("device", "slot")
    ours = {(str(row.device.ownership), row.slot.instance): row.value for row in rows}
    if not state.levels:
        raise NotHere("no level was reported")
    differ = [
        instance for (endpoint, instance), value in state.levels.items() if ours.get((endpoint, instance)) != value
    ]
    expect(not differ, f"Alexa is told another level of {', '.join(differ)} than is kept")
    return f"{len(state.levels)} levels are those of the registry"


def linked(asked: tuple[Any, Run]) -> str:
    """By the Alexa app, not by this check: only Amazon can give an AcceptGrant that works."""
    user, _ = asked
    grant = linking.active_grant(user)
    expect(grant is not None, "there is no AcceptGrant of this customer: reports cannot be sent")
    assert grant is not None
    expect(not grant.trouble, f"Login with Amazon: {grant.trouble}")
    return f"region {grant.region}, since {grant.accepted_at:%Y-%m-%d %H:%M} UTC"


def announced(asked: tuple[Any, Run]) -> str:
    view = alexa_view.look(asked[0])
    expect(not view.wrong, " ".join(view.wrong))
    late = [seen.serial_number for seen in view.devices if seen.difference != "as announced"]
    expect(not late, f"not announced as they are now: {', '.join(late[:5])}")
    return f"{len(view.devices)} devices as announced by AddOrUpdateReport or Discover"


def reported(asked: tuple[Any, Run]) -> str:
    """At least one report of every level in 24 hours."""
    mine = Endpoint.objects.live().filter(grant__user=asked[0])
    owed = mine.filter(device__inventories__slot__sensor="level").distinct()
    expect(owed.exists(), "no linked device of this customer has a level")
    late = owed.exclude(reported_at__gt=timezone.now() - timedelta(hours=24)).values_list(
        "device__serial_number", flat=True
    )
    expect(not late, f"no report within 24 hours: {', '.join(late[:5])}")
    refused = mine.exclude(last_code="").values_list("last_code", flat=True)
    expect(not refused, f"Amazon's last answer: {', '.join(sorted(set(refused)))}")
    return f"{owed.count()} devices, every level accepted by the event gateway within 24 hours"


def no_parked(asked: tuple[Any, Run]) -> str:
    mine = Event.objects.filter(endpoint__grant__user=asked[0])
    parked = mine.filter(status=Event.Status.PARKED).values_list("name", "last_code")
    expect(not parked, f"parked: {', '.join(' '.join(pair) for pair in parked[:5])}")
    if not (sent := mine.filter(status=Event.Status.SENT).count()):
        raise NotHere("no event was sent: let the device use something, or be rung")
    return f"{sent} events accepted, none refused"


CHECKS: tuple[Check, ...] = (
    Check(
        "An expired token is told from an unknown one",
        "8.3",
        "Look for `directive failed` in the portal's log.",
        expired,
    ),
    Check(
        "Alexa is told the levels that the portal shows",
        "9.4 (2)",
        "Look at the device's page in the admin.",
        same_levels,
    ),
    Check(
        "The test customer is linked in the Alexa app",
        "4, 9.4 (1)",
        "Enable the skill with the test account; the admin's Links say what failed.",
        linked,
    ),
    Check(
        "Devices are announced proactively",
        "7.2, 8.6",
        "manage.py alexa_view EMAIL; resync on its page in the admin.",
        announced,
    ),
    Check(
        "Levels are reported at least once a day",
        "3.1, 7.4",
        "Does the delivery process run? Endpoints in the admin say why not.",
        reported,
    ),
    Check("No event was refused", "3.2, 6.3", "Events in the admin show Amazon's words.", no_parked),
)
