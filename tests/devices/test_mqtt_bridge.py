"""Alice's machine on MQTT: a real mosquitto between it and the bridge."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from paho.mqtt.client import MQTTProtocolVersion

from devices import mqtt, mqtt_messages, registry, shadow
from devices.models import Device, Inventory, Reading, Shadow
from devices.mqtt import Bridge, BrokerUnknown, Options
from tests.devices.broker import Broker, Thing, free_port, needs_broker, until
from tests.people import owned

pytestmark = needs_broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker").start()
    yield broker
    broker.stop()


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wish is told at once."""
    monkeypatch.setattr(mqtt, "LOOK_EVERY", 0.05)


@pytest.fixture
def bridged(broker: Broker) -> Iterator[Callable[..., Bridge]]:
    """Makes bridges to that broker; each is connected and subscribed when it is returned."""
    made: list[Bridge] = []

    def make(**options: Any) -> Bridge:
        bridge = Bridge(Options(**{"url": broker.url, "client_id": f"bridge-{len(made)}"} | options))
        bridge.start()
        until(bridge.connected.is_set, "the bridge to connect")
        made.append(bridge)
        return bridge

    yield make
    for bridge in made:
        bridge.stop()


@pytest.fixture
def things(broker: Broker) -> Iterator[Callable[..., Thing]]:
    made: list[Thing] = []

    def make(name: str = "CRM20-0001", **manner: Any) -> Thing:
        made.append(Thing(broker.port, name, **manner))
        return made[-1]

    yield make
    for thing in made:
        thing.leave()


def reading(sequence: int, value: float = 40) -> dict[str, Any]:
    return {"slot": "beans", "sequence": sequence, "value": value}


def update(**reported: Any) -> dict[str, Any]:
    return {"state": {"reported": reported}}


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
@pytest.mark.parametrize(("prefix", "group"), [("$aws", ""), ("aws", "portal")])
def test_a_reading_in_the_shadow_is_recorded_and_accepted(
    machine: Device, bridged: Any, things: Any, protocol: int, prefix: str, group: str
) -> None:
    bridge, thing = bridged(protocol=protocol, prefix=prefix, group=group), things(prefix=prefix)
    thing.say("update", update(readings=[reading(1), reading(2, 101)], powerState="ON") | {"clientToken": "t1"})
    body = thing.heard("update/accepted", lambda: bridge.step(0.05))
    assert body.pop("timestamp")
    assert [result["status"] for result in body.pop("results")] == ["recorded", "refused"]
    assert body == {"state": {"reported": {"powerState": "ON"}}, "version": 1, "clientToken": "t1"}
    assert Inventory.objects.get().value == Decimal(40)
    assert Device.objects.get().last_seen_at is not None


@pytest.mark.usefixtures("attentive")
def test_a_wish_reaches_the_machine_as_a_delta_and_is_settled(machine: Device, bridged: Any, things: Any) -> None:
    bridge, thing = bridged(), things()
    thing.say("update", update(powerState="ON"))
    thing.heard("update/accepted", lambda: bridge.step(0.05))
    shadow.desire(machine, {"powerState": "OFF"})
    body = thing.heard("update/delta", lambda: bridge.step(0.05))
    assert (body["state"], body["version"]) == ({"powerState": "OFF"}, 2)
    until(lambda: bridge.step(0.05) or Shadow.objects.get().due_at is None, "the delta to be settled")
    thing.say("update", update(powerState="OFF"))
    assert thing.heard("update/accepted", lambda: bridge.step(0.05))["version"] == 3
    assert shadow.delta(shadow.read(machine)) == {}


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("noticed", [True, False])
def test_a_machine_that_was_away_gets_the_delta_when_it_returns(
    machine: Device, bridged: Any, things: Any, noticed: bool
) -> None:
    """However short it was away: the broker drops what it says to a session that is over."""
    bridge, thing = bridged(), things()
    thing.say("update", update(powerState="ON"))
    thing.heard("update/accepted", lambda: bridge.step(0.05))
    thing.leave()
    Device.objects.update(online=not noticed)
    shadow.desire(machine, {"powerState": "OFF"})
    until(lambda: bridge.step(0.05) or bridge.counts["update/delta"], "the delta to be told to nobody")
    back = things()
    back.say("update", update(readings=[reading(1)]))
    assert back.heard("update/delta", lambda: bridge.step(0.05))["state"] == {"powerState": "OFF"}
    back.say("get", b"")
    body = back.heard("get/accepted", lambda: bridge.step(0.05))
    assert body["state"]["delta"] == {"powerState": "OFF"}


