"""The whole loop as a newcomer clicks through it in a real browser, on a phone until staff looks; tests/test_the_loop.py has the house.

With SCREENSHOTS=<folder> it also leaves pictures of what was seen; the README shows two of them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import requests
from playwright.sync_api import Browser, Page, expect

from tests.the_house import ALICE, ROOT, STAFF, House, until

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}
TALL = {"width": 1280, "height": 1080}
SERIAL = "CRM20-DEMO1"
A_FORTNIGHT = f"""
from datetime import timedelta
from django.utils import timezone
from devices.models import Device, Reading
device, now = Device.objects.get(serial_number="{SERIAL}"), timezone.now()
Device.objects.filter(pk=device.pk).update(claimed_at=now - timedelta(days=15))
past = [(hours, 100 - (336 - hours) % 144 * 0.6) for hours in range(336, 0, -3)]
Reading.objects.bulk_create(
    Reading(
        device=device, slot=device.device_model.slots.get(), epoch=-1, sequence=place, value=level,
        measured_at=now - timedelta(hours=hours), heard_at=now - timedelta(hours=hours),
    )
    for place, (hours, level) in enumerate(past)
)
"""


class Visitor:
    """Somebody with a browser window, who notes whatever the browser complains of, and whom else it asks than this house."""

    def __init__(self, house: House, browser: Browser, size: dict[str, int]) -> None:
        self.page: Page = browser.new_context(viewport=size, locale="en-GB", reduced_motion="reduce").new_page()
        self.page.set_default_timeout(40_000)
        self.complaints: list[str] = []
        self.page.on("console", lambda told: self.note(told.text) if told.type == "error" else None)
        self.page.on("pageerror", lambda error: self.note(str(error)))
        ours = (house.portal, house.sandbox, "data:", "blob:")
        self.page.on("request", lambda asked: None if asked.url.startswith(ours) else self.note(f"asks {asked.url}"))

    def note(self, words: str) -> None:
        self.complaints.append(f"{words} ({self.page.url})")

    def sees(self, words: str | re.Pattern[str], name: str = "") -> None:
        """The words are on the page, nothing sticks out of it, and it is pictured under this name."""
        expect(self.page.locator("body")).to_contain_text(words, timeout=40_000)
        sticks_out = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert sticks_out <= 0, f"{self.page.url} is {sticks_out} px too wide"
        if name and (folder := os.environ.get("SCREENSHOTS")):
            self.page.evaluate("document.activeElement.blur()")
            self.page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")

    def presses(self, words: str) -> None:
        self.page.get_by_role("button", name=words, exact=True).click()

    def follows(self, words: str) -> None:
        self.page.get_by_role("link", name=words, exact=True).first.click()


def click_through(house: House, browser: Browser) -> None:
    alice, sam = Visitor(house, browser, PHONE), Visitor(house, browser, DESK)
    she_links_her_account(house, alice)
    she_brews_until_it_is_low(house, alice)
    she_sees_the_order(house, alice)
    support_sees_what_happened(house, sam)
    an_engineer_reads_the_api(house, sam)
    pictures_for_the_readme(house, alice, sam)
    she_unlinks(house, alice)
    assert alice.complaints + sam.complaints == []
    assert house.violations() == []


def she_links_her_account(house: House, alice: Visitor) -> None:
    alice.page.goto(house.sandbox)
    alice.sees("Alexa does not know this household yet", "1-sandbox")
    alice.presses("Link account")
    alice.page.wait_for_url(f"{house.portal}/accounts/login/**")
    alice.sees("You are linking Alexa", "2-sign-in")
    alice.page.get_by_label("Email").fill(ALICE[0])
    alice.page.get_by_label("Password", exact=True).fill(ALICE[1])
    alice.presses("Sign in")
    alice.sees("Link Alexa to your", "3-consent")
    alice.presses("Allow")
    alice.page.wait_for_url(f"{house.sandbox}/**")
    expect(alice.page.locator("#link-state")).to_have_text("linked")
    expect(alice.page.locator("#endpoints")).to_contain_text("Kitchen espresso")
    alice.sees("Supply: Coffee beans", "4-linked")


def she_brews_until_it_is_low(house: House, alice: Visitor) -> None:
    told = alice.page.locator("#levels .row-head strong").last
    expect(told).to_have_text("100 %")
    for level in (90, 80):
        alice.presses("Brew two")
        expect(told).to_have_text(f"{level} %", timeout=40_000)
    house.act("brew", cups=10)  # that each press is told has been seen by now
    expect(told).to_have_text("30 %", timeout=40_000)
    for level in (25, 20, 15):
        expect(alice.page.locator("#orders")).to_contain_text("No orders yet")
        alice.presses("Brew a cup")
        expect(told).to_have_text(f"{level} %", timeout=40_000)
    alice.presses("Brew a cup")  # the third low report, or the fourth after a daily one
    expect(told).to_have_text("10 %", timeout=40_000)
    expect(alice.page.locator("#orders")).to_contain_text("Order 1")
    expect(alice.page.locator("#orders")).to_contain_text("the portal answered 200")
    alice.sees("See the order", "5-ordered")


def she_sees_the_order(house: House, alice: Visitor) -> None:
    until(lambda: order_is_there(house, alice), 10, "the order on her page")
    alice.sees("Nordkap espresso beans", "6-orders")
    alice.follows("Kitchen espresso")
    alice.page.wait_for_url(f"{house.portal}/devices/{SERIAL}/")
    alice.sees("B0CREMABNS", "7-device-on-a-phone")
    alice.sees("Alexa was last told what is left")
    alice.follows("Account")
    alice.sees("Reports go out", "8-account")


def order_is_there(house: House, alice: Visitor) -> bool:
    """As she finds it: by the sandbox's own link; SNS is answered first and worked on afterwards."""
    alice.page.goto(house.sandbox)
    alice.follows("at the portal")
    alice.page.wait_for_url(f"{house.portal}/orders/")
    return alice.page.locator("body >> text=B0CREMABNS").count() > 0


