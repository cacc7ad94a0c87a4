"""The talk: what one grant's claimed endpoints say to Alexa, and what came of it. On the wire, no transaction open.

Per endpoint one after the other: its announcement, its events in order, its state report. Across endpoints at once. Nobody else
speaks for an endpoint while its lease lasts, so order needs no other mechanism.
"""

import asyncio
import random
import uuid
from datetime import timedelta

from django.conf import settings

from skill import claims, endpoints, gateway, jobs, trouble
from skill.alexa import discovery, messages
from skill.alexa.messages import Json
from skill.claims import EventEnd, Outcome
from skill.jobs import Job, Telling
from skill.line import Line
from skill.models import Event
from skill.trouble import LinkEnded

LEFT_OUT = "LEFT_OUT"  # in place of Amazon's code: she was not asked
PARK_AFTER = timedelta(days=3)


class Expired(Exception):
    """Too late to be of use: not started."""


async def tell(line: Line, work: list[Job]) -> list[Outcome]:
    """Everything that these endpoints of one grant have to say. One outcome per job; none if the link ended."""
    outcomes = {job.pk: Outcome(job) for job in work}
    try:
        await _announce(line, [outcome for outcome in outcomes.values() if outcome.job.device is not None])
        await _speak_all(line, [outcome for outcome in outcomes.values() if outcome.outdated or not outcome.again])
        gone = [outcome for outcome in outcomes.values() if outcome.job.device is None]
        await _delete(line, [outcome for outcome in gone if not outcome.again])
    except LinkEnded:
        return []
    except ExceptionGroup as group:
        if group.split(LinkEnded)[1] is None:
            return []
        raise group.exceptions[0] from group
    return list(outcomes.values())


async def _speak_all(line: Line, outcomes: list[Outcome]) -> None:
    """At once; all of them end as soon as one hears that the link is over."""
    if len(outcomes) == 1:  # nearly every customer has one machine
        await _speak(line, outcomes[0])
        return
    async with asyncio.TaskGroup() as talks:
        for outcome in outcomes:
            talks.create_task(_speak(line, outcome))


async def _announce(line: Line, outcomes: list[Outcome]) -> None:
    """AddOrUpdateReport for those whose description is not the one that Alexa accepted last, together.

    Looked at when it changed, with each daily report, so that a change that nobody signalled is told within a day, and after
    an attempt that failed.
    """
    told: dict[str, tuple[Outcome, Json]] = {}
    for outcome in outcomes:
        if _is_to_be_looked_at(outcome.job) and (described := await _news(line, outcome)):
            told[described["endpointId"]] = (outcome, described)
    for batch in discovery.batches(described for _, described in told.values()):
        await _announce_batch(line, [told[described["endpointId"]] for described in batch])


def _is_to_be_looked_at(job: Job) -> bool:
    failed = job.announced_digest == claims.UNSURE and job.attempts > 0
    return endpoints.DESCRIPTION in job.changed or job.daily_due or failed or not claims.is_known(job.announced_digest)


async def _news(line: Line, outcome: Outcome) -> Json | None:
    """How the endpoint is to be announced; None if Alexa knows it so, or if it cannot be described (that is settled here)."""
    job = outcome.job
    try:
        if endpoints.digest(job.device) != job.announced_digest:  # type: ignore[arg-type]
            return endpoints.describe(job.device)  # type: ignore[arg-type]
    except endpoints.LeftOut as reason:
        _left_out(outcome, str(reason))
        return None
    except Exception as error:
        await trouble.meet(line, outcome, error)
        return None
    outcome.left_out = ""
    outcome.done.append(endpoints.DESCRIPTION)
    return None


def _left_out(outcome: Outcome, reason: str) -> None:
    """It would be refused, so it is not said. What Alexa knows under an older description goes on being reported."""
    outcome.left_out = reason
    outcome.code, outcome.text = LEFT_OUT, reason
    if claims.is_known(outcome.job.announced_digest):
        outcome.done.append(endpoints.DESCRIPTION)
    else:
        outcome.again, outcome.failed = True, True
        outcome.delay = trouble.back_off(outcome.job.attempts, trouble.LONGEST_BACK_OFF)


