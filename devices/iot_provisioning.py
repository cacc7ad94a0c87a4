"""What has to exist at AWS IoT for us: things, the policy of their certificates, the rule, its HTTP destination.

Each step looks first and says what it found or did, so all of it may be repeated; with ``dry_run`` nothing is changed.
Certificates are not made here: the factory's own are registered at AWS, and attached to thing and policy there.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from devices.iot import thing_name

SQL = "SELECT *, topic(3) as thingName FROM '$aws/things/+/shadow/update/accepted'"
POLICY, RULE = "portal-things", "portal_shadow_accepted"
HEADER = "X-Iot-Secret"


@dataclass(frozen=True)
class Step:
    """One thing that has to exist. ``done``: exists already, made, changed, or what would be done."""

    what: str
    done: str


def things(client: BaseClient, serials: Iterable[str], *, dry_run: bool = False) -> Iterator[Step]:
    """A thing for each unit; yields as it goes, because there may be millions. On the wire: one
    request each, two where it is made."""
    for serial in serials:
        name = thing_name(serial)
        if _found(client.describe_thing, thingName=name):
            yield Step(f"thing {name}", "exists")
        elif dry_run:
            yield Step(f"thing {name}", "would be made")
        else:
            client.create_thing(thingName=name)  # AWS takes it twice as well
            yield Step(f"thing {name}", "made")


def policy(client: BaseClient, region: str, account: str, *, dry_run: bool = False) -> Step:
    """What a thing may do: connect under its own name, write and hear its own shadow, nothing else."""
    wanted = policy_document(region, account)
    found = _found(client.get_policy, policyName=POLICY)
    if found and json.loads(found["policyDocument"]) == wanted:
        return Step(f"policy {POLICY}", "exists")
    if dry_run:
        return Step(f"policy {POLICY}", "would be changed" if found else "would be made")
    if found:
        _make_room(client)
        client.create_policy_version(policyName=POLICY, policyDocument=json.dumps(wanted), setAsDefault=True)
        return Step(f"policy {POLICY}", "changed")
    client.create_policy(policyName=POLICY, policyDocument=json.dumps(wanted))
    return Step(f"policy {POLICY}", "made")


def rule(client: BaseClient, url: str, secret: str, *, dry_run: bool = False) -> Step:
    """The rule of Amazon's workshop, delivered to our door with the secret in a header."""
    wanted = _rule_payload(url, secret)
    found = _found(client.get_topic_rule, ruleName=RULE)
    if found and _is_wanted(found["rule"], wanted):
        return Step(f"rule {RULE}", "exists")
    if dry_run:
        return Step(f"rule {RULE}", "would be changed" if found else "would be made")
    act = client.replace_topic_rule if found else client.create_topic_rule
    act(ruleName=RULE, topicRulePayload=wanted)
    return Step(f"rule {RULE}", "changed" if found else "made")


def destination(client: BaseClient, url: str, *, dry_run: bool = False) -> Step:
    """The HTTP destination of the rule; AWS asks for its confirmation at our door, which must be reachable by then."""
    what = f"destination {url}"
    status = _status_of(client, url)
    if status in ("ENABLED", "IN_PROGRESS"):
        return Step(what, "exists" if status == "ENABLED" else "waits for its confirmation")
    if dry_run:
        return Step(what, f"would be made anew, it is {status}" if status else "would be made")
    client.create_topic_rule_destination(destinationConfiguration={"httpUrlConfiguration": {"confirmationUrl": url}})
    return Step(what, "made; AWS asks for its confirmation")


def policy_document(region: str, account: str) -> dict[str, Any]:
    """By thing name, as AWS fills it in from the certificate's thing."""
    here = f"arn:{partition(region)}:iot:{region}:{account}"
    own = "$aws/things/${iot:Connection.Thing.ThingName}/shadow"
    return {
        "Version": "2012-10-17",
        "Statement": [
            _allow("iot:Connect", [f"{here}:client/${{iot:Connection.Thing.ThingName}}"]),
            _allow("iot:Publish", [f"{here}:topic/{own}/{verb}" for verb in ("update", "get")]),
            _allow("iot:Subscribe", [f"{here}:topicfilter/{own}/{verb}/*" for verb in ("update", "get")]),
            _allow("iot:Receive", [f"{here}:topic/{own}/{verb}/*" for verb in ("update", "get")]),
        ],
    }


def partition(region: str) -> str:
    """AWS's word for the part of the world in which a region's names are valid."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rpartition("-")[0].rpartition("-")[0], "aws")


def _allow(action: str, resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resources}


def _rule_payload(url: str, secret: str) -> dict[str, Any]:
    action = {"url": url, "confirmationUrl": url, "headers": [{"key": HEADER, "value": secret}]}
    return {
        "sql": SQL,
        "awsIotSqlVersion": "2016-03-23",
        "description": "What things report, to the portal",
        "ruleDisabled": False,
        "actions": [{"http": action}],
    }


def _is_wanted(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Compared in what we set; AWS adds fields of its own."""
    same = all(found.get(name) == wanted[name] for name in ("sql", "ruleDisabled", "actions"))
    return same and found.get("awsIotSqlVersion", wanted["awsIotSqlVersion"]) == wanted["awsIotSqlVersion"]


def _found(ask: Any, **names: str) -> dict[str, Any] | None:
    try:
        return dict(ask(**names))
    except ClientError as error:
        # AWS answers UnauthorizedException for a rule that does not exist.
        if error.response["Error"]["Code"] in ("ResourceNotFoundException", "UnauthorizedException"):
            return None
        raise


def _make_room(client: BaseClient) -> None:
    """A policy has at most five versions; the oldest that is not in force goes."""
    versions = client.list_policy_versions(policyName=POLICY)["policyVersions"]
    old = [version["versionId"] for version in versions if not version["isDefaultVersion"]]
    if len(versions) >= 5:
        client.delete_policy_version(policyName=POLICY, policyVersionId=min(old, key=int))


def _status_of(client: BaseClient, url: str) -> str:
    pages = client.get_paginator("list_topic_rule_destinations").paginate()
    found = [entry for page in pages for entry in page["destinationSummaries"]]
    states = [entry["status"] for entry in found if entry.get("httpUrlSummary", {}).get("confirmationUrl") == url]
    return min(states, key=lambda state: (state != "ENABLED", state != "IN_PROGRESS"), default="")