def support_sees_what_happened(house: House, sam: Visitor) -> None:
    sam.page.goto(f"{house.portal}/admin/")
    sam.page.locator("input[name=username]").fill(STAFF[0])
    sam.page.locator("input[name=password]").fill(STAFF[1])
    sam.page.locator("form button[type=submit]").first.click()
    sam.sees("Amazon's notifications", "a-admin")
    menu = sam.page.locator("#nav-sidebar, nav").first
    menu.get_by_text("Messages", exact=True).click()
    sam.sees("OrderPlacedNotification", "b-messages")
    menu.get_by_text("Orders", exact=True).click()
    sam.sees(ALICE[0])
    sam.page.locator("#result_list tbody a").first.click()
    sam.sees("B0CREMABNS", "c-order")
    sam.sees("OrderPlacedNotification")
    menu.get_by_text("Endpoints", exact=True).click()
    sam.sees(re.compile(rf"{SERIAL}.*reported", re.DOTALL), "d-endpoints")
    sam.page.locator("#result_list tbody a").first.click()
    sam.sees("Situation", "e-endpoint")


def an_engineer_reads_the_api(house: House, sam: Visitor) -> None:
    sam.page.goto(f"{house.portal}/api/docs/")
    sam.page.click("text=Report one reading, or up to 1,000 at once")
    sam.sees("A buffer after an offline spell", "f-api")


def pictures_for_the_readme(house: House, alice: Visitor, sam: Visitor) -> None:
    """The sandbox and the customer's device page as they look on a desk, the latter with a past."""
    if os.environ.get("SCREENSHOTS"):
        command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", A_FORTNIGHT]
        subprocess.run(command, cwd=ROOT, env=house.environment, check=True)
    sam.page.set_viewport_size(TALL)
    sam.page.goto(house.sandbox)
    expect(sam.page.locator("#orders")).to_contain_text("Order 1")
    sam.sees("The wire", "sandbox")
    alice.page.set_viewport_size(TALL)
    alice.page.goto(f"{house.portal}/devices/{SERIAL}/")
    alice.sees("Alexa was last told", "device")
    alice.page.set_viewport_size(PHONE)


def she_unlinks(house: House, alice: Visitor) -> None:
    alice.follows("Account")
    alice.follows("Unlink Alexa")
    alice.sees("Unlink Alexa from your account?", "9-unlink")
    alice.presses("Unlink")
    alice.sees("Alexa is unlinked")
    until(lambda: deleted(house), 10, "the DeleteReport at the gateway")
    (link,) = house.state()["links"].values()
    assert link["endpoints"] == []
    until(lambda: "Reporting has stopped because you unlinked it here" in text_of(alice), 10, "the end of the link")
    asked = requests.post(f"{house.sandbox}/actions/discover", json={}, timeout=30)
    assert "INVALID_AUTHORIZATION_CREDENTIAL" in asked.text, "a token that she took back still works"


def deleted(house: House) -> bool:
    return any(entry["kind"] == "DeleteReport" and entry["status"] == 202 for entry in house.state()["wire"])


def text_of(visitor: Visitor) -> str:
    visitor.page.reload()
    return visitor.page.inner_text("body")
