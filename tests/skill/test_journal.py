"""One line for each class of outcome and minute, however many there were."""

import logging
import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from skill import delivery, journal
from skill.models import AlexaGrant, Endpoint
from tests.skill.deeds import make_due, reading


@pytest.fixture
def paper(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "skill.journal")
    return caplog


def lines(paper: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in paper.records if record.name == "skill.journal"]


def test_a_thousand_failures_are_one_line_in_the_minute(paper: Any) -> None:
    book = journal.Journal()
    for number in range(1000):
        book.count("THROTTLING_EXCEPTION in NA", logging.WARNING, f"endpoint {number}: slow down")
    book.write_when_due()
    assert lines(paper) == [], "the minute is not over"
    book._since -= 60
    book.write_when_due()
    assert lines(paper) == [("WARNING", "THROTTLING_EXCEPTION in NA: 1000 in 60 s, one of them endpoint 0: slow down")]
    book.write_when_due(now=True)
    assert len(lines(paper)) == 1, "what is written is not written again"


def test_the_first_trouble_of_a_minute_is_told_at_once_with_its_traceback(paper: Any) -> None:
    book = journal.Journal()
    for number in range(5):
        book.trouble("ZeroDivisionError about an endpoint", f"e-{number}", ZeroDivisionError())
    (record,) = paper.records
    assert record.getMessage() == "ZeroDivisionError about an endpoint: e-0"
    assert record.exc_info is not None
    book.write_when_due(now=True)
    assert lines(paper)[1][1].startswith("ZeroDivisionError about an endpoint: 5 in ")


def test_where_nobody_looks_at_the_minute_the_next_count_writes_it(paper: Any) -> None:
    book = journal.Journal()
    book.count("link closed in NA", example="of user 1: unlinked")
    assert lines(paper) == []
    book._since -= 60
    book.count("link closed in NA", example="of user 2: unlinked")
    assert lines(paper) == [("INFO", "link closed in NA: 2 in 60 s, one of them of user 1: unlinked")]
    book._since -= 60
    book.trouble("a bug", "e-1", ZeroDivisionError())
    assert [record.exc_info is not None for record in paper.records] == [False, False, True], "and its traceback"


def test_threads_lose_no_count(paper: Any) -> None:
    book = journal.Journal()
    threads = [threading.Thread(target=lambda: [book.count("a") for _ in range(2000)]) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    book.write_when_due(now=True)
    assert lines(paper) == [("INFO", "a: 8000 in 0 s")]


@pytest.mark.django_db(transaction=True)
def test_delivery_writes_by_class(linked: Any, machine: Any, amazon: Any, paper: Any) -> None:
    journal.journal.forget()
    amazon.script = lambda event: (503, "SERVICE_UNAVAILABLE_EXCEPTION") if len(amazon.attempts) <= 3 else None
    reading(machine, 50, 1)
    for _ in range(4):
        make_due(Endpoint.objects.all())
        delivery.deliver(5)
    assert lines(paper) == []
    journal.journal.write_when_due(now=True)
    assert [(level, re.sub(r" in \d+ s.*", "", words)) for level, words in lines(paper)] == [
        ("INFO", "delivered in NA: 1"),
        ("WARNING", "SERVICE_UNAVAILABLE_EXCEPTION in NA: 3"),
    ]
    row = Endpoint.objects.get()
    assert (row.attempts, row.last_code) == (0, "")


def test_links_that_end_and_customers_in_the_wrong_region_are_counted(
    linked: Any, machine: Any, amazon: Any, caplog: Any
) -> None:
    caplog.set_level(logging.INFO)
    AlexaGrant.objects.update(accepted_at=Now() - timedelta(hours=1))
    for number, code in enumerate(("SKILL_NEVER_ENABLED_EXCEPTION", "SKILL_DISABLED_EXCEPTION")):
        amazon.script = lambda event, code=code: (403, code)
        reading(machine, 50 - number, number + 1)
        make_due(Endpoint.objects.all())
        delivery.deliver(5)
    assert [record for record in caplog.records if record.name.startswith("skill.")] == []
    journal.journal.write_when_due(now=True)
    said = [re.sub(r" in \d+ s", "", words) for _, words in lines(caplog)]
    assert (
        f"link closed in NA: 1, one of them of user {machine.owner_id}: Amazon: SKILL_DISABLED_EXCEPTION: told so"
        in said
    )
    assert any(
        words.startswith(f"a customer unknown in NA: 1, one of them Alexa link #{linked.pk}: ") for words in said
    )
