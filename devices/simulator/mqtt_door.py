"""Units behind an MQTT broker: each publishes to its own shadow topic and waits for what is answered there.

A few connections carry all of them, as gateways in a building do. QoS 1; a unit that gets no answer in time publishes
again under another token, so an answer that comes late is nobody's any more.
"""

import asyncio
import itertools
import json
import secrets
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from devices.simulator.doors import Answers, NoAnswer, TurnedAway
from devices.simulator.unit import Unit

GATEWAYS = 8
ANSWER_SECONDS = 15.0


class MqttDoor:
    """``$aws/things/{thing}/shadow/update`` and what is answered below it. Used as an asynchronous context."""

    def __init__(self, broker: str, units: list[Unit]) -> None:
        self._where = urlsplit(broker)
        if self._where.scheme != "mqtt" or not self._where.hostname:
            raise TurnedAway("The broker's address is like mqtt://host:1883.")
        self._tokens = itertools.count()
        self._asked: dict[str, asyncio.Future[dict[str, Any]]] = {}
        shares = [units[place::GATEWAYS] for place in range(min(GATEWAYS, len(units)))]
        self._gateways = [self._gateway(share) for share in shares]
        self._of = {unit.serial: client for client, share in zip(self._gateways, shares, strict=True) for unit in share}

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for client in self._gateways:
            client.connect_async(self._where.hostname, self._where.port or 1883, keepalive=30)
            client.loop_start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._gateways:
            client.disconnect()
            client.loop_stop()

    async def tell(self, unit: Unit, readings: list[dict[str, Any]]) -> Answers:
        token = f"{unit.serial}-{next(self._tokens)}"
        message = json.dumps({"state": {"reported": {"readings": readings}}, "clientToken": token})
        answered = self._asked[token] = self._loop.create_future()
        try:
            self._of[unit.serial].publish(_topic(unit), message, qos=1)
            answer = await asyncio.wait_for(answered, ANSWER_SECONDS)
        except TimeoutError as error:
            raise NoAnswer("no answer in time") from error
        finally:
            self._asked.pop(token, None)
        if answer.get("code", 200) >= 500:
            raise NoAnswer(str(answer["code"]), 1.0)
        if "results" not in answer:
            raise TurnedAway(str(answer))
        return list(answer["results"])

    async def epoch_of(self, unit: Unit) -> int:
        """There is no such question over MQTT: these units keep their epoch where it is never lost."""
        return unit.epoch

    def _gateway(self, units: list[Unit]) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"simulator-{secrets.token_hex(6)}")
        if self._where.username:
            client.username_pw_set(unquote(self._where.username), unquote(self._where.password or ""))
        topics = [(f"{_topic(unit)}/{how}", 1) for unit in units for how in ("accepted", "rejected")]
        client.reconnect_delay_set(1, 5)
        client.on_connect = lambda *_: [client.subscribe(topics[at : at + 50]) for at in range(0, len(topics), 50)]
        client.on_message = self._heard
        return client

    def _heard(self, _: Client, __: Any, message: MQTTMessage) -> None:
        """In paho's thread: hand the answer to whoever waits for it."""
        answer = json.loads(message.payload)
        self._loop.call_soon_threadsafe(self._settle, answer.get("clientToken"), answer)

    def _settle(self, token: str | None, answer: dict[str, Any]) -> None:
        asked = self._asked.get(token or "")
        if asked and not asked.done():
            asked.set_result(answer)


def _topic(unit: Unit) -> str:
    return f"$aws/things/{unit.serial}/shadow/update"
