"""Forensics: everything about one message for a person to read: checks, canonical string, certificate, parse. Stores nothing.

A message from elsewhere is examined as it would be at the door; of a stored one the verdicts of then are shown, because what
is masked cannot be verified again. Tokens and links that give power are masked here, too.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import Certificate, load_pem_x509_certificate

from notifications import asp, certificates, drs, inbox, sns
from notifications.models import Message, SigningCertificate, Topic


@dataclass(frozen=True)
class Report:
    """What is to be said of one message. Empty texts: it does not come to that."""

    checks: tuple[sns.Check, ...]
    canonical: str = ""
    certificate: Mapping[str, str] | None = None
    parsed: Mapping[str, Any] | None = None
    trouble: str = ""
    stored: Message | None = None
    at_the_door: str = ""

    @property
    def verdict(self) -> str:
        failed = [check for check in self.checks if check.verdict == "failed"]
        missing = [check for check in self.checks if check.verdict == "not reached"]
        if not failed and not missing:
            return "Amazon signed it, and it is for us."
        return f"It would be refused: {failed[0].detail}." if failed else f"Undecided: {missing[0].detail}."


def explain(body: bytes) -> Report:
    """Examine a message from elsewhere. Stores nothing; on the wire only for a certificate at Amazon's own address.

    Its certificate is judged at the signed Timestamp, as for a queue; what the door would say of its age is said beside it.
    """
    body = body.strip()
    found = sns.examine(body, {}, _rules, inbox.clock(), certificates.fetch, redriven=True)
    if found.envelope is None:
        return Report(found.checks)
    parsed, trouble = parse(found.envelope["TopicArn"], found.envelope["Message"], found.envelope["Type"])
    return Report(
        found.checks,
        canonical(found.envelope),
        describe(found.certificate) if found.certificate else None,
        parsed,
        trouble,
        Message.objects.filter(
            topic__arn=found.envelope["TopicArn"], message_id=found.envelope["MessageId"].lower()
        ).first(),
        inbox.HELD.get(sns.freshness(found.envelope.timestamp, inbox.clock()), "It is of now."),
    )


def _rules(arn: str) -> sns.TopicRules | None:
    topic = Topic.objects.filter(arn=arn).first()
    return topic.rules() if topic else None


def canonical(envelope: sns.Envelope) -> str:
    """What was signed, with its secrets masked: for comparing by eye, not for verifying."""
    text = sns.signed_text(envelope)
    for name in inbox.SECRET:
        if secret := envelope.fields.get(name):
            text = text.replace(secret, inbox.MASK)
    return text


def canonical_of(message: Message) -> str:
    """The same of a stored message; its secrets are masked already."""
    document = message.document
    names = (name for name in sns.SIGNED.get(message.kind, ()) if isinstance(document.get(name), str))
    return "".join(f"{name}\n{document[name]}\n" for name in names)


def parse(arn: str, text: str, kind: str) -> tuple[Mapping[str, Any] | None, str]:
    """(what is understood, why nothing is). A topic that nobody entered is read as Dash, then as Smart Properties."""
    if kind != Message.Kind.NOTIFICATION:
        return None, ""
    topic = Topic.objects.filter(arn=arn).first()
    if topic and topic.kind == Topic.Kind.ASP:
        return _as_properties(text)
    parsed, trouble = _as_dash(text)
    return (parsed, trouble) if parsed or topic else _either(_as_properties(text), trouble)


def _either(found: tuple[Mapping[str, Any] | None, str], trouble: str) -> tuple[Mapping[str, Any] | None, str]:
    return found if found[0] else (None, f"As Dash: {trouble} As Smart Properties: {found[1]}")


def _as_dash(text: str) -> tuple[Mapping[str, Any] | None, str]:
    try:
        return drs.as_json(drs.parse(text)), ""
    except drs.Unreadable as problem:
        return None, str(problem)


def _as_properties(text: str) -> tuple[Mapping[str, Any] | None, str]:
    try:
        return asp.as_json(asp.parse(text)), ""
    except asp.Unreadable as problem:
        return None, str(problem)


def describe(certificate: Certificate) -> dict[str, str]:
    """A certificate for people. Its file is named by its MD5 so far; that is a sign and no proof."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "valid from": certificate.not_valid_before_utc.isoformat(),
        "valid until": certificate.not_valid_after_utc.isoformat(),
        "SHA-256": certificate.fingerprint(hashes.SHA256()).hex(),
        "MD5 (Amazon's file name)": hashlib.md5(der, usedforsecurity=False).hexdigest(),
        "PEM": certificate.public_bytes(serialization.Encoding.PEM).decode(),
    }


def certificate_of(message: Message) -> dict[str, str]:
    """The certificate that signed a stored message; empty where it was not kept."""
    kept = SigningCertificate.objects.filter(pk=message.verdicts.get("certificate SHA-256", "")).first()
    return describe(load_pem_x509_certificate(kept.pem.encode())) if kept else {}


def as_text(report: Report) -> str:
    """The report for a terminal."""
    lines = [report.verdict, ""]
    lines += [f"{check.verdict:>11}  {check.name}: {check.detail}" for check in report.checks]
    lines += [f"\nAt the HTTPS door: {report.at_the_door}"] if report.at_the_door else []
    lines += ["\nCanonical string:", report.canonical] if report.canonical else []
    lines += [f"{name}: {value}" for name, value in (report.certificate or {}).items()]
    lines += ["\nParsed:", json.dumps(report.parsed, indent=2, ensure_ascii=False)] if report.parsed else []
    lines += [f"\nNot understood: {report.trouble}"] if report.trouble else []
    lines += [f"\nStored here: {report.stored} ({report.stored.get_state_display()})"] if report.stored else []
    return "\n".join(lines)
