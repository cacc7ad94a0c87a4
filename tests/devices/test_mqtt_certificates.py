"""The bridge with certificates on both sides."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devices.models import Device
from devices.mqtt import Bridge, Options
from tests.devices.broker import Broker, Thing, needs_broker, until

pytestmark = needs_broker


class Certificates:
    """An authority of the test's own, and what it signed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = _name("The test's authority")
        authority = self._signed(self.name, self.key, x509.BasicConstraints(ca=True, path_length=None), [])
        self.authority = self._write("ca.pem", authority.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[str, str]:
        """Paths of certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        basic = x509.BasicConstraints(ca=False, path_length=None)
        certificate = self._signed(_name(name), key, basic, [here])
        plain = serialization.NoEncryption()
        packed = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        written = self._write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM))
        return written, self._write(f"{name}.key", packed)

    def _signed(self, name: x509.Name, key: Any, basic: Any, more: list[Any]) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        builder = builder.not_valid_after(now + timedelta(days=1)).add_extension(basic, critical=True)
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


ACCESS = """
user bridge
topic readwrite $aws/things/+/shadow/#
pattern readwrite $aws/things/%u/shadow/#
"""


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Broker, Certificates]]:
    """A broker that asks for certificates and lets each thing near its own shadow only: the README's advice."""
    made = Certificates(tmp_path)
    certificate, key = made.issue("broker")
    (tmp_path / "access").write_text(ACCESS)
    demands = ["allow_anonymous false", f"cafile {made.authority}", f"certfile {certificate}", f"keyfile {key}"]
    demands += ["require_certificate true", "use_identity_as_username true", f"acl_file {tmp_path / 'access'}"]
    broker = Broker(tmp_path / "secure", "\n".join(demands)).start()
    yield broker, made
    broker.stop()


def test_certificates_on_both_sides(machine: Device, secure: tuple[Broker, Certificates]) -> None:
    broker, made = secure
    ours, our_key = made.issue("bridge")
    url = f"mqtts://127.0.0.1:{broker.port}"
    stranger = Bridge(Options(url, client_id="stranger", ca=made.authority))
    stranger.start()
    bridge = Bridge(Options(url, ca=made.authority, certificate=ours, key=our_key))
    bridge.start()
    until(bridge.connected.is_set, "the bridge to connect")
    its, its_key = made.issue("CRM20-0001")
    thing = Thing(broker.port, "CRM20-0001", ca_certs=made.authority, certfile=its, keyfile=its_key)
    said = {"state": {"reported": {"readings": [{"slot": "beans", "sequence": 1, "value": 5}]}}}
    thing.say("update", said)
    thing.heard("update/accepted", lambda: bridge.step(0.05))
    thing.client.publish("$aws/things/CRM20-0002/shadow/update", json.dumps(said), qos=1)
    assert not bridge.step(0.5)
    assert bridge.counts["heard"] == 1, "a thing speaks for itself only"
    assert not stranger.connected.is_set(), "without a certificate nobody enters"
    for each in (thing.leave, bridge.stop, stranger.stop):
        each()
