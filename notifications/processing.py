"""Processing: what is stored is understood and applied. Many messages in one transaction, each on its own as soon as one fails.

How a message comes is `inbox.py`; who rings for this is `tasks.py`. Everything here can be done again at will.
"""

import logging
import random
from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from notifications import asp, drs, ledger, properties, topics
from notifications.models import Message, MessageQuerySet, Topic

log = logging.getLogger(__name__)

BATCH = 100  # messages of one transaction; each holds a lock of its own ID
PRUNED = "Its body is pruned; what was understood of it before stands."
LONGEST_PAUSE = 3600.0  # seconds
Verdict = tuple[Message, Message.State, str]


def process_due(limit: int = BATCH) -> int:
    """Process the messages that have been due longest and are nobody else's; how many were taken, 0 when there are none.

    [T] one transaction, so a crash loses nothing and a repetition changes nothing. When anything goes wrong in it, each
    message has its own, and what is wrong with one stays on its row with the time of the next attempt. A confirmation talks
    to Amazon after its transaction.
    """
    claimed: list[Message] = []
    try:
        with transaction.atomic():
            claimed = _claim(Message.objects.due(), limit)
            process(claimed)
    except Exception as problem:
        if not claimed:
            raise
        log.warning("A batch of %d SNS messages failed, each is tried alone: %s", len(claimed), type(problem).__name__)
        for message in claimed:
            _process_alone(message)
    else:
        _follow_up(claimed)
    return len(claimed)


def _process_alone(message: Message) -> None:
    try:
        with transaction.atomic():
            claimed = _claim(Message.objects.due().filter(pk=message.pk), 1)
            process(claimed)
    except Exception as problem:
        _remember(message, problem)
    else:
        _follow_up(claimed)


def _claim(due: MessageQuerySet, limit: int) -> list[Message]:
    return Message.objects.with_bodies(
        due.select_for_update(skip_locked=True, of=("self",)).select_related("topic")[:limit]
    )


def _follow_up(processed: Iterable[Message]) -> None:
    """After the transaction: what is still due has to be confirmed at Amazon; every message gets its line in the log."""
    for message in processed:
        try:
            if message.due_at is not None:
                topics.confirm(message)
            log.info("SNS message %s: %s %s", message.message_id, message.state, message.reason)
        except Exception as problem:  # whatever Amazon answers, the row remembers and tries again
            _remember(message, problem)


def process(messages: Iterable[Message]) -> None:
    """Understand messages and apply them. In a transaction that holds their rows; idempotent; raises anything."""
    dash, hotel, verdicts = [], [], list[Verdict]()
    for message in messages:
        if message.body is None:
            verdicts.append((message, Message.State.DONE, PRUNED))
        elif message.kind == Message.Kind.CONFIRMATION:
            topics.consider(message)
        elif message.kind == Message.Kind.UNSUBSCRIBE:
            topics.mark_unsubscribed(message)
        else:
            (hotel if message.topic.kind == Topic.Kind.ASP else dash).append(message)
    Message.objects.settle([*verdicts, *_process_drs(dash), *_process_asp(hotel)])


def _process_drs(messages: list[Message]) -> list[Verdict]:
    read, unreadable = list[tuple[Message, drs.Notification]](), list[Verdict]()
    for message in messages:
        try:
            read.append((message, _read_drs(message)))
        except drs.Unreadable as problem:
            unreadable.append((message, Message.State.QUARANTINED, str(problem)))
    ledger.forget([message for message, _, _ in unreadable])
    contradicted = ledger.keep(read)
    return [*unreadable, *((message, *_verdict_drs(said, message.pk in contradicted)) for message, said in read)]


def _read_drs(message: Message) -> drs.Notification:
    said = drs.parse(message.text, message.attributes)
    ours = settings.DRS_CLIENT_IDS
    if ours and said.client_id and said.client_id not in ours:
        raise drs.Unreadable("It is about a Login with Amazon client that is not in DRS_CLIENT_IDS.")
    return said


def _verdict_drs(said: drs.Notification, contradicted: bool) -> tuple[Message.State, str]:
    if contradicted:
        return Message.State.QUARANTINED, ledger.TWINS.format(said.notification_id)
    if said.type in drs.ABOUT_ORDERS + drs.ABOUT_DEVICES:
        return Message.State.DONE, " ".join(said.remarks)
    return Message.State.UNUSED, f"Nothing here uses {said.type} yet."


def _process_asp(messages: list[Message]) -> list[Verdict]:
    read, unreadable = list[tuple[Message, asp.Event]](), list[Verdict]()
    for message in messages:
        try:
            read.append((message, asp.parse(message.text)))
        except asp.Unreadable as problem:
            unreadable.append((message, Message.State.QUARANTINED, str(problem)))
    properties.forget([message for message, _, _ in unreadable])
    contradicted = properties.keep(read)
    return [*unreadable, *((message, *_verdict_asp(event, event.event_id in contradicted)) for message, event in read)]


def _verdict_asp(event: asp.Event, contradicted: bool) -> tuple[Message.State, str]:
    if contradicted:
        return Message.State.QUARANTINED, properties.TWINS.format(event.event_id)
    if event.kind in asp.KNOWN:
        return Message.State.DONE, ""
    return Message.State.UNUSED, f"Nothing here uses {event.kind[:200]} yet."


def _remember(message: Message, problem: Exception) -> None:
    """The error and the next attempt on the row; jittered, doubling, an hour at most, for ever."""
    log.error("SNS message %s could not be processed", message.message_id, exc_info=problem)
    pause = min(LONGEST_PAUSE, 2.0 ** min(message.attempts + 1, 12)) * random.uniform(0.5, 1)  # noqa: S311 (jitter)
    Message.objects.filter(pk=message.pk, due_at__isnull=False).update(
        attempts=F("attempts") + 1,
        due_at=Now() + timedelta(seconds=pause),
        error=f"{type(problem).__name__}: {problem}"[:500].replace("\x00", ""),
    )