@pytest.mark.usefixtures("attentive")
def test_a_lasting_session_keeps_the_delta_for_the_machine(machine: Device, bridged: Any, things: Any) -> None:
    bridge, thing = bridged(), things(lasting=True)
    thing.say("update", update(powerState="ON"))
    thing.heard("update/accepted", lambda: bridge.step(0.05))
    thing.leave()
    shadow.desire(machine, {"powerState": "OFF"})
    until(lambda: bridge.step(0.05) or bridge.counts["update/delta"], "the delta")
    back = things(lasting=True)
    assert back.heard("update/delta", lambda: None)["state"] == {"powerState": "OFF"}


REJECTED: list[tuple[Any, int]] = [
    (b"nonsense", 400),
    ({"state": 5}, 400),
    ({"state": {"reported": {"a": "\ud800"}}}, 400),
    ({"state": {"reported": {"a": 1}}, "version": 7, "clientToken": "t"}, 409),
    (b'{"a": "' + b"x" * 1024 * 1024 + b'"}', 413),
]


def test_what_is_rejected_says_why(machine: Device, bridged: Any, things: Any) -> None:
    bridge, thing = bridged(), things()
    for body, code in REJECTED:
        thing.say("update", body)
        answer = thing.heard("update/rejected", lambda: bridge.step(0.05))
        assert answer["code"] == code, answer
        assert answer["message"], answer
    assert not Shadow.objects.filter(version__gt=0).exists()
    thing.say("update", update(readings=[reading(1)]))
    thing.heard("update/accepted", lambda: bridge.step(0.05))


def test_a_thing_nobody_knows_is_rejected(db: None, bridged: Any, things: Any) -> None:
    bridge, thing = bridged(), things("NOBODY")
    for verb in ("update", "get"):
        thing.say(verb, update(a=1))
        assert thing.heard(f"{verb}/rejected", lambda: bridge.step(0.05))["code"] == 404


def test_what_came_while_the_bridge_was_away_is_heard_when_it_is_back(
    machine: Device, bridged: Any, things: Any
) -> None:
    bridged().stop()
    thing = things()
    for sequence in range(30):
        thing.say("update", update(readings=[reading(sequence)]))
    again = Bridge(Options(thing_url(thing), client_id="bridge-0"))
    again.start()
    until(lambda: again.step(0.05) or Reading.objects.count() == 30, "all thirty")
    again.stop()


def thing_url(thing: Thing) -> str:
    return f"mqtt://127.0.0.1:{thing.client.port}"


def test_a_bridge_that_dies_before_its_commit_loses_nothing(
    machine: Device, bridged: Any, things: Any, monkeypatch: Any
) -> None:
    """It dies with messages in its hands: not acknowledged, so the broker gives them out again."""
    dying, thing = bridged(), things()
    for sequence in range(5):
        thing.say("update", update(readings=[reading(sequence)]))
    until(lambda: dying._inbox.qsize() == 5, "the messages to be in its hands")
    assert dying.step(1)
    dying._client._sock_close()
    dying._client.loop_stop()
    heir = Bridge(Options(thing_url(thing), client_id="bridge-0"))
    heir.start()
    until(lambda: heir.step(0.05) or Reading.objects.count() == 5, "all five")
    until(lambda: not heir.step(0.2), "quiet")
    assert Reading.objects.count() == 5
    assert heir.counts["heard"] in (4, 5), "the first again only if its PUBACK died with the bridge"
    heir.stop()


