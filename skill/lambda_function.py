"""The courier in AWS Lambda: takes a directive from Alexa to the portal and the portal's answer back. Standard library only.

It adds its region (that is how the portal knows the customer's) and the shared secret, keeps one connection, and stops early
enough that Alexa always gets an Alexa answer: the errand runs in a thread that is left behind when the time is over, because no
time-out of a socket ends a name look-up, or an answer that comes byte by byte. It never repeats a request: an AcceptGrant's code
can be used once.

Environment: DIRECTIVE_URL (https://portal.example/skill/directive), COURIER_SECRET.
"""

import http.client
import json
import os
import select
import threading
import time
import uuid
from urllib.parse import urlsplit

REGIONS = {"us-east-1": "NA", "eu-west-1": "EU", "us-west-2": "FE"}
RESERVE = 1.0  # seconds kept back of what Lambda has left, to answer by ourselves
LONGEST = 7.0  # Alexa waits 8 seconds
IDLE = 20.0  # seconds; a connection kept longer may be closed by the portal just when it is used

_lock = threading.Lock()
_kept = None  # (connection, when it was used last)


def lambda_handler(event, context):
    """The portal's answer to the directive `event`, or an ErrorResponse when the portal did not answer in time."""
    seconds = LONGEST
    if context is not None and hasattr(context, "get_remaining_time_in_millis"):
        seconds = max(0.5, min(LONGEST, context.get_remaining_time_in_millis() / 1000 - RESERVE))
    errand = Errand(json.dumps(event).encode(), seconds)
    errand.start()
    errand.join(seconds)
    errand.leave()
    if errand.answer is None:
        print(json.dumps({"error": errand.trouble, "directive": _name_of(event)}))  # noqa: T201  (Lambda's log)
        return _error(event)
    return errand.answer


class NoAnswer(Exception):
    """The portal answered, but not with an Alexa event."""


class Errand(threading.Thread):
    """One POST and its answer. Holds the kept connection while it is under way, and gives it back only if all went well in time."""

    def __init__(self, body, seconds):
        super().__init__(daemon=True)
        self.body, self.seconds = body, seconds
        self.answer, self.trouble, self.left = None, "no answer in time", False

    def run(self):
        connection = None
        try:
            target = urlsplit(os.environ["DIRECTIVE_URL"])
            connection = _take(target, self.seconds)
            answer = _ask(connection, target, self.body)
        except Exception as error:  # whatever it is, Alexa gets an answer
            if connection is not None:
                connection.close()
            self.trouble = (
                str(error) if isinstance(error, NoAnswer) else type(error).__name__
            )  # others may quote the secret
        else:
            self._done(connection, answer)

    def _done(self, connection, answer):
        global _kept
        with _lock:
            if self.left or _kept is not None:
                connection.close()
            else:
                _kept = (connection, time.monotonic())
            if not self.left:
                self.answer = answer

    def leave(self):
        """What comes from now on is too late."""
        with _lock:
            self.left = True


def _ask(connection, target, body):
    """POST once. Raises what http.client raises, or NoAnswer for anything but an Alexa event."""
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    connection.request("POST", path, body, _headers())
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise NoAnswer(f"the portal answered {answer.status}")
    document = json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("event", document.get("response")), dict):
        raise NoAnswer("the portal's answer is no Alexa event")
    return document


def _take(target, seconds):
    """The kept connection if it is still good, else a new one. That the portal closed it is noticed before, not after, sending."""
    global _kept
    with _lock:
        kept, _kept = _kept, None
    if kept is not None:
        connection, used_at = kept
        if connection.sock is not None and time.monotonic() - used_at < IDLE and not _is_closed(connection.sock):
            connection.sock.settimeout(seconds)
            return connection
        connection.close()
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    return kind(target.hostname, target.port, timeout=seconds)


def _is_closed(sock):
    """A socket that is readable before we asked anything was closed by the other side."""
    return bool(select.select([sock], [], [], 0)[0])


def _headers():
    region = os.environ.get("SKILL_REGION") or REGIONS.get(os.environ.get("AWS_REGION", ""), "NA")
    return {
        "Content-Type": "application/json",
        "X-Courier-Secret": os.environ["COURIER_SECRET"],
        "X-Skill-Region": region,
    }


def _header_of(event):
    directive = event.get("directive") if isinstance(event, dict) else None
    header = directive.get("header") if isinstance(directive, dict) else None
    return (header if isinstance(header, dict) else {}), (directive if isinstance(directive, dict) else {})


def _name_of(event):
    header, _ = _header_of(event)
    return f"{header.get('namespace')}.{header.get('name')}"[:100]


def _error(event):
    """INTERNAL_ERROR, or what AcceptGrant knows instead; never a word about credentials."""
    header, directive = _header_of(event)
    grant = header.get("namespace") == "Alexa.Authorization"
    answer = {
        "header": {
            "namespace": "Alexa.Authorization" if grant else "Alexa",
            "name": "ErrorResponse",
            "payloadVersion": "3",
            "messageId": str(uuid.uuid4()),
        },
        "payload": {
            "type": "ACCEPT_GRANT_FAILED" if grant else "INTERNAL_ERROR",
            "message": "The device cloud did not answer in time.",
        },
    }
    if isinstance(header.get("correlationToken"), str):
        answer["header"]["correlationToken"] = header["correlationToken"]
    endpoint = directive.get("endpoint")
    if isinstance(endpoint, dict) and isinstance(endpoint.get("endpointId"), str):
        answer["endpoint"] = {"endpointId": endpoint["endpointId"]}
    return {"event": answer}
