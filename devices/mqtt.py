"""The MQTT bridge: the shadow topics of AWS IoT on any broker, between paho and the verbs.

On one's own broker the bridge is the shadow service: it hears ``$aws/things/{thing}/shadow/update`` and ``/get`` and answers
on ``/update/accepted``, ``/update/rejected``, ``/update/delta``, ``/get/accepted``, ``/get/rejected``. Where AWS IoT Core is the
broker, that is its own job: the bridge then only listens to ``/update/accepted`` (``listen_only``).

Nothing that the broker still holds is lost: QoS 1, a persistent session, and the PUBACK goes out after the commit and
after the answer. What is heard twice is known already. Several bridges share the load in one of two ways: by slice (each hears
all and acts for the things whose name falls to it; works everywhere), or by a shared subscription, where the
broker can. Measured: mosquitto 2.0 grants a shared subscription to a topic that begins with ``$`` and then delivers
nothing, so there it needs another ``prefix``. paho's thread keeps the connection; all else happens in the thread that
calls run() or step(). Who may publish for which thing is the broker's to decide; the bridge believes the topic.
"""

import json
import logging
import queue
import socket
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from django.db import InterfaceError, OperationalError, close_old_connections, connection
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTProtocolVersion
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from devices import mqtt_messages, talkback
from devices.iot import thing_name
from devices.models import Door

log = logging.getLogger(__name__)

WINDOW = 100  # messages that the broker may have under way to us
SESSION_SECONDS = 7 * 24 * 3600  # how long the broker keeps what a bridge that is away has not heard
KEEPALIVE = 30
LOOK_EVERY = 0.5  # seconds between looks at what is to be told
TELL_SECONDS = 10  # for the broker to take what is told
LONGEST_WAIT = 30  # seconds, while the database is away
TRIES = 3  # of a message on which we stumble ourselves
REPORT_EVERY = 60


class BrokerUnknown(ValueError):
    """An address of a broker that cannot be used."""


class SubscriptionRefused(Exception):
    """The broker lets us in, and not hear: without a change there, nothing would ever come."""


@dataclass(frozen=True)
class Options:
    """Where the broker is and how to behave there. ``group`` empty: no shared subscription. ``slice``: (which, of how many)."""

    url: str
    client_id: str = f"portal-{socket.gethostname()}"
    prefix: str = "$aws"
    group: str = ""
    slice: tuple[int, int] = (1, 1)
    ca: str = ""
    certificate: str = ""
    key: str = ""
    protocol: int = MQTTProtocolVersion.MQTTv5
    listen_only: bool = False

    @property
    def topics(self) -> list[str]:
        names = ["update/accepted"] if self.listen_only else ["update", "get"]
        shared = f"$share/{self.group}/" if self.group else ""
        return [f"{shared}{self.prefix}/things/+/shadow/{name}" for name in names]

    def is_ours(self, topic: str) -> bool:
        """Whether the thing of this topic falls to our slice."""
        which, of = self.slice
        return of == 1 or zlib.crc32(topic.partition("/shadow/")[0].encode()) % of == which - 1


