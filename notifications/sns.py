"""Is this Amazon's? The SNS envelope read and verified: a pure function of bytes, headers, rules, clock and fetcher.

Here live the checks 3 to 10 of Amazon's SNS guide (our section 7) and their order. The wire to the certificate is
`certificates.py`, storing is `inbox.py`, what the message says is `drs.py`. Imports nothing of Django.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from notifications import regions, strict_json

Freshness = Literal["fresh", "stale", "future"]
OLDEST: Final = timedelta(minutes=75)  # SNS gives up after 60 minutes
AHEAD: Final = timedelta(minutes=5)
SIGNED: Final[dict[str, tuple[str, ...]]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
UNSIGNED: Final = ("Signature", "SignatureVersion", "SigningCertURL")
VERSIONS: Final[dict[str, hashes.HashAlgorithm]] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 (Amazon's)
_SHAPES: Final[dict[str, re.Pattern[str]]] = {
    "MessageId": re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "Timestamp": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z"),
    "TopicArn": regions.ARN,
    # Newlines are not escaped in the signed text: one here would shift a neighbour's bytes into this field.
    "Subject": re.compile(r"[^\x00-\x1f\x7f-\x9f]*"),
    "Token": re.compile(r"[^\x00-\x1f\x7f-\x9f]+"),
    "SubscribeURL": re.compile(r"[^\x00-\x1f\x7f-\x9f]+"),
}
_RAW: Final = "x-amz-sns-rawdelivery"
_SAID_TWICE: Final = {
    "x-amz-sns-message-type": "Type",
    "x-amz-sns-message-id": "MessageId",
    "x-amz-sns-topic-arn": "TopicArn",
}
HEADERS: Final = (_RAW, *_SAID_TWICE)  # all that are looked at
_CERTIFICATE_FILE: Final = re.compile(r"/SimpleNotificationService-[0-9a-f]{32}\.pem")
_ONE_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n(?:[A-Za-z0-9+/=]{1,76}\r?\n)+-----END CERTIFICATE-----(?:\r?\n)?"
)


class Check(NamedTuple):
    """One check and what came of it, in words for a person."""

    name: str
    verdict: Literal["passed", "failed", "not reached"]
    detail: str


class Refused(Exception):
    """Not let in. `check` names the check that failed, for our log only; the sender is never told."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"{check}: {reason}")
        self.check = check
        self.checks: tuple[Check, ...] = ()


class Malformed(Refused):
    """Not an SNS message at all: HTTP 400."""


class Forbidden(Refused):
    """An SNS message in form, but not one that we take: HTTP 403."""


class CertificateUnavailable(Exception):
    """The certificate could not be had just now; SNS should try again: HTTP 503."""


@dataclass(frozen=True)
class TopicRules:
    """What staff entered about a topic. `signature_version` is the lowest one accepted."""

    arn: str
    signature_version: str = "1"


@dataclass(frozen=True)
class Envelope:
    """An SNS message whose fields have the right shapes. Nothing in it is trusted yet."""

    fields: Mapping[str, str]
    timestamp: datetime
    signature: bytes
    document: Mapping[str, Any]

    def __getitem__(self, name: str) -> str:
        return self.fields[name]


@dataclass(frozen=True)
class Verified:
    """An envelope that Amazon signed for a topic of ours, with what the verdict rests on."""

    envelope: Envelope
    certificate: x509.Certificate
    freshness: Freshness
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Examined:
    """What an examination found, for a person to read."""

    checks: tuple[Check, ...]
    envelope: Envelope | None
    certificate: x509.Certificate | None

    @property
    def genuine(self) -> bool:
        """Amazon signed exactly this, whoever's topic it is and however old."""
        return any(check.name == "signature" and check.verdict == "passed" for check in self.checks)


Fetcher = Callable[[str], x509.Certificate]
Rules = Callable[[str], TopicRules | None]


def verify(
    body: bytes, headers: Mapping[str, str], rules: Rules, now: datetime, fetch: Fetcher, *, redriven: bool = False
) -> Verified:
    """The verified message in `body`. Pure but for `rules` (asked once, by ARN) and `fetch` (asked once, by URL,
    and only for the one address that the topic's own region allows).

    `redriven`: it came by a queue, where messages may be weeks old; its certificate is judged at the signed Timestamp
    and the rule of freshness is not applied. Raises Malformed, Forbidden (with the checks made so far) and
    CertificateUnavailable. Source: Amazon's SNS guide, section 7, steps 3 to 10.
    """
    made = _Examination(body, headers, rules, now, fetch, redriven)
    for name, _, step in _STEPS:
        try:
            made.checks.append(Check(name, "passed", step(made)))
        except Refused as problem:
            problem.checks = (*made.checks, Check(name, "failed", str(problem)))
            raise
    return Verified(made.envelope, made.certificate, made.freshness, tuple(made.checks))


