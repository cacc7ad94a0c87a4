"""What the tests of the skill do."""

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone
from oauth2_provider.models import AccessToken
from oauth2_provider.models import set_token_value as set_token

from devices.inventory import Measurement, record_reading
from skill import delivery, endpoints, grid, outbox
from skill.models import AlexaGrant, Application, Endpoint, Gateway
from tests.oracle import Court
from tests.people import owned
from tests.skill.amazon_far_side import Amazon


def reading(device: Any, value: float, sequence: int, slot: str = "beans") -> Any:
    return record_reading(device, [Measurement(slot, sequence, Decimal(str(value)), None)], timezone.now())


def pods(crema: Any) -> None:
    """The coffee machine counts its pods, too."""
    crema.slots.create(
        slot_id="pods",
        name="Coffee pods",
        sensor="usage",
        measurement="Count",
        instance="Pod.Coffee",
        replenishment_id="arn:alexa:pods",
    )


def more_machines(count: int, model: Any, owner: Any) -> list[Any]:
    """So many more of the customer's, claimed at once; if she is linked, Alexa is to hear of them."""
    devices = [owned(owner, model, f"CRM20-1{number:03d}") for number in range(count)]
    outbox.follow_ownership([device.pk for device in devices])
    return devices


def known(machine: Any, amazon: Amazon, court: Court) -> AlexaGrant:
    """What accept_grant, the announcement and the first look leave of a link of this machine, which has said nothing yet, by five
    statements instead of sixty; a test of linking holds them together."""
    now, tokens = timezone.now(), amazon.tokens()
    grant = AlexaGrant.objects.create(
        user=machine.owner,
        region="NA",
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
        code_hash=hashlib.sha256(b"code-1").hexdigest(),
        expires_at=now + timedelta(seconds=tokens["expires_in"]),
        accepted_at=now,
    )
    said = endpoints.describe_all(endpoints.owned_by(machine.owner_id), "NA")
    (court.announced[str(machine.ownership)],) = said.told
    next_due = grid.next_due(now.timestamp(), grid.phase(machine.owner_id), settings.REPORT_PERIOD, grid.margin())
    due_at = datetime.fromtimestamp(next_due, UTC)
    Endpoint.objects.create(
        grant=grant,
        region="NA",
        device=machine,
        endpoint_id=str(machine.ownership),
        announced_digest=said.digests[str(machine.ownership)],
        due_at=due_at,
        daily_at=due_at,
        silent_since=now,
    )
    door = Gateway(name="NA", rate=settings.GATEWAY_RATE, allowance=settings.GATEWAY_RATE)
    Gateway.objects.bulk_create([door], ignore_conflicts=True)
    return grant


def make_due(endpoints: Any, daily: bool = False) -> None:
    """As if the time had come."""
    long_ago = Now() - timedelta(minutes=1)
    endpoints.filter(due_at__isnull=False).update(
        due_at=long_ago, not_before=None, **({"daily_at": long_ago} if daily else {})
    )


def outlast_older_links() -> None:
    """As if the time of those were over who were talking when the customer linked again."""
    Endpoint.objects.filter(lease=None).update(leased_until=None)


def deliver_all() -> None:
    """Slices until nothing is due."""
    for _ in range(20):
        if not delivery.deliver(5) and not Endpoint.objects.filter(due_at__lte=Now(), lease=None).exists():
            return
    raise AssertionError("delivery does not come to rest")


def token_of(user: Any, alexa: Application, **changes: Any) -> str:
    raw = uuid.uuid4().hex
    row = AccessToken(user=user, application=alexa, scope="alexa", expires=timezone.now() + timedelta(hours=1))
    for name, value in changes.items():
        setattr(row, name, value)
    set_token(row, raw)
    row.save()
    return raw


def directive(
    namespace: str, name: str, token: str = "", endpoint: str | None = None, payload: Any = None, **header: Any
) -> dict[str, Any]:
    head = {"namespace": namespace, "name": name, "payloadVersion": "3", "messageId": "m-1"} | header
    body: dict[str, Any] = {"header": head, "payload": {} if payload is None else payload}
    scope = {"type": "BearerToken", "token": token}
    if endpoint is not None:
        body["endpoint"] = {"endpointId": endpoint, "scope": scope, "cookie": {}}
    elif payload is None:
        body["payload"] = {"scope": scope}
    return {"directive": body}


def report_state(token: str, endpoint: str) -> dict[str, Any]:
    return directive("Alexa", "ReportState", token, endpoint, correlationToken="c0rr3l4tion==")


def error_of(answer: dict[str, Any]) -> str:
    assert answer["event"]["header"]["name"] == "ErrorResponse"
    return answer["event"]["payload"]["type"]


def accept_grant(token: str, code: Any = "code-1", **grant: Any) -> dict[str, Any]:
    payload = {
        "grant": {"type": "OAuth2.AuthorizationCode", "code": code} | grant,
        "grantee": {"type": "BearerToken", "token": token},
    }
    return directive("Alexa.Authorization", "AcceptGrant", payload=payload)


def levels(report: dict[str, Any]) -> list[float]:
    changed = report["event"]["payload"]["change"]["properties"]
    return [item["value"]["value"] for item in changed if item["name"] == "level"]


@contextlib.contextmanager
def gone_after(statements: int, trouble: type[Exception] = OperationalError) -> Iterator[Callable[[], bool]]:
    """The database goes away after so many statements of this thread; gives whether one was asked in vain."""
    left = statements

    def broken(execute: Any, *asked: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise trouble("the database is gone")
        return execute(*asked)

    with connection.execute_wrapper(broken):
        yield lambda: left < 0
