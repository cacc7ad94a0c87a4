"""manage.py mqtt_bridge: one bridge between a broker and the registry, until it is interrupted."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from paho.mqtt.client import MQTTProtocolVersion

from devices.mqtt import Bridge, BrokerUnknown, Options


class Command(BaseCommand):
    help = (
        "Speaks AWS IoT's shadow topics to an MQTT broker. Start as many as you like, each with its own --client-id and "
        "all with the same --group. A bridge that is taken away for good should be started once more until it is idle: "
        "the broker keeps a week of its share for it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=settings.MQTT_URL, help="mqtt://host:1883 or mqtts://host:8883 (MQTT_URL)")
        parser.add_argument(
            "--client-id", default=Options.client_id, help="its name at the broker; keep it (default: %(default)s)"
        )
        parser.add_argument("--group", default=Options.group, help="bridges that share the load; '' for none")
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
        bridge.run(stop)
        bridge.stop()


def _options(given: dict[str, Any]) -> Options:
    protocol = MQTTProtocolVersion.MQTTv5 if given["protocol"] == "5" else MQTTProtocolVersion.MQTTv311
    names = ("url", "client_id", "group", "ca", "certificate", "key", "listen_only")
    return Options(protocol=protocol, **{name: given[name] for name in names})
