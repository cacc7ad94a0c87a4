"""The SNS identity: an RSA key and a certificate of its own, and the signature exactly as Amazon makes it (SNS guide).

The key never leaves SANDBOX_DATA (mode 600). The certificate says sns.amazonaws.com and is signed by nobody but itself:
only a portal that was told to fetch certificates from a sandbox will ever hold it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from .state import now

NAME = "sns.amazonaws.com"
_DAYS = 365
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}


@dataclass(frozen=True)
class Identity:
    """A key and its certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def file_name(self) -> str:
        """SimpleNotificationService-<MD5 of the DER bytes>.pem, as every real one is called."""
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        return f"SimpleNotificationService-{hashlib.md5(der, usedforsecurity=False).hexdigest()}.pem"

    @property
    def pem(self) -> bytes:
        """One PEM block, nothing around it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, envelope: dict[str, str]) -> str:
        """Base64 of RSASSA-PKCS1-v1_5 over the canonical text; SHA-1 for version "1", SHA-256 for "2"."""
        return _sign(self.key, envelope)


def canonical(envelope: dict[str, str]) -> bytes:
    """Key, newline, value, newline for the keys that the Type lists, in their order; no Subject, no pair."""
    wanted = [key for key in _SIGNED[envelope["Type"]] if envelope.get(key) is not None]
    return "".join(f"{key}\n{envelope[key]}\n" for key in wanted).encode()


def forged_signature(envelope: dict[str, str]) -> str:
    """A well-made signature by a key that nobody vouches for."""
    return _sign(_new_key(), envelope)


def _sign(key: rsa.RSAPrivateKey, envelope: dict[str, str]) -> str:
    # Version 1 is SHA-1 by Amazon's own definition; a portal must be able to meet it here.
    digest = hashes.SHA256() if envelope["SignatureVersion"] == "2" else hashes.SHA1()  # noqa: S303
    return base64.b64encode(key.sign(canonical(envelope), padding.PKCS1v15(), digest)).decode()


def identity_in(folder: Path) -> Identity:
    """The identity kept in this folder; made on the first call, a certificate near its end is renewed."""
    folder.mkdir(parents=True, exist_ok=True)
    key = _kept_key(folder / "sns-key.pem")
    path = folder / "sns-certificate.pem"
    certificate = x509.load_pem_x509_certificate(path.read_bytes()) if path.exists() else None
    if certificate is None or not _fits(certificate, key):
        certificate = _new_certificate(key)
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Identity(key, certificate)


def _fits(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> bool:
    fresh = certificate.not_valid_after_utc > now() + timedelta(days=7)
    return fresh and certificate.public_key() == key.public_key()


def _kept_key(path: Path) -> rsa.RSAPrivateKey:
    if path.exists():
        # It is our own: to check that it is a good one takes as long as everything else at a start.
        key = serialization.load_pem_private_key(path.read_bytes(), None, unsafe_skip_rsa_key_validation=True)
        if isinstance(key, rsa.RSAPrivateKey):
            return key
    key = _new_key()
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
    return key


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _new_certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now() - timedelta(hours=1))
    builder = builder.not_valid_after(now() + timedelta(days=_DAYS))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    return builder.sign(key, hashes.SHA256())
