"""SNS: one topic with one HTTPS subscriber, the portal. Envelopes, an outbox that survives a restart, and the postman.

What is in a notification is the business of Dash; how it is signed, of signing.py.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from datetime import timedelta

import aiohttp

from .amazon import Amazon
from .lwa import is_past
from .signing import forged_signature
from .state import Json, now, stamp

log = logging.getLogger(__name__)
_ANSWER_SECONDS = 15  # longer counts as a failure
_KEPT = 60


def publish(
    amazon: Amazon, order_id: str, kind: str, message: Json, attributes: Json | None, *, topic: str = ""
) -> Json:
    """Puts a signed envelope into the outbox and on disk; the postman delivers it. Returns the outbox entry.

    Without a `topic` it is Dash's.
    """
    envelope = _envelope(amazon, topic, json.dumps(message), attributes)
    knobs = amazon.state.knobs
    entry = {"id": envelope["MessageId"], "order": order_id, "kind": kind, "envelope": envelope, "attempts": 0}
    entry |= {"next_at": stamp(), "status": "held" if knobs["sns_out_of_order"] else "waiting", "words": ""}
    entry |= {"copies": 2 if knobs["sns_duplicate"] else 1, "forged": knobs["sns_forged"]}
    amazon.state.outbox.append(entry)
    _forget_the_old(amazon)
    release_held(amazon)
    return entry


def release_held(amazon: Amazon) -> None:
    """Out of order: two that were held go, the newest first. With the knob off, whatever is held goes."""
    held = [entry for entry in amazon.state.outbox if entry["status"] == "held"]
    if held and (len(held) > 1 or not amazon.state.knobs["sns_out_of_order"]):
        for entry in reversed(held):
            entry["status"] = "waiting"
            amazon.state.outbox.remove(entry)
            amazon.state.outbox.append(entry)
    amazon.state.save()


def _envelope(amazon: Amazon, topic: str, message: str, attributes: Json | None) -> Json:
    arn = topic or amazon.settings.topic_arn
    host = f"https://sns.{arn.split(':')[3]}.amazonaws.com"
    signed = {"Type": "Notification", "MessageId": str(uuid.uuid4()), "TopicArn": arn}
    signed |= {} if topic else {"Subject": "DRS Notification"}
    signed |= {
        "Message": message,
        "Timestamp": stamp(),
        "SignatureVersion": amazon.state.knobs["sns_signature_version"],
    }
    forged = amazon.state.knobs["sns_forged"]
    envelope: Json = {**signed, "Signature": forged_signature(signed) if forged else amazon.identity.sign(signed)}
    envelope["SigningCertURL"] = f"{host}/{amazon.identity.file_name}"
    envelope["UnsubscribeURL"] = f"{host}/?Action=Unsubscribe&SubscriptionArn={_subscription(amazon, arn)}"
    return envelope | ({"MessageAttributes": attributes} if attributes else {})


def _subscription(amazon: Amazon, arn: str) -> str:
    """The same for ever: one subscriber to each topic."""
    return f"{arn}:{uuid.uuid5(uuid.NAMESPACE_URL, amazon.settings.portal_url)}"


def _forget_the_old(amazon: Amazon) -> None:
    finished = [entry for entry in amazon.state.outbox if entry["status"] not in ("waiting", "held")]
    for entry in finished[:-_KEPT]:
        amazon.state.outbox.remove(entry)


async def postman(amazon: Amazon) -> None:
    """Delivers what is due, in the order of the outbox, until cancelled. No fault of one round ends it."""
    while True:
        try:
            await _round(amazon)
        except Exception:
            log.exception("The postman of SNS stumbled; he goes on.")
            await asyncio.sleep(1)
        await amazon.state.change(0.25)


async def _round(amazon: Amazon) -> None:
    for entry in list(amazon.state.outbox):
        if entry["status"] == "waiting" and is_past(entry["next_at"]):
            await _deliver(amazon, entry)


async def _deliver(amazon: Amazon, entry: Json) -> None:
    for _ in range(entry["copies"] if not entry["attempts"] else 1):
        status, words = await _post(amazon, entry)
    _settle(amazon, entry, status, words)
    amazon.state.save()


def _settle(amazon: Amazon, entry: Json, status: int, words: str) -> None:
    """2xx is delivered; 5xx, 429 and no answer come again; everything else is refused for good (SNS guide)."""
    entry["attempts"] += 1
    pauses = amazon.settings.sns_retry_seconds
    if 200 <= status < 300:
        entry |= {"status": "delivered", "words": words}
    elif status and status != 429 and status < 500:
        entry |= {"status": "refused", "words": f"{words}; SNS does not repeat after that"}
    elif entry["attempts"] > len(pauses):
        entry |= {"status": "given up", "words": f"{words}; given up after {entry['attempts']} attempts"}
    else:
        pause = pauses[entry["attempts"] - 1]
        entry |= {"next_at": stamp(now() + timedelta(seconds=pause)), "words": f"{words}; again in {pause:g} s"}


async def _post(amazon: Amazon, entry: Json) -> tuple[int, str]:
    """One attempt; status 0 stands for no answer at all."""
    started = time.monotonic()
    try:
        status, text = await _talk(amazon, entry["envelope"])
        words = f"the portal answered {status}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        status, text, words = 0, "", f"the portal did not answer ({type(error).__name__})"
    took = round((time.monotonic() - started) * 1000)
    shown = {**entry["envelope"], "Message": json.loads(entry["envelope"]["Message"])}
    words += ", as it should: the signature is forged" if entry["forged"] and 400 <= status < 500 else ""
    details = {"status": status or None, "words": words, "request": shown, "answer": text or None, "ms": took}
    amazon.state.record("out", "sns", entry["kind"], **details)
    return status, words


async def _talk(amazon: Amazon, envelope: Json) -> tuple[int, str]:
    body = json.dumps(envelope, indent=2, separators=(",", " : "), ensure_ascii=False).encode()
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
        "x-amz-sns-message-type": "Notification",
        "x-amz-sns-message-id": envelope["MessageId"],
        "x-amz-sns-topic-arn": envelope["TopicArn"],
        "x-amz-sns-subscription-arn": _subscription(amazon, envelope["TopicArn"]),
    }
    patience = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    url = f"{amazon.settings.portal_url}/sns/"
    async with amazon.http.post(url, data=body, headers=headers, timeout=patience, allow_redirects=False) as response:
        return response.status, (await response.content.read(2000)).decode("utf-8", "replace")
