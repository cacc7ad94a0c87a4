"""The second way in: SNS messages from SQS queues, and those that SNS gave up on from the dead-letter queue.

The same verification and the same inbox as at the HTTPS door; here only the queue's side of it: poll, take, delete what is
stored. Nothing else is ever deleted, so what we could not take now is taken later.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from django.db import DatabaseError, InterfaceError

from notifications import inbox, sns
from notifications.models import Message

log = logging.getLogger(__name__)

BATCH = 10  # SQS gives no more at once
LONG_POLL = 20  # seconds; the longest that SQS waits
SHORT_POLL = 1  # seconds; without any wait SQS asks a few of its servers only, and may give nothing of what it has
VISIBLE_AGAIN = 120  # seconds; after a crash somebody else takes the message
REFUSED_AGAIN = 11 * 3600  # seconds (SQS allows 12 h in all); a forgery stays as evidence until the queue forgets it
_AWS = Config(connect_timeout=3, read_timeout=LONG_POLL + 10, retries={"total_max_attempts": 3})
_REGION = re.compile(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?/")


def client_for(queue: str) -> Any:
    """A client in the region of the queue's address; for another address boto3's own choice."""
    named = _REGION.match(queue)
    return boto3.client("sqs", region_name=named[1] if named else None, config=_AWS)


def batches(queue: str, way: Message.Way, wait: int) -> Iterator[Counter[str]]:
    """Take batch after batch, for ever; how many of each outcome, of none when SQS gave nothing for `wait` seconds.

    On the wire; raises what boto3 raises. A crash at any point loses nothing and counts nothing twice.
    """
    client = client_for(queue)
    while True:
        yield _take_batch(client, queue, way, wait)


def drain(queue: str, way: Message.Way) -> Counter[str]:
    """Take all that the queue has; how many of each outcome. Else as `batches`."""
    tally = Counter[str]()
    for taken in batches(queue, way, SHORT_POLL):
        if not taken:
            break
        tally.update(taken)
    return tally


def _take_batch(client: Any, queue: str, way: Message.Way, wait: int) -> Counter[str]:
    asked = {"MaxNumberOfMessages": BATCH, "WaitTimeSeconds": wait, "VisibilityTimeout": VISIBLE_AGAIN}
    received = client.receive_message(QueueUrl=queue, **asked).get("Messages", [])
    outcomes = [(letter, _take(letter, way)) for letter in received]
    _delete(client, queue, [letter for letter, outcome in outcomes if outcome == "stored"])
    for letter, outcome in outcomes:
        if outcome == "refused":
            client.change_message_visibility(
                QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"], VisibilityTimeout=REFUSED_AGAIN
            )
    return Counter(outcome for _, outcome in outcomes)


def _take(letter: dict[str, Any], way: Message.Way) -> str:
    """“stored” (now or before), “refused” (not Amazon's, or not for us), or “later” (our own trouble)."""
    try:
        message_id = inbox.receive(letter["Body"].encode("utf-8", "surrogatepass"), {}, way)
    except sns.Refused as problem:
        log.warning("A message in the queue was refused by the check: %s", problem)
        return "refused"
    except (sns.CertificateUnavailable, DatabaseError, InterfaceError) as problem:
        log.error("A message in the queue could not be taken now: %s %s", type(problem).__name__, problem)
        return "later"
    log.info("SNS message %s is stored (%s)", message_id, way)
    return "stored"


def _delete(client: Any, queue: str, letters: list[dict[str, Any]]) -> None:
    """Only after the row is committed; what cannot be deleted comes again and is known then."""
    if letters:
        entries = [{"Id": str(place), "ReceiptHandle": letter["ReceiptHandle"]} for place, letter in enumerate(letters)]
        failed = client.delete_message_batch(QueueUrl=queue, Entries=entries).get("Failed", [])
        if failed:
            log.warning("%d messages are stored but could not be deleted; they will come again", len(failed))
