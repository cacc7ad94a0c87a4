"""The inbox: receive (verify, store), replay, set aside. HTTP is `views.py`, SQS `queues.py`; understanding is `processing.py`.

Every message is a row from the moment we answer 200; everything after can be done again at will.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from django.db.models import F, Q, Value
from django.db.models.functions import Concat, Now

from notifications import certificates, doorbell, sns
from notifications.models import Message, SigningCertificate, Topic
from notifications.models.messages import FAILING, Arrival, seal

SECRET = ("Token", "SubscribeURL", "UnsubscribeURL")
SPELLINGS = {name.lower() for name in SECRET}
MASK = "(masked)"
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[ \t\r\n]*[{:,]?[ \t\r\n]*")  # what stands before a name or a value in an object
_COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
TOPIC_LIFE = 3.0  # seconds
_topics: dict[str, tuple[float, Topic]] = {}
_certificates: set[str] = set()  # those that are kept already, as this process knows
HELD = {
    "stale": "It came more than 75 minutes after Amazon sent it. Process it again to apply it.",
    "future": "It is dated more than 5 minutes ahead of our clock. Process it again to apply it.",
}


def clock() -> datetime:
    """Now, for the checks of a message; the far side of the wire in a test, since every known message is old."""
    return datetime.now(UTC)


def receive(body: bytes, headers: Mapping[str, str], way: Message.Way = Message.Way.HTTPS) -> str:
    """Verify a message that came to the door or by a queue and store it once; ring. Its MessageId.

    Idempotent by (topic, MessageId), whichever way it comes first. By a queue it may be weeks old: it is not held for
    its age, and frees the same message that is. On the wire for an unknown certificate (5 s at most), so call it with
    no transaction open. Raises sns.Malformed, sns.Forbidden, sns.CertificateUnavailable and django.db errors, and has
    then stored nothing. Source: Amazon's SNS guide, sections 7 and 13.
    """
    redriven = way != Message.Way.HTTPS
    verified = sns.verify(body, headers, _rules, clock(), certificates.fetch, redriven=redriven)
    topic = _known_topic(verified.envelope["TopicArn"])
    if topic is None:
        raise sns.Forbidden("topic", "taken off our list just now")
    arrival = _arrival(verified, topic, way, without_secrets(body.decode(), verified.envelope.document))
    _keep(verified.certificate)
    if not Message.objects.keep(arrival):
        _again(arrival)
    elif arrival.waits:
        doorbell.ring()
    return arrival.message_id


def _known_topic(arn: str) -> Topic | None:
    """The topic, asked for once in a few seconds: what staff change takes effect then. Unknown ones are not remembered."""
    until, topic = _topics.get(arn, (0.0, None))
    if topic is None or time.monotonic() > until:
        _topics.pop(arn, None)
        topic = Topic.objects.filter(arn=arn).first()
        if topic:
            _topics[arn] = time.monotonic() + TOPIC_LIFE, topic
    return topic


def _rules(arn: str) -> sns.TopicRules | None:
    topic = _known_topic(arn)
    return topic.rules() if topic else None


def forget() -> None:
    """Ask for every topic anew, and keep every certificate again."""
    _topics.clear()
    _certificates.clear()


def _keep(certificate: Certificate) -> None:
    name = sns.facts_of(certificate).sha256
    if name not in _certificates:
        kept = SigningCertificate(sha256=name, pem=certificate.public_bytes(Encoding.PEM).decode())
        SigningCertificate.objects.bulk_create([kept], ignore_conflicts=True)
        _certificates.add(name)


def _arrival(verified: sns.Verified, topic: Topic, way: Message.Way, body: str) -> Arrival:
    envelope, held = verified.envelope, HELD.get(verified.freshness, "")
    return Arrival(
        topic=topic.pk,
        message_id=envelope["MessageId"].lower(),
        kind=envelope["Type"],
        subject=envelope.fields.get("Subject", ""),
        sent_at=envelope.timestamp,
        came_by=way.value,
        sealed=seal({name: envelope[name] for name in SECRET if name in envelope.fields}),
        verdicts=orjson.dumps(_verdicts(verified)).decode(),
        state=(Message.State.HELD if held else Message.State.WAITING).value,
        reason=held,
        waits=not held,
        body=body,
    )


def without_secrets(text: str, document: Mapping[str, Any] | None = None) -> str:
    """The text of one strict JSON object as it came, but for the values that give power to whoever reads them, in whatever spelling
    their names are. Three times as quick where it is said what the text holds, if that is plain."""
    places = _plain_places(text, document) if document else None
    if places is None:
        places = [place for name, *place in _members(text) if name.lower() in SPELLINGS]
    kept, done = list[str](), 0
    for begin, end in places:
        kept += [text[done:begin], f'"{MASK}"']
        done = end
    return "".join([*kept, text[done:]])


def _plain_places(text: str, document: Mapping[str, Any]) -> list[list[int]] | None:
    """Where the secret values begin and end, if there are only texts in it (so that what stands before a colon is a name of ours) and
    each secret's name is written once, and without escapes; else None."""
    if not all(isinstance(value, str) for value in document.values()):
        return None
    places = []
    for name in [name for name in document if name.lower() in SPELLINGS]:
        before, written, after = text.partition(f'"{name}"')
        found = _COLON.match(after)
        if not found or f'"{name}"' in after:
            return None
        begin = len(before) + len(written) + found.end()
        places.append([begin, _DECODER.raw_decode(text, begin)[1]])
    return sorted(places)


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    """The name of each member, and where its value begins and ends."""
    place = _after(text, 0)
    while text[place] != "}":
        name, end = _DECODER.raw_decode(text, place)
        begin = _after(text, end)
        _, end = _DECODER.raw_decode(text, begin)
        yield name, begin, end
        place = _after(text, end)


def _after(text: str, place: int) -> int:
    found = _BETWEEN.match(text, place)
    return found.end() if found else place


def _verdicts(verified: sns.Verified) -> dict[str, object]:
    facts, envelope = sns.facts_of(verified.certificate), verified.envelope
    return {
        "checks": [tuple(check) for check in verified.checks],
        "signature": f"valid, version {envelope['SignatureVersion']}",
        "freshness": verified.freshness,
        "certificate": envelope["SigningCertURL"],
        "certificate subject": facts.subject,
        "certificate valid until": facts.end.isoformat(),
        "certificate SHA-256": facts.sha256,
    }


def _again(arrival: Arrival) -> None:
    """A repetition changes nothing, except that it frees a message that was held for its time and is fresh now."""
    stored = Message.objects.get(topic=arrival.topic, message_id=arrival.message_id)
    if arrival.waits and stored.state == Message.State.HELD and stored.reason in HELD.values():
        replay(stored)


def replay(message: Message) -> None:
    """Have a message processed again, held and quarantined ones too. Idempotent; a stale one is applied hereby."""
    Message.objects.filter(pk=message.pk).update(
        state=Message.State.WAITING, reason="", error="", attempts=0, due_at=Now()
    )
    doorbell.ring()


def set_aside(message: Message, who: str) -> bool:
    """A person has seen a held, quarantined or failing message and wants nothing done; False when it is none. Idempotent."""
    seen = Q(state__in=[Message.State.HELD, Message.State.QUARANTINED])
    failing = Q(state=Message.State.WAITING, attempts__gte=FAILING)
    reason = Concat(Value(f"Set aside by {who}. "), F("reason"))
    waiting = Message.objects.filter(seen | failing, pk=message.pk)
    return bool(waiting.update(state=Message.State.ASIDE, sealed=None, reason=reason, due_at=None))