async def _announce_batch(line: Line, batch: list[tuple[Outcome, Json]]) -> None:
    message_id = _message_id()
    described = [item for _, item in batch]
    try:
        await line.say(lambda token: discovery.add_or_update_report(message_id, token, described))
    except Exception as error:
        if len(batch) > 1 and await _may_be_about_one(line, error):
            for single in batch:
                await _announce_batch(line, [single])
            return
        for outcome, _ in batch:
            await _not_announced(line, outcome, error)
    else:
        for outcome, item in batch:
            outcome.announced, outcome.left_out = discovery.digest(item), ""
            outcome.done.append(endpoints.DESCRIPTION)
            outcome.again, outcome.delay = True, settings.REPORT_SETTLING


async def _may_be_about_one(line: Line, error: Exception) -> bool:
    """One bad endpoint must not hide the rest. Where the gateway is in trouble with everything, each would only meet the same again."""
    if isinstance(error, gateway.Unavailable) and not isinstance(error, gateway.Unanswered):
        return await line.is_answered()
    return isinstance(error, gateway.Refused)


async def _not_announced(line: Line, outcome: Outcome, error: Exception) -> None:
    """A gateway that is in trouble with the announcement alone keeps what Alexa knows already from nothing else."""
    if isinstance(error, gateway.Refused):
        _description_refused(outcome, error)
        return
    outcome.outdated = claims.is_known(outcome.job.announced_digest) and isinstance(
        error, gateway.Throttled | gateway.Unavailable
    )
    if outcome.outdated:  # to be announced again, whether or not anybody said that it changed
        outcome.announced = claims.UNSURE
    elif isinstance(error, gateway.Unavailable):  # she may have heard it
        outcome.announced = claims.MAYBE
    await trouble.meet(line, outcome, error)


def _description_refused(outcome: Outcome, error: gateway.Refused) -> None:
    """Our bug. What Alexa knows under an older description goes on being reported; the description is tried again tomorrow."""
    if claims.is_known(outcome.job.announced_digest):
        outcome.code, outcome.text = error.code, error.text
        outcome.done.append(endpoints.DESCRIPTION)
    else:
        trouble.put_off(outcome, error, trouble.LONGEST_BACK_OFF)


async def _speak(line: Line, outcome: Outcome) -> None:
    """Events, then the state report; 429 and 5xx stop the events but not the report."""
    try:
        await _tell_events(line, outcome)
        if outcome.job.device is not None:
            await _report(line, outcome)
        outcome.again = outcome.again or len(outcome.job.events) == jobs.EVENTS_AT_ONCE
    except Exception as error:
        await trouble.meet(line, outcome, error)


async def _tell_events(line: Line, outcome: Outcome) -> None:
    for event in outcome.job.events:
        try:
            await line.say(lambda token, event=event: _event(event, outcome.job, token))  # type: ignore[misc]
        except Expired:
            await _settle(line, event, Event.Status.EXPIRED)
        except gateway.Refused as error:
            await _settle(line, event, Event.Status.PARKED, error)
        except gateway.SkillDisabled:  # cancelled with the link, if that is what it means
            raise
        except gateway.GatewayError as error:
            in_vain = event.tried_since < outcome.job.read_at - PARK_AFTER
            await _settle(line, event, Event.Status.PARKED if in_vain else Event.Status.PENDING, error)
            if not isinstance(error, gateway.Throttled | gateway.Unavailable):
                raise  # it is about the link: the report would hear the same
            trouble.put_off(outcome, error)
            return
        else:
            await _settle(line, event, Event.Status.SENT)


