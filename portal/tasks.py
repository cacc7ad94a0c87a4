"""Celery's edge of the front door: alarms."""

from celery import shared_task

from portal import alarms, notices


@shared_task(name="portal.alarms", ignore_result=True)
def evaluate_alarms() -> int:
    """Ask every condition, then send the notices that are due; how many alarms are open."""
    open_alarms = alarms.evaluate()
    notices.send_due()
    return open_alarms
