"""The page in a real browser: it is live, it works with the keyboard's button, and it shows hostile text as text."""

import asyncio

import pytest

from tests.browser import chromium
from tests.sandbox.far_side import change_report, world

pytestmark = [pytest.mark.long, chromium.needed]


@pytest.fixture(scope="module")
def look():
    """Plays a scene with the page open; whatever the browser complains of fails the test. One browser for the whole file."""
    from playwright.async_api import async_playwright  # here, because most test processes never come here

    async def play(folder, scene):
        complaints: list[str] = []
        async with world(folder) as made, await browser.new_context() as context:
            page = await context.new_page()
            page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            await page.goto(str(made.client.make_url("/")))
            await page.wait_for_selector("#live[data-state=live]")
            await scene(made, page)
        assert complaints == []

    with asyncio.Runner() as loop:
        tool = loop.run(async_playwright().start())
        browser = loop.run(tool.chromium.launch(executable_path=chromium.EXECUTABLE, args=chromium.ARGUMENTS))
        yield lambda folder, scene: loop.run(play(folder, scene))
        loop.run(browser.close())
        loop.run(tool.stop())


def test_the_page_lives_without_reloading_and_nothing_sticks_out_of_it(look, tmp_path):
    async def scene(world, page):
        await world.link()
        await page.wait_for_selector("text=Kitchen coffee machine")
        for percent in (20, 12, 8):
            await world.report(percent)
        await page.wait_for_selector("#orders >> text=Order 1")
        await page.click("#orders >> role=button[name='Ship']")
        await page.wait_for_selector("#orders >> text=shipped")
        await page.click("role=button[name='Ask for its state']")
        await page.wait_for_selector("#notice >> text=Beans.Hopper 42%")
        await page.click("#weather > summary")
        await page.locator(".entry > summary").first.click()
        for width in (320, 390, 800, 1280):
            await page.set_viewport_size({"width": width, "height": 900})
            assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0, f"at {width} px"

    look(tmp_path, scene)


def test_a_hostile_message_is_shown_as_text_and_in_red(look, tmp_path):
    async def scene(world, page):
        await world.linked()
        message = change_report(130, world.portal.lwa_tokens["access_token"])
        message["event"]["header"]["messageId"] = "<img src=x onerror=alert(1)>"
        assert (await world.event(message)).status == 400
        await page.wait_for_selector(".entry[data-wrong=true] >> text=a percentage ends at 100")
        await page.click(".entry[data-wrong=true] > summary")
        await page.wait_for_selector("pre >> text=<img src=x onerror=alert(1)>")
        assert await page.locator("#entries img").count() == 0
        await page.click("role=button[name='Violations 1']")
        assert await page.locator("#entries > li").count() == 1

    look(tmp_path, scene)