class Bridge:
    """One connection to one broker. ``counts`` says what it has done so far."""

    def __init__(self, options: Options) -> None:
        self.options, self.counts, self.connected = options, Counter[str](), threading.Event()
        self._inbox: queue.Queue[tuple[int, MQTTMessage]] = queue.Queue()
        self._connection = 0  # messages of an earlier connection are the broker's to send again
        self._look_at = self._report_at = 0.0
        self._refused = ""
        self._client = self._made_client()

    def start(self) -> None:
        """Begin to connect, and go on connecting whenever the broker is away. Raises BrokerUnknown."""
        where, host, port = _broker(self.options.url)
        if where.username:
            self._client.username_pw_set(unquote(where.username), unquote(where.password or ""))
        if where.scheme == "mqtts":
            trust, certificate, key = (path or None for path in self._files())
            self._client.tls_set(ca_certs=trust, certfile=certificate, keyfile=key)
        manner: dict[str, Any] = {"clean_start": False, "properties": _lasting()} if self._is_v5 else {}
        self._client.connect_async(host, port, KEEPALIVE, **manner)
        self._client.loop_start()

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop. Raises SubscriptionRefused."""
        while not stop.is_set():
            if self._refused:
                raise SubscriptionRefused(
                    f"The broker refuses {self._refused}. Allow {self.options.client_id} to subscribe."
                )
            if not self.step(LOOK_EVERY, stop):
                close_old_connections()
            self._report()

    def step(self, timeout: float, stop: threading.Event | None = None) -> bool:
        """Handle one message, waiting for it at most so long; now and then tell what is to be told. True if one came."""
        if not self.options.listen_only and time.monotonic() >= self._look_at and self.connected.is_set():
            self._look_at = time.monotonic() + LOOK_EVERY
            self._tell_due()
        try:
            number, message = self._inbox.get(timeout=timeout)
        except queue.Empty:
            return False
        self._handle(number, message, stop or threading.Event())
        return True

    def stop(self) -> None:
        """Leave in good order; the session stays at the broker, so what comes meanwhile is heard next time."""
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def _is_v5(self) -> bool:
        return self.options.protocol == MQTTProtocolVersion.MQTTv5

    def _files(self) -> tuple[str, str, str]:
        return self.options.ca, self.options.certificate, self.options.key

    def _made_client(self) -> Client:
        manner: dict[str, Any] = {} if self._is_v5 else {"clean_session": False}
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.options.client_id,
            protocol=MQTTProtocolVersion(self.options.protocol),
            manual_ack=True,
            **manner,
        )
        client.reconnect_delay_set(1, 30)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        return client

    # --- in paho's thread ---------------------------------------------------------------------------------------------

    def _on_connect(self, client: Client, _: Any, flags: ConnectFlags, code: ReasonCode, __: Any) -> None:
        if code.is_failure:
            log.error("the broker refuses us: %s", code)
            return
        self._connection += 1
        client.subscribe([(topic, 1) for topic in self.options.topics])
        kept = "goes on" if flags.session_present else "is new"
        log.info("connected as %s, the session %s: %s", self.options.client_id, kept, ", ".join(self.options.topics))

    def _on_subscribe(self, _: Client, __: Any, ___: int, codes: list[ReasonCode], ____: Any) -> None:
        """We are connected when everything was granted."""
        refused = [
            f"{topic} ({code})" for topic, code in zip(self.options.topics, codes, strict=False) if code.is_failure
        ]
        for topic in refused:
            log.error("the broker refuses us a subscription: %s", topic)
        self._refused = ", ".join(refused)
        if not refused:
            self.connected.set()

    def _on_disconnect(self, _: Client, __: Any, ___: DisconnectFlags, code: ReasonCode, ____: Any) -> None:
        self.connected.clear()
        if code.is_failure:
            log.warning("the broker is away (%s); connecting again", code)

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        """What comes with QoS 1 is limited by the window; QoS 0 is nobody's promise and may not fill our memory."""
        if message.qos == 0 and self._inbox.qsize() > 10 * WINDOW:
            return
        self._inbox.put((self._connection, message))

    # --- in ours ------------------------------------------------------------------------------------------------------

    def _handle(self, number: int, message: MQTTMessage, stop: threading.Event) -> None:
        """Commit, answer, acknowledge. While the database is away it waits: the broker holds the rest."""
        if message.retain or not self._concerns_us(message.topic):  # retained: old, and given at every subscribing
            self._client.ack(message.mid, message.qos)
            return
        for attempt in range(1, 1_000_000):
            if number != self._connection or stop.is_set():
                return
            try:
                replies = self._answered(message)
                break
            except (OperationalError, InterfaceError) as error:
                log.warning("the database did not answer (%s); trying again", type(error).__name__)
                connection.close()
                stop.wait(min(2**attempt / 10, LONGEST_WAIT))
            except Exception:
                log.exception("unexpected trouble with a message of %d bytes", len(message.payload))
                if attempt >= TRIES:
                    replies = mqtt_messages.stumbled(message.topic)
                    break
        self._finish(number, message, replies)

    def _concerns_us(self, topic: str) -> bool:
        if mqtt_messages.is_of_a_thing(topic):
            return self.options.is_ours(topic)
        log.warning("a message on %s is dropped: no thing has such a topic", ascii(topic[:100]))
        return False

    def _answered(self, message: MQTTMessage) -> list[mqtt_messages.Reply]:
        handler = mqtt_messages.listened if self.options.listen_only else mqtt_messages.answered
        return handler(message.topic, message.payload)

    def _finish(self, number: int, message: MQTTMessage, replies: list[mqtt_messages.Reply]) -> None:
        for topic, body in replies:
            try:
                self._client.publish(topic, json.dumps(body), qos=1)
                self.counts[topic.rpartition("/shadow/")[2]] += 1
            except ValueError as error:  # the question's topic was as long as a topic may be
                log.warning("an answer on %s… is not published: %s", ascii(topic[:100]), error)
        if number == self._connection:
            self._client.ack(message.mid, message.qos)
        self.counts["heard"] += 1

    def _tell_due(self) -> None:
        try:
            for entry in talkback.claim(Door.MQTT, WINDOW):
                self._tell(entry)
        except (OperationalError, InterfaceError) as error:
            log.warning("the database did not answer (%s); telling later", type(error).__name__)
            connection.close()

    def _tell(self, entry: talkback.Claimed) -> None:
        """Publish the delta; settled when the broker has taken it, which for a unit that is away keeps it in its session."""
        topic, body = mqtt_messages.delta(self.options.prefix, thing_name(entry.serial), entry.shadow)
        if not body["state"]:
            talkback.settle(entry)
            return
        sent = self._client.publish(topic, json.dumps(body), qos=1)
        try:
            sent.wait_for_publish(TELL_SECONDS)
            taken = sent.is_published()
        except (RuntimeError, ValueError):
            taken = False
        if taken:
            talkback.settle(entry)
            self.counts["update/delta"] += 1
        else:
            talkback.postpone(entry, "the broker did not take it")

    def _report(self) -> None:
        if self.counts and time.monotonic() >= self._report_at:
            self._report_at = time.monotonic() + REPORT_EVERY
            log.info("so far: %s", ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items())))


def _broker(url: str) -> tuple[SplitResult, str, int]:
    """The address taken apart, with host and port. Raises BrokerUnknown; never repeats the address, which has a password."""
    try:
        where = urlsplit(url)
        usual = {"mqtt": 1883, "mqtts": 8883}[where.scheme]
        host, port = where.hostname, where.port or usual
    except (ValueError, KeyError):  # a port that is none, a bracket that does not close, another scheme
        host = None
    if not host:
        raise BrokerUnknown("The broker's address is like mqtt://host:1883 or mqtts://user:password@host:8883.")
    return where, host, port


def _lasting() -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_SECONDS
    properties.ReceiveMaximum = WINDOW
    return properties
