"""Alice's machine behind AWS IoT Core: the rule's door, the destination's handshake, the way back, the set-up."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import boto3
import pytest
import urllib3
from botocore.stub import Stubber
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models import F
from django.test import Client

from devices import documents, iot, iot_provisioning, registry, shadow, tasks
from devices.models import Device, Door, Inventory, Reading, Shadow
from tests.devices.test_device_api import problem

IOT, SECRET = "/api/v1/iot", "a-long-secret-of-the-rule"
ARN = "arn:aws:iot:eu-west-1:123456789012:ruledestination/http/7a280e37-b9c6-47a2-a751-0703693f46e4"
ENABLE = "https://iot.eu-west-1.amazonaws.com/confirmdestination/AYADeMXLrPrNY2wqJAKsFNn-NBJndA"


@pytest.fixture(autouse=True)
def at_aws(settings: Any, monkeypatch: Any) -> None:
    settings.IOT_SECRETS = [SECRET, "the-one-before"]
    settings.AWS_IOT_REGIONS, settings.AWS_IOT_ACCOUNT = ["eu-west-1"], "123456789012"
    settings.AWS_IOT_DATA_ENDPOINT = ""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


def deliver(body: Any, secret: str = SECRET, **headers: str) -> Any:
    raw = body if isinstance(body, str | bytes) else json.dumps(body)
    said = {"X-Iot-Secret": secret} if secret else {}
    return Client(raise_request_exception=False).post(IOT, raw, content_type="application/json", headers=said | headers)


def message(version: int, thing: str = "CRM20-0001", **reported: Any) -> dict[str, Any]:
    metadata = {"reported": {key: {"timestamp": 1795255200} for key in reported}}
    state = {"state": {"reported": reported}, "metadata": metadata, "version": version, "timestamp": 1795255200}
    return state | {"clientToken": "x" * 80 if version == 99 else "t", "thingName": thing}


# --- the rule's messages ------------------------------------------------------------------------------------------------


def test_the_workshops_plain_level_is_recorded_by_its_version(machine: Device) -> None:
    answer = deliver(message(17, beans=0, battery=97))
    assert answer.status_code == 200, answer.content
    results = [{"slot": "beans", "sequence": 17, "status": "recorded"}]
    assert answer.json() == {"thingName": "CRM20-0001", "version": 1, "results": results}
    assert Inventory.objects.get().value == 0
    row = shadow.read(machine)
    assert (row.reported, row.door) == ({"battery": 97}, Door.AWS)
    again = deliver(message(17, beans=0, battery=97)).json()
    assert again["results"][0]["status"] == "already known"
    assert again["version"] == 1


def test_a_plain_level_is_as_old_as_aws_says(machine: Device) -> None:
    """It may have waited there. A time that cannot be is none."""
    deliver(message(1, beans=5))
    assert Reading.objects.get().measured_at == datetime.fromtimestamp(1795255200, UTC)
    for version, odd in enumerate([0, 10**18, "now", None, True], 2):
        deliver(message(version, beans=5) | {"timestamp": odd})
    assert Reading.objects.filter(measured_at=F("heard_at")).count() == 5
    machine.refresh_from_db()
    assert machine.clock_doubted_at is None


def test_null_in_place_of_reported_removes_all_of_it_but_what_was_said_later(machine: Device) -> None:
    deliver(message(5, powerState="ON", wifi={"dbm": -60}))
    deliver(message(8, battery=97))
    deliver(message(7) | {"state": {"reported": None}})
    deliver(message(6, powerState="OFF"))
    assert shadow.read(machine).reported == {"battery": 97}


def test_messages_in_any_order_end_in_the_same_state(machine: Device) -> None:
    for version in (3, 1, 2, 3, 1):
        deliver(message(version, beans=version, powerState=f"V{version}", **{f"only{version}": True}))
    assert Inventory.objects.get().value == 3
    assert Reading.objects.count() == 3
    reported = shadow.read(machine).reported
    assert reported == {"powerState": "V3", "only1": True, "only2": True, "only3": True}


def test_a_neighbour_that_cannot_be_kept_takes_no_reading_with_it(machine: Device) -> None:
    odd = {"uptime_us": 1795255200000000, "huge": 1e30, "half\ud800": 1, "wifi": {"nul": "\x00", "dbm": -60}}
    answer = deliver(
        message(17, beans=40, **odd) | {"state": {"reported": {"beans": 40} | odd, "desired": {"a": 1e30}}}
    )
    assert answer.json()["results"][0]["status"] == "recorded"
    assert Inventory.objects.get().value == 40
    assert shadow.read(machine).reported == {"uptime_us": 1795255200000000, "wifi": {"dbm": -60}}


def test_a_state_that_grows_too_large_takes_no_reading_with_it(machine: Device) -> None:
    deliver(message(17, beans=40, text="x" * 8000))
    assert deliver(message(18, beans=39, more="y" * 500)).json()["results"][0]["status"] == "recorded"
    assert Inventory.objects.get().value == 39
    assert list(shadow.read(machine).reported) == ["text"]


def test_readings_with_their_own_sequence_and_a_usage_sensor(machine: Device, crema: Any) -> None:
    crema.slots.create(slot_id="pods", name="Pods", sensor="usage", measurement="Count", instance="Pods.Drawer")
    readings = [{"slot": "beans", "sequence": 5, "value": 41.5}]
    for _ in range(2):
        results = deliver(message(8, readings=readings, pods=2)).json()["results"]
    assert {result["status"] for result in results} == {"already known"}
    assert sorted(Reading.objects.values_list("value", flat=True)) == [2, Decimal("41.5")]


def test_a_batch_is_answered_one_by_one(machine: Device) -> None:
    answer = deliver([message(1, beans=5), message(2, thing="NOBODY"), {"state": 7}, 5, message(3, beans=4)])
    found = answer.json()["messages"]
    assert [entry.get("status", "taken") for entry in found] == ["taken", "refused", "refused", "refused", "taken"]
    assert Inventory.objects.get().value == 4


def test_our_own_wish_coming_back_is_no_sign_of_life(machine: Device) -> None:
    said = {"state": {"desired": {"powerState": "OFF"}}, "version": 4, "thingName": "CRM20-0001"}
    assert deliver(said).status_code == 200
    assert Device.objects.get().last_seen_at is None
    assert not Shadow.objects.exists()


def test_without_the_secret_nothing_enters(machine: Device) -> None:
    for secret in ("", "wrong", "a-long-secret-of-the-rulé"):
        problem(deliver(message(1, beans=5), secret), 401, secret)
    assert not Reading.objects.exists()


def test_without_secrets_in_the_settings_the_door_is_closed(machine: Device, settings: Any) -> None:
    settings.IOT_SECRETS = []
    problem(deliver(message(1, beans=5)), 401)
    problem(deliver(message(1, beans=5), ""), 401)


def test_two_secrets_are_right_during_a_rotation(machine: Device) -> None:
    assert deliver(message(1, beans=5), "the-one-before").status_code == 200


def test_what_is_no_message_is_refused(machine: Device) -> None:
    for body in ("", "nonsense", "7", {}, {"state": {}}, [], [{}] * 101, {"state": {}, "version": "1"}):
        problem(deliver(body), 400, body)
    for thing in ("NOBODY", "a/b", "", "CRM20.0001", 5):
        problem(deliver(message(1, beans=1) | {"thingName": thing}), 404, thing)


def test_when_the_database_is_away_aws_is_asked_to_come_again(machine: Device, monkeypatch: Any) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("secret detail")

    monkeypatch.setattr(documents, "hear_accepted", away)
    answer = deliver(message(1, beans=5))
    assert "secret" not in str(problem(answer, 503))
    problem(deliver([message(1, beans=5)]), 503)


# --- the destination's handshake --------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: Any) -> list[str]:
    """The far side of the wire: what was asked of AWS."""
    found: list[str] = []

    def request(self: Any, method: str, url: str, **manner: Any) -> Any:
        assert (method, manner) == ("GET", {"redirect": False})
        found.append(url)
        return urllib3.HTTPResponse(status=200)

    monkeypatch.setattr(urllib3.PoolManager, "request", request)
    return found


def confirm(path: str = IOT, **changes: Any) -> Any:
    facts = {"arn": ARN, "confirmationToken": "AYAD", "enableUrl": ENABLE, "messageType": "DestinationConfirmation"}
    headers = {"x-amz-rules-engine-message-type": "DestinationConfirmation"}
    body = json.dumps(facts | changes)
    client = Client(raise_request_exception=False)
    return client.post(path, body, content_type="application/json", headers=headers)


def test_the_destination_is_confirmed_by_opening_its_address(db: None, opened: list[str]) -> None:
    answer = confirm("/api/v1/iot/?confirmationToken=AYAD")  # with the slash, as AWS does it
    assert answer.status_code == 200, answer.content
    assert opened == [ENABLE]


STRANGERS: list[Any] = [
    "http://iot.eu-west-1.amazonaws.com/confirmdestination/x",
    "https://iot.us-east-1.amazonaws.com/confirmdestination/x",
    "https://iot.eu-west-1.amazonaws.com.evil.example/confirmdestination/x",
    "https://evil.example/confirmdestination/x",
    "https://user@iot.eu-west-1.amazonaws.com/confirmdestination/x",
    "https://iot.eu-west-1.amazonaws.com:8443/confirmdestination/x",
    "https://iot.eu-west-1.amazonaws.com@evil.example/confirmdestination/x",
    "https://iot.eu-west-1.amazonaws.com/confirmdestination/../things/x",
    "https://iot.eu-west-1.amazonaws.com/things/x",
    "https://iot.eu-west-1.amazonaws.com/confirmdestination/x?y=1",
    "https://iot.eu-west-1.amazonaws.com/confirmdestination/x#y",
    "https://iot.eu-west-1.amazonaws.com\\@evil.example/confirmdestination/x",
    "https://IOT.eu-west-1.amazonaws.com/confirmdestination/x",
    "https://iot.eu-west-1.amazonaws.com/confirmdestination/x\n",
    "https://[iot.eu-west-1.amazonaws.com/confirmdestination/x",
    "",
    5,
]


def test_no_other_address_is_ever_opened(db: None, opened: list[str]) -> None:
    for address in STRANGERS:
        problem(confirm(enableUrl=address), 403, address)
    assert opened == []


def test_a_strangers_destination_is_not_confirmed(db: None, opened: list[str]) -> None:
    elsewhere, others = ARN.replace("eu-west-1", "us-east-1"), ARN.replace("123456789012", "210987654321")
    for arn in (elsewhere, others, "", 5, ARN + "/x"):
        problem(confirm(arn=arn), 403, arn)
    assert opened == []


def test_without_regions_nothing_is_confirmed(db: None, opened: list[str], settings: Any) -> None:
    settings.AWS_IOT_REGIONS = []
    problem(confirm(), 401)
    assert opened == []


def test_a_message_dressed_as_a_confirmation_is_not_recorded(machine: Device, opened: list[str]) -> None:
    answer = deliver(message(1, beans=5), "", **{"x-amz-rules-engine-message-type": "DestinationConfirmation"})
    problem(answer, 403)
    assert not Reading.objects.exists()


def test_when_aws_does_not_answer_it_is_our_503(db: None, monkeypatch: Any) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise urllib3.exceptions.ConnectTimeoutError

    monkeypatch.setattr(urllib3.PoolManager, "request", broken)
    problem(confirm(), 503)


# --- the way back, and the set-up, against moto's server -----------------------------------------------------------------


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str, monkeypatch: Any) -> Any:
    import requests

    requests.post(f"{moto_url}/moto-api/reset", timeout=30)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setattr(iot, "SECONDS", 60)  # this AWS may be busy with other tests
    return boto3.client("iot", region_name="eu-west-1")


def desired_at_aws() -> dict[str, Any]:
    payload = iot.data_client().get_thing_shadow(thingName="CRM20-0001")["payload"].read()
    return dict(json.loads(payload)["state"].get("desired", {}))


def test_a_wish_reaches_the_thing_at_aws_once(machine: Device, aws: Any) -> None:
    aws.create_thing(thingName="CRM20-0001")
    deliver(message(1, powerState="ON"))
    shadow.desire(machine, {"powerState": "OFF", "light": {"left": 1, "right": 2}})
    assert tasks.talk_back() == 1
    assert desired_at_aws() == {"powerState": "OFF", "light": {"left": 1, "right": 2}}
    assert tasks.talk_back() == 0
    shadow.desire(machine, {"powerState": None, "light": {"left": None}})
    assert tasks.talk_back() == 1
    assert desired_at_aws() == {"light": {"right": 2}}


def test_the_former_owners_wishes_are_taken_back_at_aws(machine: Device, aws: Any) -> None:
    aws.create_thing(thingName="CRM20-0001")
    deliver(message(1, powerState="ON"))
    shadow.desire(machine, {"name": "Alice's secret kitchen"})
    tasks.talk_back()
    freed = registry.release(machine)
    shadow.update(freed)
    tasks.talk_back()
    assert desired_at_aws() == {}


def test_a_thing_that_aws_does_not_know_is_tried_again_later(machine: Device, aws: Any) -> None:
    deliver(message(1, powerState="ON"))
    shadow.desire(machine, {"powerState": "OFF"})
    assert tasks.talk_back() == 0
    row = Shadow.objects.get()
    assert row.error == "AWS IoT: ResourceNotFoundException"
    assert row.attempts == 1
    assert row.due_at is not None
    assert row.lease is None


def test_when_aws_is_away_the_others_are_not_tried_in_vain(crema: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for number in range(15):
        device = registry.register(f"CRM20-1{number:03}", crema).device
        shadow.update(device, desired={"powerState": "OFF"}, door=Door.AWS)
    assert tasks.talk_back() == 0
    tried = Shadow.objects.filter(attempts=1)
    assert tried.count() == 10
    assert {row.error for row in tried} == {"AWS IoT: EndpointConnectionError"}
    assert Shadow.objects.filter(attempts=0, lease=None).count() == 5


def test_nothing_is_on_the_wire_inside_the_callers_transaction(
    machine: Device, monkeypatch: Any, django_capture_on_commit_callbacks: Any
) -> None:
    rung: list[str] = []
    monkeypatch.setattr("devices.talkback.celery.current_app.send_task", lambda name, **_: rung.append(name))
    deliver(message(1, powerState="ON"))
    with django_capture_on_commit_callbacks(execute=True):
        shadow.desire(machine, {"powerState": "OFF"})
        assert rung == []
    assert rung == ["devices.talk_back"]


def set_up(**options: Any) -> str:
    said = StringIO()
    call_command("iot_setup", stdout=said, no_destination=True, url="https://portal.example/api/v1/iot", **options)
    return said.getvalue()


def test_a_slip_of_the_fingers_makes_nothing_and_is_said(machine: Device, aws: Any) -> None:
    with pytest.raises(CommandError, match="CREMA-2O"):
        set_up(model="CREMA-2O")
    with pytest.raises(CommandError, match=r"registered: CRM20-OOO2\."):
        set_up(serial=["CRM20-0001", "CRM20-OOO2"])
    assert aws.list_policies()["policies"] == []


def test_the_set_up_makes_everything_once_and_another_secret_changes_the_rule_only(
    machine: Device, crema: Any, aws: Any, settings: Any
) -> None:
    registry.register("CRM.20", crema)
    assert "2 would be made" in set_up(dry_run=True)
    assert aws.list_things()["things"] == []
    assert aws.list_policies()["policies"] == []
    first = set_up()
    assert "policy portal-things: made" in first
    assert "rule portal_shadow_accepted: made" in first
    assert {thing["thingName"] for thing in aws.list_things()["things"]} == {"CRM20-0001", "CRM:20"}
    rule = aws.get_topic_rule(ruleName="portal_shadow_accepted")["rule"]
    assert rule["sql"] == "SELECT *, topic(3) as thingName FROM '$aws/things/+/shadow/update/accepted'"
    [action] = rule["actions"]
    assert action["http"]["headers"] == [{"key": "X-Iot-Secret", "value": SECRET}]
    second = set_up()
    assert "made" not in second
    assert second.count("exists") == 5
    assert SECRET not in first + second

    settings.IOT_SECRETS = ["a-new-secret-of-the-rule", SECRET]
    assert "rule portal_shadow_accepted: would be changed" in set_up(dry_run=True)
    again = set_up(serial=["CRM20-0001"])
    assert "rule portal_shadow_accepted: changed" in again
    assert "policy portal-things: exists" in again
    assert "exists" in set_up()


def test_a_policy_of_five_versions_makes_room(aws: Any) -> None:
    done = [iot_provisioning.policy(aws, "eu-west-1", f"12345678901{number}").done for number in range(6)]
    assert done == ["made", *["changed"] * 5]
    assert "123456789015" in aws.get_policy(policyName="portal-things")["policyDocument"]


def test_the_destination_is_made_when_it_is_not_there(settings: Any) -> None:
    url = "https://portal.example/api/v1/iot"
    client = iot.control_client()
    for summaries, done in (
        ([], "made; AWS asks for its confirmation"),
        ([{"arn": ARN, "status": "ENABLED", "httpUrlSummary": {"confirmationUrl": url}}], "exists"),
        ([{"arn": ARN, "status": "IN_PROGRESS", "httpUrlSummary": {"confirmationUrl": url}}], "waits"),
    ):
        with Stubber(client) as stub:  # moto has no destinations
            stub.add_response("list_topic_rule_destinations", {"destinationSummaries": summaries})
            wanted = {"destinationConfiguration": {"httpUrlConfiguration": {"confirmationUrl": url}}}
            stub.add_response("create_topic_rule_destination", {}, wanted)
            assert iot_provisioning.destination(client, url).done.startswith(done)


def test_what_is_missing_is_said_before_anything_is_made(db: None, settings: Any) -> None:
    settings.AWS_IOT_ACCOUNT = ""
    with pytest.raises(CommandError, match="AWS_IOT_ACCOUNT"):
        set_up()


def test_names_of_things_go_there_and_back() -> None:
    assert iot.thing_name("CRM.20-1") == "CRM:20-1"
    assert iot.serial_of("CRM:20-1") == "CRM.20-1"
    assert iot.serial_of("CRM.20-1") is None
    assert iot.serial_of("a/b") is None
    assert iot_provisioning.partition("eu-west-1") == "aws"
    assert iot_provisioning.partition("cn-north-1") == "aws-cn"
    assert iot_provisioning.partition("us-gov-west-1") == "aws-us-gov"