async def _settle(line: Line, event: Telling, status: str, error: gateway.GatewayError | None = None) -> None:
    said = (error.code, error.text) if error else ("", "")
    await line.db.together(claims.settle_events, EventEnd(event.pk, status, *said))


def _event(event: Telling, job: Job, token: str) -> Json:
    """The same messageId for ever, however often it must be sent. Made when its turn has come; raises Expired if that is too late."""
    if event.expires_at is not None and event.expires_at <= job.now():
        raise Expired
    message = messages.event(
        event.namespace,
        event.name,
        str(event.message_id),
        event.payload,
        correlation_token=event.correlation_token or None,
        instance=event.instance,
        endpoint_id=job.endpoint_id,
        token=token,
    )
    return _context(event, job) | message


def _context(event: Telling, job: Job) -> Json:
    """What stands around an event: around a deferred Response the state as it is by now, around a press of the bell nothing."""
    if event.name == "DoorbellPress":
        return {"context": {}}
    if event.name != "Response":
        return {}
    if job.device is None:
        raise Expired
    return {"context": {"properties": list(endpoints.properties(job.device).values())}}


async def _report(line: Line, outcome: Outcome) -> None:
    """The daily report with every level, or what changed, one report per cause; the rest stands in the context."""
    job = outcome.job
    assert job.device is not None
    properties = endpoints.properties(job.device)
    levels = {key for key in properties if key.startswith("level:")}
    for cause, keys in _causes(job, properties, levels):
        message_id = _message_id()
        changed = [properties[key] for key in keys]
        others = [item for key, item in properties.items() if key not in keys]
        try:
            await line.say(
                lambda token, c=cause, m=message_id, x=changed, o=others: messages.change_report(  # type: ignore[misc]
                    m, token, job.endpoint_id, c, x, o
                )
            )
        except gateway.Refused as error:  # the next one is fresher; until then it stands on the row and in an alarm
            outcome.code, outcome.text, outcome.refused = error.code, error.text, job.daily_due
        else:
            outcome.reported = True
            outcome.whole = outcome.whole or (bool(levels) and levels <= set(keys))
        outcome.done.extend(keys)
    if job.daily_due or job.may_report:
        outcome.done.extend(key for key in job.changed if key not in properties and key != endpoints.DESCRIPTION)
    outcome.advance = job.daily_due


def _causes(job: Job, properties: dict[str, Json], levels: set[str]) -> list[tuple[str, list[str]]]:
    """(cause, property keys) of each report that is to be sent now."""
    changed = {key: cause for key, (_, cause) in job.changed.items() if key in properties}
    if job.daily_due and levels:
        return [("PERIODIC_POLL", [key for key in properties if key in levels or key in changed])]
    if not job.may_report:
        return []
    return [
        (cause, [key for key in properties if changed.get(key) == cause]) for cause in dict.fromkeys(changed.values())
    ]


async def _delete(line: Line, outcomes: list[Outcome]) -> None:
    """DeleteReport, thirty at a time; what Alexa was never told of needs none."""
    known = [outcome for outcome in outcomes if outcome.job.announced_digest]
    for outcome in outcomes:
        outcome.deleted = outcome not in known
    for start in range(0, len(known), discovery.MAX_DELETIONS):
        batch = known[start : start + discovery.MAX_DELETIONS]
        names, message_id = [outcome.job.endpoint_id for outcome in batch], _message_id()
        try:
            await line.say(lambda token, n=names, m=message_id: discovery.delete_report(m, token, n))  # type: ignore[misc]
        except gateway.Refused as error:
            for outcome in batch:
                outcome.deleted, outcome.code, outcome.text = True, error.code, error.text
        except Exception as error:
            for outcome in batch:
                await trouble.meet(line, outcome, error)
        else:
            for outcome in batch:
                outcome.deleted = True


def _message_id() -> str:
    """Unique, not secret: a version 4 UUID without asking the system for randomness each time. (The module's own generator, because
    it is seeded anew after a fork: two workers must not draw the same ids.)"""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