def test_while_the_database_is_away_nothing_is_acknowledged(
    machine: Device, bridged: Any, things: Any, monkeypatch: Any
) -> None:
    bridge, thing = bridged(), things()
    failures = iter([OperationalError("away")] * 3)
    genuine = mqtt_messages.answered

    def sometimes(*said: Any) -> Any:
        for failure in failures:
            raise failure
        return genuine(*said)

    monkeypatch.setattr(mqtt_messages, "answered", sometimes)
    monkeypatch.setattr("devices.mqtt.connection.close", lambda: None)
    monkeypatch.setattr(mqtt, "LONGEST_WAIT", 0.05)
    thing.say("update", update(readings=[reading(1)]))
    until(lambda: bridge.step(0.05), "the message")
    assert Reading.objects.count() == 1
    assert thing.heard("update/accepted", lambda: None)["results"][0]["status"] == "recorded"


def test_our_own_fault_is_an_answer_and_stops_nobody(
    machine: Device, bridged: Any, things: Any, monkeypatch: Any
) -> None:
    bridge, thing = bridged(), things()

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")

    with monkeypatch.context() as patch:
        patch.setattr(mqtt_messages.documents, "hear", broken)
        thing.say("update", update(a=1))
        answer = thing.heard("update/rejected", lambda: bridge.step(0.05))
    assert answer["code"] == 500
    assert "secret" not in str(answer)
    thing.say("update", update(a=1))
    thing.heard("update/accepted", lambda: bridge.step(0.05))


def test_a_topic_without_a_thing_stops_nobody(machine: Device, bridged: Any, things: Any) -> None:
    bridge, thing = bridged(), things()
    thing.client.publish("$aws/things//shadow/update", b"{}", qos=1).wait_for_publish(5)
    thing.say("update", update(readings=[reading(1)]))
    thing.heard("update/accepted", lambda: bridge.step(0.05))
    assert bridge.counts["heard"] == 1


def test_a_topic_too_long_to_be_answered_stops_nobody(machine: Device, bridged: Any, things: Any) -> None:
    bridge, thing = bridged(), things()
    topic = f"$aws/things/{'x' * (65535 - len('$aws/things//shadow/update'))}/shadow/update"
    thing.client.publish(topic, b"{}", qos=1).wait_for_publish(5)
    thing.say("update", update(readings=[reading(1)]))
    thing.heard("update/accepted", lambda: bridge.step(0.05))
    assert bridge.counts["heard"] == 2


def test_two_bridges_share_a_subscription_and_record_everything_once(
    machine: Device, bridged: Any, things: Any
) -> None:
    bridges = [bridged(prefix="aws", group="portal"), bridged(prefix="aws", group="portal")]
    thing = things(prefix="aws")
    for sequence in range(40):
        thing.say("update", update(readings=[reading(sequence)]))
    until(lambda: [b.step(0.02) for b in bridges] and sum(b.counts["heard"] for b in bridges) >= 40, "all forty")
    shares = [bridge.counts["heard"] for bridge in bridges]
    assert (sum(shares), Reading.objects.count()) == (40, 40)
    assert min(shares) >= 5, shares


def test_two_bridges_share_the_things_by_slices(
    machine: Device, alice: Any, crema: Any, bridged: Any, things: Any
) -> None:
    serials = ["CRM20-0001", *(owned(alice, crema, f"CRM20-1{n:03}").serial_number for n in range(9))]
    bridges, thing = [bridged(slice=(1, 2)), bridged(slice=(2, 2))], things()
    for serial in serials:
        topic = f"$aws/things/{serial}/shadow/update"
        thing.client.publish(topic, json.dumps(update(readings=[reading(1)])), qos=1).wait_for_publish(5)
    until(lambda: [b.step(0.02) for b in bridges] and sum(b.counts["heard"] for b in bridges) >= 10, "all ten")
    until(lambda: not any([b.step(0.1) for b in bridges]), "quiet")
    shares = [bridge.counts["heard"] for bridge in bridges]
    assert (sum(shares), Reading.objects.count()) == (10, 10)
    assert min(shares) >= 2, shares


def test_the_broker_restarts_and_the_bridge_comes_back(machine: Device, broker: Broker, bridged: Any) -> None:
    bridge = bridged()
    broker.stop()
    until(lambda: not bridge.connected.is_set(), "the bridge to notice")
    broker.start()
    until(bridge.connected.is_set, "the bridge to come back", 20)
    thing = Thing(broker.port, "CRM20-0001")
    thing.say("update", update(readings=[reading(1)]))
    thing.heard("update/accepted", lambda: bridge.step(0.05))
    thing.leave()


