"""The inbox: receive (verify, store), process (understand, apply) and replay. HTTP is `views.py`, SQS `queues.py`, Celery
`tasks.py`.

Every message is a row from the moment we answer 200; everything after can be done again at will.
"""

import json
import logging
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from django.conf import settings
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Concat, Now

from notifications import asp, certificates, doorbell, drs, ledger, properties, sns, topics
from notifications.models import Message, Topic

log = logging.getLogger(__name__)

SECRET = ("Token", "SubscribeURL", "UnsubscribeURL")
SPELLINGS = {name.lower() for name in SECRET}
MASK = "(masked)"
TOPIC_LIFE = 3.0  # seconds
_topics: dict[str, tuple[float, Topic]] = {}
PRUNED = "Its body is pruned; what was understood of it before stands."
LONGEST_PAUSE = 3600.0  # seconds
HELD = {
    "stale": "It came more than 75 minutes after Amazon sent it. Process it again to apply it.",
    "future": "It is dated more than 5 minutes ahead of our clock. Process it again to apply it.",
}


def clock() -> datetime:
    """Now, for the checks of a message; the far side of the wire in a test, since every known message is old."""
    return datetime.now(UTC)


def receive(body: bytes, headers: Mapping[str, str], way: Message.Way = Message.Way.HTTPS) -> Message:
    """Verify a message that came to the door or by a queue and store it once; ring. The row, new or as it was.

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
    message = _row(verified, topic, way)
    if not Message.objects.insert_once(message):
        return _again(message)
    if message.state == Message.State.WAITING:
        doorbell.ring()
    return message


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


def forget_topics() -> None:
    """Ask for every topic anew."""
    _topics.clear()


def _row(verified: sns.Verified, topic: Topic, way: Message.Way) -> Message:
    envelope, held = verified.envelope, HELD.get(verified.freshness, "")
    message = Message(
        topic=topic,
        message_id=envelope["MessageId"].lower(),
        kind=envelope["Type"],
        subject=envelope.fields.get("Subject", ""),
        sent_at=envelope.timestamp,
        came_by=way,
        body=json.dumps(masked(envelope.document), ensure_ascii=False),
        verdicts=_verdicts(verified),
        reason=held,
    )
    if held:
        message.state, message.due_at = Message.State.HELD, None
    message.seal({name: envelope[name] for name in SECRET if name in envelope.fields})
    return message


def masked(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without what gives power to whoever reads it, in whatever spelling."""
    return {name: MASK if name.lower() in SPELLINGS else value for name, value in document.items()}


def _verdicts(verified: sns.Verified) -> dict[str, object]:
    certificate, envelope = verified.certificate, verified.envelope
    return {
        "checks": [[check.name, check.verdict, check.detail] for check in verified.checks],
        "signature": f"valid, version {envelope['SignatureVersion']}",
        "freshness": verified.freshness,
        "certificate": envelope["SigningCertURL"],
        "certificate subject": certificate.subject.rfc4514_string(),
        "certificate valid until": certificate.not_valid_after_utc.isoformat(),
        "certificate SHA-256": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _again(message: Message) -> Message:
    """A repetition changes nothing, except that it frees a message that was held for its time and is fresh now."""
    stored = Message.objects.get(topic=message.topic, message_id=message.message_id)
    timely = message.state == Message.State.WAITING and stored.reason in HELD.values()
    if timely and stored.state == Message.State.HELD:
        replay(stored)
    return stored


def replay(message: Message) -> None:
    """Have a message processed again, held and quarantined ones too. Idempotent; a stale one is applied hereby."""
    Message.objects.filter(pk=message.pk).update(
        state=Message.State.WAITING, reason="", error="", attempts=0, due_at=Now()
    )
    doorbell.ring()


def set_aside(message: Message, who: str) -> bool:
    """A person has seen a held or quarantined message and wants nothing done; False when it is neither. Idempotent."""
    waiting = Message.objects.filter(pk=message.pk, state__in=[Message.State.HELD, Message.State.QUARANTINED])
    reason = Concat(Value(f"Set aside by {who}. "), F("reason"))
    return bool(waiting.update(state=Message.State.ASIDE, sealed=None, reason=reason))


def process_next() -> bool:
    """Process the message that has been due longest and is nobody else's; False when there is none.

    [T] for each message, so a crash loses nothing and a repetition changes nothing; a confirmation talks to Amazon
    after its transaction. Whatever goes wrong with a message stays on its row, with the time of the next attempt.
    """
    message = None
    try:
        with transaction.atomic():
            message = (
                Message.objects.due().select_for_update(skip_locked=True, of=("self",)).select_related("topic").first()
            )
            if message is None:
                return False
            process(message)
        if message.due_at is not None:
            topics.confirm(message)
        log.info("SNS message %s: %s %s", message.message_id, message.state, message.reason)
    except Exception as problem:
        if message is None:
            raise
        _remember(message, problem)
    return True


def process(message: Message) -> None:
    """Understand one message and apply it. In a transaction that holds its row; idempotent; raises anything."""
    if message.body is None:
        message.settle(Message.State.DONE, PRUNED)
    elif message.kind == Message.Kind.CONFIRMATION:
        topics.consider(message)
    elif message.kind == Message.Kind.UNSUBSCRIBE:
        topics.mark_unsubscribed(message)
    elif message.topic.kind == Topic.Kind.ASP:
        _process_asp(message)
    else:
        _process_drs(message)


def _process_drs(message: Message) -> None:
    try:
        said = drs.parse(message.text, message.attributes)
        _refuse_stranger(said)
    except drs.Unreadable as problem:
        ledger.forget(message)
        message.settle(Message.State.QUARANTINED, str(problem))
        return
    row = ledger.keep(message, said)
    if row.contradicted:
        message.settle(Message.State.QUARANTINED, ledger.TWINS.format(said.notification_id))
    elif said.type in drs.ABOUT_ORDERS + drs.ABOUT_DEVICES:
        message.settle(Message.State.DONE, " ".join(said.remarks))
    else:
        message.settle(Message.State.UNUSED, f"Nothing here uses {said.type} yet.")


def _process_asp(message: Message) -> None:
    try:
        event = asp.parse(message.text)
    except asp.Unreadable as problem:
        message.settle(Message.State.QUARANTINED, str(problem))
        return
    row = properties.keep(message, event)
    if row.contradicted:
        message.settle(Message.State.QUARANTINED, properties.TWINS.format(event.event_id))
    elif event.kind in asp.KNOWN:
        message.settle(Message.State.DONE)
    else:
        message.settle(Message.State.UNUSED, f"Nothing here uses {event.kind[:200]} yet.")


def _refuse_stranger(said: drs.Notification) -> None:
    """Where the maker's own apps are entered, a notification about another app is not ours to apply."""
    ours = settings.DRS_CLIENT_IDS
    if ours and said.client_id and said.client_id not in ours:
        raise drs.Unreadable("It is about a Login with Amazon client that is not in DRS_CLIENT_IDS.")


def _remember(message: Message, problem: Exception) -> None:
    """The error and the next attempt on the row; jittered, doubling, an hour at most, for ever."""
    log.exception("SNS message %s could not be processed", message.message_id)
    pause = min(LONGEST_PAUSE, 2.0 ** min(message.attempts + 1, 12)) * random.uniform(0.5, 1)  # noqa: S311 (jitter)
    Message.objects.filter(pk=message.pk, due_at__isnull=False).update(
        attempts=F("attempts") + 1,
        due_at=Now() + timedelta(seconds=pause),
        error=f"{type(problem).__name__}: {problem}"[:500].replace("\x00", ""),
    )
