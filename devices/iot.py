"""AWS IoT Core: names of things, the handshake of an HTTP destination, and the way back to a thing.

On the wire through boto3 (AWS_ENDPOINT_URL moves it, e.g. to a test server); never inside a transaction. What has to
exist at AWS for this is made by iot_provisioning.py.
"""

import json
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from devices import shadow, talkback
from devices.models import SERIAL_PATTERN, Device, Door

if TYPE_CHECKING:
    from botocore.client import BaseClient

log = logging.getLogger(__name__)

SECONDS = 3  # to connect, and again for an answer
_DESTINATION = re.compile(
    r"arn:aws[a-z-]*:iot:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):ruledestination/http/[\w-]+"
)
_PATH = re.compile(r"/confirmdestination/[A-Za-z0-9._~%=+-]{1,4096}")


class ConfirmationRefused(ValueError):
    """A confirmation that is not of a destination of ours."""


class IotUnavailable(Exception):
    """AWS IoT did not answer, or not well; try again later."""


def thing_name(serial: str) -> str:
    """The thing of a unit. AWS IoT allows no dot in it; a serial number has no colon, so the one stands for the other."""
    return serial.replace(".", ":")


def serial_of(thing: str) -> str | None:
    """The serial number behind a thing's name; None for a name that no thing of ours can have."""
    serial = thing.replace(":", ".")
    return serial if re.fullmatch(SERIAL_PATTERN, serial) and "." not in thing else None


def device_of(thing: str) -> Device | None:
    """The unit behind a thing's name. One query."""
    serial = serial_of(thing)
    return Device.objects.filter(serial_number=serial).order_by().first() if serial else None


def confirm_destination(body: Any) -> None:
    """Enable the HTTP destination that asks to be confirmed, by opening its enableUrl once, without redirects.

    On the wire. Idempotent at AWS. Only for destinations in AWS_IOT_REGIONS (and AWS_IOT_ACCOUNT if set), and only at
    https://iot.<that region>.amazonaws.com/confirmdestination/. Raises ConfirmationRefused, IotUnavailable.
    """
    address, arn = _checked(body)
    log.info("AWS IoT asks to confirm %s", arn)
    status = _open(address)
    if status != 200:
        raise IotUnavailable(f"AWS IoT answered {status} to the confirmation.")


def talk_back(limit: int = 10) -> int:
    """Tell things behind AWS IoT what is desired of them; how many were told.

    On the wire, no transaction open. Each row is claimed, told and settled by itself; a failure is postponed. Repeating
    is harmless: the whole difference to what AWS took last is sent, and sending it twice changes nothing there. Few are
    claimed at once, so that even slow answers come within the lease; where all of them fail, the rest waits for the
    next ring.
    """
    told = 0
    while entries := talkback.claim(Door.AWS, limit):
        client = data_client()
        taken = sum([_tell(client, entry) for entry in entries])
        told += taken
        if not taken:
            break
    return told


def data_client() -> "BaseClient":
    """The data plane: shadows."""
    return _client("iot-data", SECONDS, settings.AWS_IOT_DATA_ENDPOINT or None)


def control_client() -> "BaseClient":
    """The control plane: things, policies, rules, destinations. A command waits there, no customer: it may take its time."""
    return _client("iot", 30)


def _client(name: str, seconds: int, endpoint: str | None = None) -> "BaseClient":
    import boto3  # takes a tenth of a second, and only some processes ever ask AWS
    from botocore.config import Config

    region = settings.AWS_IOT_REGIONS[0] if settings.AWS_IOT_REGIONS else None
    config = Config(connect_timeout=SECONDS, read_timeout=seconds, retries={"total_max_attempts": 1})
    return boto3.client(name, region_name=region, endpoint_url=endpoint, config=config)


def _tell(client: "BaseClient", entry: talkback.Claimed) -> bool:
    desired, before = entry.shadow.desired, entry.shadow.told
    gone = {key: None for key in before if key not in desired}
    patch = shadow.difference(desired, before) | _removed(before, desired) | gone
    try:
        if patch:
            payload = json.dumps({"state": {"desired": patch}}).encode()
            client.update_thing_shadow(thingName=thing_name(entry.serial), payload=payload)
    except (BotoCoreError, ClientError) as error:
        talkback.postpone(entry, _reason(error))
        return False
    talkback.settle(entry, told=desired)
    return True


def _removed(before: dict[str, Any], desired: dict[str, Any]) -> dict[str, Any]:
    """Objects that lost a key: the whole object anew, with null for what is gone in it."""
    found = {}
    for key, value in desired.items():
        other = before.get(key)
        if isinstance(value, dict) and isinstance(other, dict) and value != other:
            gone = {inner: None for inner in other if inner not in value}
            found[key] = value | gone | _removed(other, value)
    return found


def _reason(error: Exception) -> str:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    return f"AWS IoT: {code}"


def _checked(body: Any) -> tuple[str, str]:
    facts = body if isinstance(body, dict) else {}
    address, arn = str(facts.get("enableUrl", "")), str(facts.get("arn", ""))
    destination = _DESTINATION.fullmatch(arn)
    if destination is None or destination["region"] not in settings.AWS_IOT_REGIONS:
        raise ConfirmationRefused("This destination is not in a region of ours.")
    if settings.AWS_IOT_ACCOUNT and destination["account"] != settings.AWS_IOT_ACCOUNT:
        raise ConfirmationRefused("This destination is not in our account.")
    if not _is_of_aws_iot(address, destination["region"]):
        raise ConfirmationRefused("enableUrl is not an address of AWS IoT in the destination's region.")
    return address, arn


def _is_of_aws_iot(address: str, region: str) -> bool:
    """Exactly https, exactly the host, no port, no user, no query; compared before anything is opened."""
    ending = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    exact = parts.scheme == "https" and parts.netloc == f"iot.{region}.{ending}"
    return exact and bool(_PATH.fullmatch(parts.path)) and address == f"https://{parts.netloc}{parts.path}"


def _open(address: str) -> int:
    try:
        pool = urllib3.PoolManager(timeout=urllib3.Timeout(SECONDS), retries=False)
        return int(pool.request("GET", address, redirect=False).status)
    except urllib3.exceptions.HTTPError as error:
        raise IotUnavailable(f"AWS IoT did not answer: {type(error).__name__}") from error