def test_with_aws_as_broker_the_bridge_only_listens(machine: Device, bridged: Any, things: Any) -> None:
    bridge, thing = bridged(listen_only=True), things()
    for version in (5, 4, 5):
        said = update(beans=version, powerState=f"V{version}", huge=1e30)
        thing.say("update/accepted", said | {"version": version})
    thing.say("update/accepted", update(beans=1))
    until(lambda: bridge.step(0.05) and bridge.counts["heard"] == 4, "all four")
    assert Inventory.objects.get().value == 5
    assert sorted(Reading.objects.values_list("sequence", flat=True)) == [4, 5]
    assert shadow.read(machine).reported == {"powerState": "V5"}
    assert set(bridge.counts) == {"heard"}, "nothing is published"


def test_a_retained_message_is_not_news(machine: Device, bridged: Any, things: Any) -> None:
    thing = things()
    thing.client.publish(thing.prefix + "update", json.dumps(update(beans=90)), qos=1, retain=True).wait_for_publish(5)
    bridge = bridged()
    thing.say("update", update(beans=40))
    thing.heard("update/accepted", lambda: bridge.step(0.05))
    assert Inventory.objects.get().value == 40
    assert Reading.objects.count() == 1


def test_a_serial_number_with_a_dot_is_a_thing_with_a_colon(crema: Any, bridged: Any, things: Any) -> None:
    registry.register("CRM.20", crema)
    bridge, thing = bridged(), things("CRM:20")
    thing.say("update", update(readings=[reading(1)]))
    thing.heard("update/accepted", lambda: bridge.step(0.05))


def test_an_address_that_is_none_is_said_so() -> None:
    for url in (
        "http://127.0.0.1",
        "http://127.0.0.1:1883",
        "mqtt://",
        "mqtt://h:99999",
        "mqtt://a:secret/@h",
        "mqtt://[::1",
    ):
        with pytest.raises(BrokerUnknown, match="is like mqtt://host:1883"):
            Bridge(Options(url)).start()
    with pytest.raises(CommandError, match="is like"):
        call_command("mqtt_bridge", url="mqtt://127.0.0.1:99999")
    with pytest.raises(CommandError, match="MQTT_URL"):
        call_command("mqtt_bridge", url="")


HALF_THE_TOPICS = {
    "defaultACLAccess": {
        "subscribe": False,
        "publishClientSend": True,
        "publishClientReceive": True,
        "unsubscribe": True,
    },
    "roles": [
        {
            "rolename": "half",
            "acls": [{"acltype": "subscribeLiteral", "topic": "$aws/things/+/shadow/update", "allow": True}],
        }
    ],
    "groups": [{"groupname": "strangers", "roles": [{"rolename": "half"}], "clients": []}],
    "anonymousGroup": "strangers",
}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_that_refuses_a_subscription_ends_the_command(
    tmp_path: Path, machine: Device, protocol: str, caplog: Any
) -> None:
    """Else it would seem to work, and hear nothing."""
    if not (plugin := next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"), None)):
        pytest.skip("mosquitto's plugin for who may what is not installed")
    (tmp_path / "who.json").write_text(json.dumps(HALF_THE_TOPICS))
    rules = f"allow_anonymous true\nplugin {plugin}\nplugin_opt_config_file {tmp_path}/who.json"
    broker = Broker(tmp_path / "broker", rules).start()
    try:
        with pytest.raises(CommandError, match=r"refuses \$aws/things/\+/shadow/get \("):
            call_command("mqtt_bridge", url=broker.url, client_id="bridge", protocol=protocol)
    finally:
        broker.stop()
    assert [record.levelname for record in caplog.records if "refuses us" in record.message] == ["ERROR"]


def test_a_broker_that_is_not_there_is_waited_for(machine: Device) -> None:
    bridge = Bridge(Options(f"mqtt://127.0.0.1:{free_port()}"))
    bridge.start()
    assert not bridge.step(0.2)
    bridge.stop()
