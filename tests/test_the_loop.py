"""The main job through every real process: link, brew, report, reorder, see the order. Nothing is faked; the sandbox plays Amazon.

One house, which takes long to start, for all: first in Chromium, where it must be new, then over HTTP, where it need not be.
"""

import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import chromium
from tests.the_house import ALICE, STAFF, Browser, House, until

pytestmark = pytest.mark.long
A_DAY = {"REPORT_PERIOD": "25"}  # seconds
without_pictures = pytest.mark.skipif(
    "SCREENSHOTS" in os.environ, reason="the house of the pictures has days of 22 hours"
)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House(**({} if "SCREENSHOTS" in os.environ else A_DAY)) as house:
        yield house


@pytest.fixture
def new_house(house: House) -> Iterator[House]:
    """The house, unless another test was there before."""
    if not house.state()["links"]:
        yield house
        return
    with House(**A_DAY) as another:
        yield another


@pytest.fixture
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # here, because most test processes never come here

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium.EXECUTABLE, args=chromium.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def alice(house: House) -> Browser:
    return Browser(house, *ALICE)


def level(report: dict[str, Any]) -> float:
    changed = report["request"]["event"]["payload"]["change"]["properties"]
    return float(next(item["value"]["value"] for item in changed if item["name"] == "level"))


def cause(report: dict[str, Any]) -> str:
    return str(report["request"]["event"]["payload"]["change"]["cause"]["type"])


@chromium.needed
def test_the_loop_in_chromium(browser: Any, new_house: House) -> None:
    from tests.browser.clicking import click_through

    click_through(new_house, browser)


@without_pictures
def test_the_loop(house: House, alice: Browser) -> None:
    staff = Browser(house, *STAFF)
    house.act("refill")
    house.act("clear")
    link(house, alice)
    machine_is_discovered(house)
    each_reading_reaches_the_gateway_within_two_seconds(house)
    alexa_switches_it_off_and_on(house)
    a_ring_is_announced(house)
    the_daily_report_comes_at_rest(house)
    customer, support = seen_by_the_customer(alice), seen_by_support(staff)
    three_low_reports_make_an_order(house)
    until(lambda: more(seen_by_the_customer(alice), customer), 30, "the order on the customer's pages")
    until(lambda: more(seen_by_support(staff), support), 30, "the order, its notification and its message in the admin")
    staff_sees_the_link(staff)
    assert house.violations() == []


@without_pictures
def test_unlinking_and_linking_from_the_portals_own_page(house: House, alice: Browser) -> None:
    """Amazon asks the portal's token endpoint, AcceptGrant and Discover before it answers the portal's own request."""
    consent = alice.get(house.act("link")["url"])
    alice.press(consent, allow="Authorize")
    send(alice, "/account/unlink/")
    until(lambda: "Not linked" in alice.get(f"{house.portal}/alexa/").text, 60, "the end of the link")
    asked = send(alice, "/alexa/connect/", via="web")
    assert asked.url.startswith(f"{house.sandbox}/ap/oa?"), asked.url
    back = alice.get(f"{asked.url}&answer=allow", timeout=20)
    assert back.url == f"{house.portal}/alexa/"
    assert "Alexa is connected" in back.text
    (link,) = house.state()["links"].values()
    assert (link["status"], len(link["endpoints"])) == ("linked", 1)
    send(alice, "/account/unlink/")
    until(lambda: house.state()["links"]["household"]["status"] == "disabled", 60, "the skill disabled by the portal")
    assert house.violations() == []


def send(alice: Browser, path: str, **fields: str) -> Any:
    """Press the button of the form that leads there."""
    form = fields | {"csrfmiddlewaretoken": alice.cookies["csrftoken"]}
    return alice.post(f"{alice.house.portal}{path}", data=form, headers={"Referer": alice.house.portal}, timeout=30)


