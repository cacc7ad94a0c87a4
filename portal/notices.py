"""Notices of alarms to the on-call group: by e-mail, and to a webhook, signed. The row is the outbox; delay is a column.

Which notices are owed is `alarms.py`. At least once: the webhook's id is the notice's own for ever, so a repetition is known.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import random
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now
from django.urls import reverse

from portal.models import AlarmNotice

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)
LONGEST_PAUSE = 3600.0  # seconds
GIVEN_UP_AFTER = 50  # attempts: about two days


class NotSent(Exception):
    """The other side did not take it."""


def send_due() -> int:
    """Send what is due, each on its own; how many were taken. On the wire, no transaction open; two at once share the work."""
    sent = 0
    while (notice := _claim()) is not None:
        sent += _send(notice)
    return sent


def _claim() -> AlarmNotice | None:
    """The notice that is due longest; whoever dies with it leaves it to the next after the lease.

    What an alarm has to say on a channel goes one after the other: an end that overtook its beginning would leave it open there.
    """
    unsent = AlarmNotice.objects.filter(due_at__isnull=False)
    earlier = unsent.filter(alarm=OuterRef("alarm"), channel=OuterRef("channel"), pk__lt=OuterRef("pk"))
    with transaction.atomic():
        due = AlarmNotice.objects.select_for_update(skip_locked=True, of=("self",)).select_related("alarm")
        notice = due.filter(~Exists(earlier), due_at__lte=Now()).order_by("due_at", "pk").first()
        if notice:
            AlarmNotice.objects.filter(pk=notice.pk).update(due_at=Now() + LEASE, attempts=F("attempts") + 1)
            notice.attempts += 1
        return notice


def _send(notice: AlarmNotice) -> bool:
    row = AlarmNotice.objects.filter(pk=notice.pk)
    try:
        {"email": _mail, "webhook": _post}[notice.channel](notice)
    except Exception as problem:  # whatever is wrong with the other side, the row remembers and tries again
        log.warning("Notice %s of an alarm was not taken: %s", notice.pk, type(problem).__name__)
        row.update(
            due_at=_next(notice.attempts), error=f"{type(problem).__name__}: {problem}"[:300].replace("\x00", "")
        )
        return False
    row.update(due_at=None, sent_at=Now(), error="")
    return True


def _next(attempts: int) -> Any:
    if attempts >= GIVEN_UP_AFTER:
        return None
    pause = min(LONGEST_PAUSE, 5.0 * 2.0 ** min(attempts, 12)) * random.uniform(0.5, 1)  # noqa: S311 (jitter)
    return Now() + timedelta(seconds=pause)


def _mail(notice: AlarmNotice) -> None:
    alarm = notice.alarm
    subject = f"[{settings.SITE_NAME}] Alarm {notice.get_event_display()}: {alarm.title}"
    lines = [
        alarm.title,
        f"Since {alarm.opened_at:%Y-%m-%d %H:%M} UTC, seen {alarm.count} time(s).",
        "",
        *alarm.evidence,
    ]
    text = "\n".join([*lines, "", _address(notice)])
    if not send_mail(subject, text, settings.DEFAULT_FROM_EMAIL, settings.ALARM_EMAILS):
        raise NotSent("the mail server took it for nobody")


def _address(notice: AlarmNotice) -> str:
    return settings.PUBLIC_URL + reverse("admin:portal_alarm_change", args=[notice.alarm_id])


def _post(notice: AlarmNotice) -> None:
    alarm = notice.alarm
    document = {
        "type": f"alarm.{notice.event}",
        "timestamp": notice.created_at.isoformat(),
        "condition": alarm.condition,
        "title": alarm.title,
        "since": alarm.opened_at.isoformat(),
        "count": alarm.count,
        "evidence": alarm.evidence,
        "url": _address(notice),
    }
    asyncio.run(_deliver(notice, json.dumps(document).encode()))


async def _deliver(notice: AlarmNotice, body: bytes) -> None:
    """No redirects, no cookies, 10 seconds; 2xx is taken, everything else is not."""
    import aiohttp  # takes a tenth of a second, and most processes never ask

    headers = {"Content-Type": "application/json", **signed_headers(f"alarm-{notice.pk}", body, int(time.time()))}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.post(settings.ALARM_WEBHOOK_URL, data=body, headers=headers, allow_redirects=False) as response,
    ):
        if response.status // 100 != 2:
            raise NotSent(f"HTTP {response.status}")


def signed_headers(message_id: str, body: bytes, now: int) -> dict[str, str]:
    """As the Standard Webhooks specification signs: HMAC-SHA256 over id, timestamp and body, with the bytes that the secret's
    Base64 stands for. Pure but for the secret."""
    key = base64.b64decode(settings.ALARM_WEBHOOK_SECRET.removeprefix("whsec_"))
    mac = hmac.new(key, f"{message_id}.{now}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
