"""What all pages here have in common: ledgers that are read and not written, documents shown for reading."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from notifications.models import DrsRegistration, Message, Order, PropertyOperation

STATE_COLOURS = {
    Message.State.WAITING: "info",
    Message.State.DONE: "success",
    Message.State.HELD: "warning",
    Message.State.QUARANTINED: "danger",
    PropertyOperation.State.QUEUED: "info",
    PropertyOperation.State.ASKED: "info",
    PropertyOperation.State.FAILED: "danger",
    Order.State.PLACED: "info",
    Order.State.SHIPPED: "success",
    Order.State.UNCLEAR: "danger",
    DrsRegistration.State.REGISTERED: "success",
    DrsRegistration.State.PROVISIONAL: "warning",
}


def pretty(document: object) -> SafeString:
    """A document for reading."""
    return as_written(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def as_written(text: str) -> SafeString:
    """A text with its lines and spaces as they are."""
    return format_html('<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>', text)


def once(ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Asked once for each row that was read: a page looks at each of its fields three times."""

    @wraps(ask)
    def answer(row: Model) -> Any:
        known: dict[str, Any] = row.__dict__.setdefault("_asked_once", {})
        if ask.__name__ not in known:
            known[ask.__name__] = ask(row)
        return known[ask.__name__]

    return answer


class ReadOnly:
    """A ledger: to be read, not written."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