def link(house: House, alice: Browser) -> None:
    consent = alice.get(house.act("link")["url"])
    assert consent.status_code == 200, consent.text
    back = alice.press(consent, allow="Authorize")
    assert back.url.startswith(house.sandbox), back.url
    until(lambda: house.state()["links"].get("household", {}).get("status") == "linked", 30, "the link")


def machine_is_discovered(house: House) -> None:
    (link,) = house.state()["links"].values()
    (endpoint,) = link["endpoints"]
    assert endpoint["endpoint"]["additionalAttributes"]["serialNumber"] == "CRM20-DEMO1"
    assert "Alexa.InventoryLevelSensor" in [
        capability["interface"] for capability in endpoint["endpoint"]["capabilities"]
    ]
    kinds = [entry["kind"] for entry in house.state()["wire"]]
    assert "AcceptGrant" in kinds


def each_reading_reaches_the_gateway_within_two_seconds(house: House) -> None:
    """Two of three at least, because this machine may be busy; each comes, and says what the machine said."""
    until(house.reports, 30, "the first report")
    taken = []
    for _ in range(3):
        before = len(house.reports())
        told, began = house.act("brew", cups=2)["device"]["level"], time.monotonic()
        until(lambda before=before: len(house.reports()) > before, 30, "the report of a brew")
        taken.append(time.monotonic() - began)
        assert level(house.reports()[-1]) == told
    assert statistics.median(taken) < 2, taken


def alexa_switches_it_off_and_on(house: House) -> None:
    for on in (False, True):
        told = house.act("turn", on=on)["words"]
        assert f"is {'on' if on else 'off'}: " in told, "the machine obeys while Alexa waits"
        assert house.state()["links"]["household"]["endpoints"][0]["powerState"] == ("ON" if on else "OFF")


def a_ring_is_announced(house: House) -> None:
    house.act("ring")
    rung = [("DoorbellPress", 202)]
    until(
        lambda: [(e["kind"], e["status"]) for e in house.state()["wire"] if e["kind"] == "DoorbellPress"] == rung,
        20,
        "the bell",
    )


def the_daily_report_comes_at_rest(house: House) -> None:
    before = len(house.reports())
    until(lambda: "PERIODIC_POLL" in map(cause, house.reports()[before:]), 90, "the daily report")


def three_low_reports_make_an_order(house: House) -> None:
    earlier = len(house.state()["orders"])
    while house.state()["device"]["level"] > 20:
        house.act("brew", cups=2)
    for _ in range(3):
        before = len(house.reports())
        house.act("brew", cups=1)
        until(lambda before=before: len(house.reports()) > before, 30, "the report of a low level")
    (order,) = until(lambda: house.state()["orders"][earlier:], 30, "the order")
    assert order["state"] == "placed"


def seen_by_the_customer(alice: Browser) -> list[int]:
    """How often her pages speak of the beans that were ordered."""
    pages = ("orders/", "devices/CRM20-DEMO1/")
    return [alice.get(f"{alice.house.portal}/{page}").text.count("B0CREMABNS") for page in pages]


def seen_by_support(staff: Browser) -> list[int]:
    """How often the admin speaks of the order, of what Amazon said of it, and of the message that said so."""
    pages = {"order": "CRM20-DEMO1", "notification": "OrderPlacedNotification", "message": "OrderPlacedNotification"}
    admin = f"{staff.house.portal}/admin/notifications"
    return [staff.get(f"{admin}/{page}/").text.count(words) for page, words in pages.items()]


def more(now: list[int], earlier: list[int]) -> bool:
    return all(one > other for one, other in zip(now, earlier, strict=True))


def staff_sees_the_link(staff: Browser) -> None:
    assert "CRM20-DEMO1" in staff.get(f"{staff.house.portal}/admin/skill/endpoint/").text
    links = staff.get(f"{staff.house.portal}/admin/skill/alexagrant/")
    assert "alice@example.com" in links.text
    assert "Atza|" not in links.text
