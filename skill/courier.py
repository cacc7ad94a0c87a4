"""The courier at AWS: its role, its function in each region, its environment, and Alexa's leave to call it (boto3).

Each step looks first and says what it found or did, so all of it may be repeated; with ``dry_run`` nothing is changed. The courier's
secret is compared and sent, never returned in a step. Alexa reference 6.1, 7.1 and 8.6.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import ClientError

from skill import lambda_package

REGIONS = {"NA": "us-east-1", "EU": "eu-west-1", "FE": "us-west-2"}
ALEXA = "alexa-connectedhome.amazon.com"
RUNTIME, MEMORY_MB, SECONDS = "python3.13", 512, 8
LOGS = "write-its-log"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
MAY_LOG = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "arn:aws:logs:*:*:log-group:/aws/lambda/*",
        }
    ],
}
PATIENCE = 60.0  # seconds that AWS gets to know a new role, or to finish an update


@dataclass(frozen=True)
class Courier:
    """What is wanted. `environment` holds the secret and does not show in its repr."""

    name: str
    role: str
    skill_id: str
    environment: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class Step:
    """One thing that has to exist. ``done``: exists already, made, changed (what), or what would be done."""

    where: str
    what: str
    done: str


def deploy(courier: Courier, regions: list[str], *, dry_run: bool = False) -> Iterator[Step]:
    """Make or change what differs in these regions (NA, EU, FE). On the wire. Raises ClientError and BotoCoreError."""
    step, role_arn = _role(courier, dry_run)
    yield step
    for region in regions:
        client = boto3.client("lambda", region_name=REGIONS[region])
        yield from _function(client, courier, region, role_arn, dry_run)
        yield _permission(client, courier, region, dry_run)


def _role(courier: Courier, dry_run: bool) -> tuple[Step, str]:
    """The role that the function runs as; it may write its log and nothing else."""
    iam = boto3.client("iam", region_name=REGIONS["NA"])
    what = f"role {courier.role}"
    found = _found(iam.get_role, RoleName=courier.role)
    if found is None and dry_run:
        return Step("IAM", what, "would be made"), ""
    if found is None:
        found = iam.create_role(RoleName=courier.role, AssumeRolePolicyDocument=json.dumps(TRUST))
        iam.put_role_policy(RoleName=courier.role, PolicyName=LOGS, PolicyDocument=json.dumps(MAY_LOG))
        return Step("IAM", what, "made"), str(found["Role"]["Arn"])
    lacking = _set_role_right(iam, courier.role, found["Role"], dry_run)
    return Step("IAM", what, _said(lacking, dry_run)), str(found["Role"]["Arn"])


def _set_role_right(iam: Any, name: str, role: dict[str, Any], dry_run: bool) -> list[str]:
    lacking = []
    held = _found(iam.get_role_policy, RoleName=name, PolicyName=LOGS)
    if held is None or held["PolicyDocument"] != MAY_LOG:
        lacking.append("leave to write its log")
        if not dry_run:
            iam.put_role_policy(RoleName=name, PolicyName=LOGS, PolicyDocument=json.dumps(MAY_LOG))
    if role["AssumeRolePolicyDocument"] != TRUST:
        lacking.append("who may take it")
        if not dry_run:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(TRUST))
    return lacking


def _function(client: Any, courier: Courier, region: str, role_arn: str, dry_run: bool) -> Iterator[Step]:
    what, zipped = f"function {courier.name}", lambda_package.package()
    found = _found(client.get_function, FunctionName=courier.name)
    if found is None:
        if not dry_run:
            _create(client, courier, role_arn, zipped)
        yield Step(region, what, "would be made" if dry_run else "made")
        return
    changed = _code(client, courier.name, found["Configuration"], zipped, dry_run)
    changed += _configuration(client, courier, found["Configuration"], role_arn, dry_run)
    yield Step(region, what, _said(changed, dry_run))


def _create(client: Any, courier: Courier, role_arn: str, zipped: bytes) -> None:
    """A role that was made just now is not known everywhere yet; AWS says InvalidParameterValue until it is."""
    facts = _facts(courier, role_arn) | {"FunctionName": courier.name, "Code": {"ZipFile": zipped}, "Publish": False}
    _patiently(lambda: client.create_function(**facts), "InvalidParameterValueException")
    _settled(client, courier.name, "function_active_v2")


def _code(client: Any, name: str, found: dict[str, Any], zipped: bytes, dry_run: bool) -> list[str]:
    if found["CodeSha256"] == lambda_package.code_sha256(zipped):
        return []
    if not dry_run:
        client.update_function_code(FunctionName=name, ZipFile=zipped)
        _settled(client, name, "function_updated_v2")
    return ["code"]


def _configuration(client: Any, courier: Courier, found: dict[str, Any], role_arn: str, dry_run: bool) -> list[str]:
    wanted = _facts(courier, role_arn or found["Role"])
    named = {"Runtime": "runtime", "Role": "role", "Handler": "handler", "Timeout": "time-out", "MemorySize": "memory"}
    differ = [words for key, words in named.items() if found.get(key) != wanted[key]]
    has = found.get("Environment", {}).get("Variables", {})
    differ += [name for name, value in courier.environment.items() if has.get(name) != value]
    if differ and not dry_run:
        wanted["Environment"] = {"Variables": has | courier.environment}  # what others put there stays
        client.update_function_configuration(FunctionName=courier.name, **wanted)
        _settled(client, courier.name, "function_updated_v2")
    return differ


def _facts(courier: Courier, role_arn: str) -> dict[str, Any]:
    return {
        "Runtime": RUNTIME,
        "Role": role_arn,
        "Handler": lambda_package.HANDLER,
        "Timeout": SECONDS,
        "MemorySize": MEMORY_MB,
        "Environment": {"Variables": dict(courier.environment)},
    }


def _permission(client: Any, courier: Courier, region: str, dry_run: bool) -> Step:
    """The trigger: Alexa may call it, for this skill only."""
    statement = f"alexa-{courier.skill_id.rpartition('.')[2]}"
    what = f"leave for {courier.skill_id}"
    policy = _found(client.get_policy, FunctionName=courier.name)
    held = json.loads(policy["Policy"])["Statement"] if policy else []
    if any(_is_ours(entry, courier.skill_id) for entry in held):
        return Step(region, what, "exists")
    if dry_run:
        return Step(region, what, "would be given")
    if statement in [entry["Sid"] for entry in held]:
        client.remove_permission(FunctionName=courier.name, StatementId=statement)
    client.add_permission(
        FunctionName=courier.name,
        StatementId=statement,
        Action="lambda:InvokeFunction",
        Principal=ALEXA,
        EventSourceToken=courier.skill_id,
    )
    return Step(region, what, "given")


def _is_ours(entry: dict[str, Any], skill_id: str) -> bool:
    principal = entry.get("Principal")
    service = principal.get("Service") if isinstance(principal, dict) else principal
    token = entry.get("Condition", {}).get("StringEquals", {}).get("lambda:EventSourceToken")
    allowed = entry.get("Effect") == "Allow" and entry.get("Action") == "lambda:InvokeFunction"
    return bool(allowed and service == ALEXA and token == skill_id)


def address(courier: Courier, region: str) -> str | None:
    """The function's ARN, which goes into the developer console; None where it does not exist."""
    client = boto3.client("lambda", region_name=REGIONS[region])
    found = _found(client.get_function, FunctionName=courier.name)
    return str(found["Configuration"]["FunctionArn"]) if found else None


def _said(changed: list[str], dry_run: bool) -> str:
    return f"{'would be changed' if dry_run else 'changed'}: {', '.join(changed)}" if changed else "exists"


def _settled(client: Any, name: str, waiter: str) -> None:
    client.get_waiter(waiter).wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": int(PATIENCE)})


def _patiently(act: Callable[[], Any], code: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            act()
            return
        except ClientError as error:
            if error.response["Error"]["Code"] != code or time.monotonic() > end:
                raise
        time.sleep(2)


def _found(ask: Any, **names: str) -> dict[str, Any] | None:
    try:
        return dict(ask(**names))
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ResourceNotFoundException", "NoSuchEntity"):
            return None
        raise
