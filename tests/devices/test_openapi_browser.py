"""The docs page in a real browser, under the site's own content security policy."""

import json
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders

from tests.browser import chromium

pytestmark = chromium.needed


def test_the_docs_page_shows_the_api_and_asks_nobody_else(client: Any, db: None) -> None:
    """The browser's requests are answered from here by the test's own client; any other host is a failure."""
    from playwright.sync_api import sync_playwright  # here, because most test processes never come here

    complaints: list[str] = []
    foreign: list[str] = []

    fetched: dict[str, Any] = {}

    def fetch(path: str) -> Any:
        if path.startswith("/static/"):
            found = finders.find(path.removeprefix("/static/"))
            return (200, {"Content-Type": _kind(path)}, Path(found).read_bytes()) if found else (404, {}, b"")
        answer = client.get(path)
        return answer.status_code, dict(answer.headers), answer.content

    for path in ("/api/docs/", "/api/docs/?script=", "/api/schema/"):
        fetched[path] = fetch(path)  # asked before the browser runs: its loop allows no database

    def serve(route: Any) -> None:
        address = route.request.url
        if not address.startswith("http://localhost"):
            foreign.append(address)
            route.abort()
            return
        path = address.removeprefix("http://localhost")
        status, headers, body = fetched.get(path) or fetch(path)
        route.fulfill(status=status, headers=headers, body=body)

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium.EXECUTABLE, args=chromium.ARGUMENTS)
        page = browser.new_page()
        page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.route("**/*", serve)
        page.goto("http://localhost/api/docs/")
        page.wait_for_selector("text=Report one reading, or up to 1,000 at once", timeout=20_000)
        page.click("text=Report one reading, or up to 1,000 at once")
        page.wait_for_selector("text=A buffer after an offline spell", state="attached")
        browser.close()
    assert "Content-Security-Policy" in fetched["/api/docs/"][1]
    assert foreign == []
    assert complaints == [], json.dumps(complaints, indent=1)


def _kind(path: str) -> str:
    return "text/css" if path.endswith(".css") else "application/javascript"
