"""The day it runs out, where its owner looks: on the device's own page."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from devices.forecast import Forecast, Unknown
from tests.portal.household import owned_for, reported
from tests.portal.markup import faults, page_of

ADDRESS = "/devices/CRM20-0001/"


@pytest.fixture
def hers(client: Any, machine: Any) -> Any:
    """A browser in which Alice is signed in, and her coffee machine."""
    client.force_login(machine.owner)
    return client


def test_the_page_says_when_the_beans_run_out(hers: Any, machine: Any) -> None:
    reported(owned_for(machine, 40), *(str(97 - 3 * day) for day in range(30)))
    page = page_of(hers.get(ADDRESS))
    in_three_days = timezone.now() + timedelta(days=10 / 3)
    assert f"Runs out around {in_three_days:%-d %b %Y}" in page.text
    assert faults(page) == []


def test_too_little_says_so(hers: Any, machine: Any) -> None:
    reported(owned_for(machine, 40), "80", "75")
    page = page_of(hers.get(ADDRESS))
    assert "No forecast yet: it has not been watched for a whole week yet." in page.text
    assert faults(page) == []


def test_of_nothing_nothing_is_said(hers: Any, machine: Any) -> None:
    for values in ((), ("5", "0")):
        reported(owned_for(machine, 40), *values)
        text = page_of(hers.get(ADDRESS)).text
        assert "Runs out" not in text
        assert "forecast" not in text


def test_the_former_owners_weeks_say_nothing_about_the_new_owners(hers: Any, machine: Any) -> None:
    reported(owned_for(machine, 4), *(str(97 - 3 * day) for day in range(30)))
    assert "No forecast yet" in page_of(hers.get(ADDRESS)).text


DAY = date(2026, 12, 3)


@pytest.mark.parametrize(
    ("forecast", "said"),
    [
        (Forecast(DAY, DAY, DAY), "Runs out around 3 Dec 2026."),
        (
            Forecast(DAY - timedelta(4), DAY, DAY + timedelta(5)),
            "Runs out around 3 Dec 2026, probably between 29 Nov and 8 Dec.",
        ),
        (Forecast(DAY - timedelta(4), DAY, None), "Runs out around 3 Dec 2026, probably not before 29 Nov."),
        (Forecast(DAY, None, None), "Lasts until 3 Dec 2026 at least, probably for more than a year."),
        (Forecast(None, None, None), "Lasts for more than a year."),
        (Unknown.SILENT, "No forecast yet: it has not been heard for a week."),
    ],
)
def test_in_words(forecast: Forecast | Unknown, said: str) -> None:
    import re

    html = render_to_string("portal/forecast.html", {"forecast": forecast})
    assert re.sub(r"<[^>]+>", "", html).strip() == said
