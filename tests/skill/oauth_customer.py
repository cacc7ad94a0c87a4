"""The customer's side of linking, for tests with real OAuth client libraries: whose browser follows the library's address."""

from typing import Any
from urllib.parse import urlsplit

from django.test import Client

from skill.models import Application
from tests.portal.markup import Page

REDIRECT = "https://layla.amazon.com/api/skill/link/M1VENDOR"
SECRET = "Qm8Zr2VtX9Lw3Kd7HsP" * 6  # letters and digits, as ours are: libraries differ in how they would encode others


def make_alexa() -> Application:
    return Application.objects.create(
        name="Alexa",
        client_id="alexa",
        client_secret=SECRET,
        client_type="confidential",
        authorization_grant_type="authorization-code",
        redirect_uris=REDIRECT,
    )


def allow(customer: Any, address: str) -> str:
    """She opens the address, signed in, and presses Allow; where she is sent."""
    browser = Client()
    browser.force_login(customer)
    parts = urlsplit(address)
    here = f"{parts.path}?{parts.query}"
    page = browser.get(here)
    assert page.status_code == 200, page.content
    hidden = [e.attributes for e in Page(page.content.decode()).all("input") if e.attributes.get("type") == "hidden"]
    asked = {field["name"]: field.get("value", "") for field in hidden}
    return str(browser.post(here, asked | {"allow": "Allow"})["Location"])
