"""Celery's edge of the front door: alarms, and accounts that are to be deleted."""

from celery import shared_task

from portal import alarms, leaving, notices


@shared_task(name="portal.alarms", ignore_result=True)
def evaluate_alarms() -> int:
    """Ask every condition, then send the notices that are due; how many alarms are open."""
    open_alarms = alarms.evaluate()
    notices.send_due()
    return open_alarms


@shared_task(name="portal.finish_leaving", ignore_result=True)
def finish_leaving() -> int:
    """Delete the accounts whose devices Alexa has forgotten; how many."""
    return leaving.finish()