def examine(
    body: bytes, headers: Mapping[str, str], rules: Rules, now: datetime, fetch: Fetcher, *, redriven: bool = False
) -> Examined:
    """Every check of `verify` with its verdict, going on after a failure as far as that makes sense. Never raises.

    Pure as `verify` is; a certificate is asked for only at an address that passed its check.
    """
    made = _Examination(body, headers, rules, now, fetch, redriven)
    for name, needs, step in _STEPS:
        made.checks.append(_attempt(made, name, needs, step))
    found = {name: getattr(made, name, None) for name in ("envelope", "certificate")}
    return Examined(tuple(made.checks), **found)


class _Examination:
    """What the checks know so far; each step sets what later ones need."""

    envelope: Envelope
    certificate: x509.Certificate
    freshness: Freshness

    def __init__(
        self, body: bytes, headers: Mapping[str, str], rules: Rules, now: datetime, fetch: Fetcher, redriven: bool
    ) -> None:
        self.body, self.headers = body, {name.lower(): value for name, value in headers.items()}
        self.rules, self.now, self.fetch, self.redriven = rules, now, fetch, redriven
        self.checks: list[Check] = []
        self.topic: TopicRules | None = None
        self.address = ""

    def not_raw(self) -> str:
        if self.headers.get(_RAW, "").strip():
            raise Forbidden("raw delivery", "raw messages carry no signature")
        return "not a raw delivery"

    def form(self) -> str:
        self.envelope = parse(self.body)
        return f"a {self.envelope['Type']}, every field of its shape"

    def same_headers(self) -> str:
        _compare_headers(self.envelope, self.headers)
        return "no header differs from the body"

    def on_our_list(self) -> str:
        found = self.rules(self.envelope["TopicArn"])
        if found is None or found.arn != self.envelope["TopicArn"]:
            raise Forbidden("topic", "not on our list")
        self.topic = found
        return found.arn

    def version(self) -> str:
        version = self.envelope["SignatureVersion"]
        if version not in VERSIONS or (self.topic and version < self.topic.signature_version):
            raise Forbidden("signature version", "unknown, or older than this topic's")
        return version

    def certificate_address(self) -> str:
        self.address = _certificate_address(self.envelope)
        return self.address

    def fitting_certificate(self) -> str:
        certificate = self.fetch(self.address)
        signed_at = min(self.envelope.timestamp, self.now)  # a Timestamp ahead of us proves nothing about later
        check_certificate(certificate, self.envelope["TopicArn"], signed_at if self.redriven else self.now)
        self.certificate = certificate
        facts = facts_of(certificate)
        return f"{facts.subject}, valid until {facts.end.isoformat()}"

    def signature(self) -> str:
        check_signature(self.envelope, self.certificate)
        return f"valid, version {self.envelope['SignatureVersion']}"

    def age(self) -> str:
        self.freshness = "fresh" if self.redriven else freshness(self.envelope.timestamp, self.now)
        return "not asked: it came by a queue" if self.redriven else self.freshness


_Step = Callable[[_Examination], str]
# (name, the attribute without which it makes no sense, what it does)
_STEPS: Final[tuple[tuple[str, str, _Step], ...]] = (
    ("raw delivery", "body", _Examination.not_raw),
    ("form", "body", _Examination.form),
    ("headers", "envelope", _Examination.same_headers),
    ("topic", "envelope", _Examination.on_our_list),
    ("signature version", "envelope", _Examination.version),
    ("certificate address", "envelope", _Examination.certificate_address),
    ("certificate", "address", _Examination.fitting_certificate),
    ("signature", "certificate", _Examination.signature),
    ("freshness", "envelope", _Examination.age),
)


def _attempt(made: _Examination, name: str, needs: str, step: _Step) -> Check:
    if not getattr(made, needs, None) and needs != "body":
        return Check(name, "not reached", "an earlier check failed")
    try:
        detail = step(made)
    except Refused as problem:
        return Check(name, "failed", str(problem))
    except CertificateUnavailable as problem:
        return Check(name, "not reached", f"the certificate could not be had just now: {problem}")
    if detail in ("stale", "future"):
        return Check(name, "failed", f"{detail}: it would be held")
    return Check(name, "passed", detail)


def parse(body: bytes) -> Envelope:
    """Steps 3 and 4: strict UTF-8, strict JSON, every field present, text, and of its exact shape."""
    try:
        document = strict_json.read_object(body.decode("utf-8"))
    except (UnicodeDecodeError, strict_json.NotStrict) as problem:
        raise Malformed("json", str(problem)) from problem
    kind = document.get("Type")
    if not isinstance(kind, str) or kind not in SIGNED:
        raise Malformed("type", "none of the three")
    if "Signature" not in document:
        raise Forbidden("raw delivery", "no signature")
    fields = {name: _field(document, name) for name in SIGNED[kind] + UNSIGNED if not _left_out(document, name)}
    return Envelope(fields, _instant(fields["Timestamp"]), _base64(fields["Signature"]), document)


