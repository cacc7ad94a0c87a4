"""What Alexa sees of one customer: the exact answer to Discover, judged, measured, and held against what was announced. Reads only;
there is no token in it. The verb that mends it is outbox.resync."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from devices.models import Device
from skill import endpoints, linking, makes, verdict
from skill.alexa import discovery
from skill.alexa.messages import Json
from skill.models import AlexaGrant, Endpoint

MESSAGE_ID = "00000000-0000-0000-0000-000000000000"  # the one thing that differs with every answer


@dataclass(frozen=True)
class Seen:
    """One device of the customer, or one that Alexa is to forget. `faults`: why she would refuse it. `wrong`: a person should look."""

    endpoint_id: str
    serial_number: str
    name: str
    bytes: int
    faults: list[str]
    difference: str
    due_at: datetime | None
    wrong: bool
    object: Json | None
    pk: int | None = None  # of its row


@dataclass(frozen=True)
class View:
    """Everything about one customer. `wrong`: what a person should look at, in words; nothing: all is well."""

    customer: str
    link: str
    region: str
    answer: Json
    bytes: int
    devices: list[Seen]
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> Json:
        """All of it for a program."""
        limits = {"bytes": discovery.LARGE_ANSWER_BYTES, "endpoints": discovery.MAX_ENDPOINTS}
        return asdict(self) | {"limits": limits}


def look(user: Any) -> View:
    """What Alexa sees of this customer. A constant number of queries."""
    grant = linking.active_grant(user)
    region = grant.region if grant else "NA"
    rows = _rows(user, grant)
    devices = endpoints.owned_by(user.pk)
    products = makes.products({device.model_id for device in devices})
    seen = [_seen(device, products, region, rows.pop(device.endpoint_id, None), grant) for device in devices]
    told = [item.object for item in seen if item.object is not None and not item.faults]
    answer = discovery.discover_response(MESSAGE_ID, told)
    leaving = [_leaving(row) for row in rows.values() if row.due_at is not None]
    view = View(str(user), _link(user, grant), region, answer, discovery.size(answer), seen + leaving)
    view.wrong.extend(_wrong(view, grant, Device.objects.filter(owner=user).count()))
    return view


def _rows(user: Any, grant: AlexaGrant | None) -> dict[str, Endpoint]:
    """What we keep of each endpoint under the active grant, and of those that Alexa is still to forget."""
    rows = Endpoint.objects.filter(grant__user=user).filter(Q(grant=grant) | Q(due_at__isnull=False))
    return {row.endpoint_id: row for row in rows.select_related("device").order_by("pk")} if grant else {}


def _link(user: Any, grant: AlexaGrant | None) -> str:
    if grant is not None:
        return f"active in {grant.get_region_display()} since {grant.accepted_at:%Y-%m-%d %H:%M} UTC"
    last = AlexaGrant.objects.filter(user=user).order_by("-accepted_at").first()
    return f"not linked: {last.reason or last.get_state_display()}" if last else "not linked: never was"


def _seen(
    device: endpoints.Owned,
    products: dict[int, makes.Product],
    region: str,
    row: Endpoint | None,
    grant: AlexaGrant | None,
) -> Seen:
    try:
        make = makes.make(products[device.model_id], region)
        made = endpoints.endpoint_object(endpoints.nameplate(device, make))
        faults = verdict.about(made)
    except Exception as error:
        made, faults = None, [f"{type(error).__name__}: {error}"[:300]]
    difference, wrong = _difference(row, made) if grant else ("no link: nothing is told", False)
    return Seen(
        endpoint_id=device.endpoint_id,
        serial_number=device.serial_number,
        name=device.name,
        bytes=discovery.size(made) if made else 0,
        faults=faults,
        difference=difference,
        due_at=row.due_at if row else None,
        wrong=wrong or bool(faults),
        object=made,
        pk=row.pk if row else None,
    )


def _difference(row: Endpoint | None, made: Json | None) -> tuple[str, bool]:
    """How it differs from what Alexa accepted last, and whether nothing will come of that by itself."""
    if row is None or row.due_at is None:
        return "Alexa has never been told of it and nothing is due: resync", True
    if not row.announced_digest:
        return "not announced yet: an AddOrUpdateReport is due", bool(row.last_code)
    if made is not None and row.announced_digest == discovery.digest(made):
        return "as announced", False
    due = (
        "an AddOrUpdateReport is due"
        if endpoints.DESCRIPTION in row.changed
        else "to be announced with the daily report"
    )
    return f"{_how(row.announced_digest, made)}: {due}", bool(row.last_code)


def _how(announced: str, made: Json | None) -> str:
    """Which fields differ, by name. Of a digest that is none (claims.UNSURE) nothing can be told."""
    fields = discovery.differences(announced, discovery.digest(made)) if made else []
    if fields is None:
        return "nobody knows how it was announced (linked again since, or Amazon's answer was lost)"
    return f"differs from what was announced in {', '.join(fields)}" if fields else "differs from what was announced"


def _leaving(row: Endpoint) -> Seen:
    serial = row.device.serial_number if row.device else "(gone)"
    words = "Alexa is to forget it: a DeleteReport is due"
    return Seen(row.endpoint_id, serial, "", 0, [], words, row.due_at, bool(row.last_code), None, row.pk)


def _wrong(view: View, grant: AlexaGrant | None, owned: int) -> list[str]:
    found = [] if grant else [f"The customer is {view.link}."]
    if grant and grant.trouble:
        found.append(f"Login with Amazon refuses a token: {grant.trouble}")
    if bad := sum(bool(seen.faults) for seen in view.devices):
        found.append(f"{bad} of {len(view.devices)} devices would be refused and are left out.")
    if stuck := sum(seen.wrong and not seen.faults for seen in view.devices):
        found.append(f"{stuck} devices are not announced as they should be.")
    if owned > discovery.MAX_ENDPOINTS:
        found.append(
            f"{owned - discovery.MAX_ENDPOINTS} devices are beyond the {discovery.MAX_ENDPOINTS} that Alexa takes."
        )
    if view.bytes >= discovery.LARGE_ANSWER_BYTES:
        found.append(f"The answer has {view.bytes:,} bytes; others saw discovery fail near 128 kB.")
    return found
