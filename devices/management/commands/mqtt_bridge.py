"""manage.py mqtt_bridge: one bridge between a broker and the registry, until it is interrupted."""

import signal
import threading
from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from paho.mqtt.client import MQTTProtocolVersion

from devices.mqtt import Bridge, BrokerUnknown, Options, SubscriptionRefused


class Command(BaseCommand):
    help = (
        "Speaks AWS IoT's shadow topics to an MQTT broker. Start as many as you like, each with a --client-id of its own that "
        "it keeps: either by slices (--slice 1/2, --slice 2/2), or with the same --group where the broker has shared "
        "subscriptions; mosquitto has them for topics without a dollar sign (--prefix). The broker keeps a week of what "
        "a bridge that is away has not heard."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=settings.MQTT_URL, help="mqtt://host:1883 or mqtts://host:8883 (MQTT_URL)")
        parser.add_argument(
            "--client-id", default=Options.client_id, help="its name at the broker; keep it (default: %(default)s)"
        )
        parser.add_argument(
            "--prefix", default=Options.prefix, help="what the topics begin with (default: %(default)s)"
        )
        parser.add_argument("--group", default=Options.group, help="bridges that share a subscription (default: none)")
        parser.add_argument("--slice", type=_slice, default=Options.slice, help="our share of the things, e.g. 1/2")
        parser.add_argument("--ca", default=settings.MQTT_CA, help="whom to trust: a PEM file (MQTT_CA)")
        parser.add_argument(
            "--certificate", default=settings.MQTT_CERTIFICATE, help="ours, for mutual TLS (MQTT_CERTIFICATE)"
        )
        parser.add_argument("--key", default=settings.MQTT_KEY, help="its key (MQTT_KEY)")
        parser.add_argument("--protocol", choices=["5", "3.1.1"], default="5")
        parser.add_argument(
            "--listen-only", action="store_true", help="the broker is AWS IoT Core, which keeps the shadows"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["url"]:
            raise CommandError("Which broker? Set MQTT_URL, or give --url mqtt://host:1883.")
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        bridge = Bridge(_options(options))
        try:
            bridge.start()
        except (BrokerUnknown, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write("The bridge is up; interrupt it with Ctrl-C.")
        try:
            bridge.run(stop)
        except SubscriptionRefused as error:
            raise CommandError(str(error)) from error
        finally:
            bridge.stop()


def _options(given: dict[str, Any]) -> Options:
    protocol = MQTTProtocolVersion.MQTTv5 if given["protocol"] == "5" else MQTTProtocolVersion.MQTTv311
    names = ("url", "client_id", "prefix", "group", "slice", "ca", "certificate", "key", "listen_only")
    return Options(protocol=protocol, **{name: given[name] for name in names})


def _slice(text: str) -> tuple[int, int]:
    which, _, of = text.partition("/")
    if not (which.isdecimal() and of.isdecimal() and 1 <= int(which) <= int(of)):
        raise ArgumentTypeError("a slice is like 1/2: the first of two")
    return int(which), int(of)