def _left_out(document: Mapping[str, Any], name: str) -> bool:
    return name == "Subject" and document.get(name) is None


def _field(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise Malformed("fields", f"{name} is missing or not text")
    shape = _SHAPES.get(name)
    if shape and not shape.fullmatch(value):
        raise Malformed("shapes", f"{name} has not its shape")
    return value


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as problem:
        raise Malformed("shapes", "Timestamp is no instant") from problem


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise Malformed("shapes", "Signature is not Base64") from problem


def _compare_headers(envelope: Envelope, headers: Mapping[str, str]) -> None:
    """Headers are not signed: they may only agree."""
    for header, field in _SAID_TWICE.items():
        if headers.get(header, envelope[field]) != envelope[field]:
            raise Forbidden("headers", f"{field} differs between header and body")


def _certificate_address(envelope: Envelope) -> str:
    """The address as text, equal to the only form allowed: the exact host of the topic's own region."""
    host, address = regions.api_host(envelope["TopicArn"]), envelope["SigningCertURL"]
    origin = f"https://{host}"
    if host is None or not address.startswith(origin) or not _CERTIFICATE_FILE.fullmatch(address, len(origin)):
        raise Forbidden("certificate address", "not Amazon's for this topic")
    return address


def read_certificate(pem: bytes) -> x509.Certificate:
    """The certificate that the whole of `pem` is. Text around it could have been echoed by an API: Forbidden."""
    if not _ONE_PEM.fullmatch(pem):
        raise Forbidden("certificate", "not exactly one PEM block")
    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as problem:
        raise Forbidden("certificate", "unreadable") from problem


def check_certificate(certificate: x509.Certificate, arn: str, now: datetime) -> None:
    """Forbidden unless it is an RSA key of 2048 bits or more, valid now, in the name that signs for this region."""
    try:
        facts = facts_of(certificate)
    except Exception as problem:  # whatever is wrong with a stranger's certificate, it is the certificate's fault
        raise Forbidden("certificate", "unreadable") from problem
    if not isinstance(facts.key, rsa.RSAPublicKey) or facts.key.key_size < 2048:
        raise Forbidden("certificate", "the key is too weak")
    if not facts.start <= now <= facts.end:
        raise Forbidden("certificate", "not valid at this time")
    if regions.signing_name(arn) not in facts.names:
        raise Forbidden("certificate", "issued to somebody else")


@dataclass(frozen=True)
class CertificateFacts:
    """What we ask of a certificate at every message, taken apart once."""

    key: object
    names: tuple[str, ...]
    start: datetime
    end: datetime
    subject: str
    sha256: str


@lru_cache(maxsize=32)
def facts_of(certificate: x509.Certificate) -> CertificateFacts:
    """Of the newest few certificates from memory. Raises anything for one that is broken."""
    return CertificateFacts(
        certificate.public_key(),
        tuple(_names(certificate)),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        certificate.subject.rfc4514_string(),
        certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _names(certificate: x509.Certificate) -> list[str]:
    """DNS names; the common name only for certificates that have no alternative names at all."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return [str(common[0].value)] if len(common) == 1 else []
    return found.value.get_values_for_type(x509.DNSName)


def signed_text(envelope: Envelope) -> str:
    """What Amazon signed. The list of keys depends on the Type in the body, never on which keys are there."""
    names = (name for name in SIGNED[envelope["Type"]] if name in envelope.fields)
    return "".join(f"{name}\n{envelope[name]}\n" for name in names)


def check_signature(envelope: Envelope, certificate: x509.Certificate) -> None:
    """Forbidden unless the key of `certificate` signed exactly this message, in exactly the version it names."""
    key = facts_of(certificate).key
    digest = VERSIONS.get(envelope["SignatureVersion"])
    if digest is None or not isinstance(key, rsa.RSAPublicKey):
        raise Forbidden("signature", "no such version")
    try:
        key.verify(envelope.signature, signed_text(envelope).encode(), padding.PKCS1v15(), digest)
    except InvalidSignature as problem:
        raise Forbidden("signature", "does not fit") from problem


def freshness(timestamp: datetime, now: datetime) -> Freshness:
    """A verdict and no refusal: a message too old or too new is kept, but does nothing by itself."""
    if timestamp < now - OLDEST:
        return "stale"
    return "future" if timestamp > now + AHEAD else "fresh"
